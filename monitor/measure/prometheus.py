"""Asks a Prometheus, in time or not at all: every trouble becomes one line."""

from __future__ import annotations

import ast
import asyncio
import json
import math
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from monitor.measure.columns import Int64
from monitor.measure.times import SECOND, seconds

T = TypeVar("T")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Never asked through a proxy that the environment names."""
LONGEST_TEXT = 160
"""Of what a server says, that is kept in a reason."""
TOO_MUCH = 1e100
"""Nothing counts that far, and sums of such values would overflow."""
STUCK_LIMIT = 4
"""Queries that outlived their deadline (a server that drips) at most; beyond it no new one is begun."""


class Trouble(StrEnum):
    """What can be wrong with an answer: the closed list of a metric's label."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    REDIRECT = "redirect"
    HTTP_ERROR = "http_error"
    BAD_QUERY = "bad_query"
    """Refused for what was asked."""
    NOT_PROMETHEUS = "not_prometheus"
    """Not the JSON of a Prometheus, or only a part of it."""
    BAD_SAMPLES = "bad_samples"
    """Its JSON, with samples that cannot be."""
    PARTIAL = "partial"
    """It says itself that something is missing."""
    NOT_A_NUMBER = "not_a_number"


class PrometheusTrouble(Exception):
    """Prometheus did not give an answer that can be used. The text is one line for a person."""

    def __init__(self, text: str, kind: Trouble) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One time series as it was scraped."""

    name: str
    labels: Mapping[str, str]
    times: Int64
    """UTC nanoseconds."""
    values: NDArray[np.float64]
    unknown: Int64 = field(default_factory=lambda: np.empty(0, np.int64))
    """Instants of samples that are not numbers; they are in neither of the two above."""

    @property
    def target(self) -> tuple[str, str]:
        """Who was scraped: job and instance."""
        return self.labels.get("job", ""), self.labels.get("instance", "")


class PrometheusSource:
    """Raw samples of a Prometheus, through prometheus-api-client. Opens a connection for each question."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url = url
        self._timeout = timeout_seconds
        self._stuck: list[threading.Thread] = []

    async def samples(self, selector: str, begin_ns: int, end_ns: int) -> list[Series]:
        """All samples in (begin, end] of the series that match. Raises PrometheusTrouble."""
        span = max(1, math.ceil(seconds(end_ns - begin_ns)))
        answer = await self._ask(f"{selector}[{span}s]", {"time": f"{seconds(end_ns):.3f}"})
        found = [_series(entry, end_ns - (span + 1) * SECOND, end_ns + SECOND) for entry in answer]
        if len({(s.name, frozenset(s.labels.items())) for s in found}) < len(found):
            raise PrometheusTrouble(f"{self.shown_url} gave one series twice", Trouble.BAD_SAMPLES)
        return found

    async def check(self) -> None:
        """Raises PrometheusTrouble unless it answers."""
        await self._ask("vector(1)", {})

    async def _ask(self, query: str, params: dict[str, str]) -> list[Any]:
        try:
            answer = await self._in_thread(lambda: self._query(query, params))
        except TimeoutError:
            text = f"{self.shown_url} did not answer within {self._timeout:g} s"
            raise PrometheusTrouble(text, Trouble.TIMEOUT) from None
        if not isinstance(answer, list):
            text = f"{self.shown_url} gave an answer that is not a list of series"
            raise PrometheusTrouble(text, Trouble.BAD_SAMPLES)
        return answer

    def _query(self, query: str, params: dict[str, str]) -> object:
        # imported here because the client and requests cost 8 MB, which only those who ask should pay
        import requests  # noqa: PLC0415 - see above
        from prometheus_api_client import PrometheusConnect  # noqa: PLC0415 - see above
        from prometheus_api_client.exceptions import PrometheusApiClientException  # noqa: PLC0415 - see above
        from urllib3.util.retry import Retry  # noqa: PLC0415 - see above

        session = requests.Session()
        session.trust_env = urlsplit(self._url).hostname not in LOOPBACK
        # a sign-in page behind a redirect is no Prometheus, and credentials go to nobody else
        session.max_redirects = 0
        session.hooks["response"].append(self._look_for_warnings)
        client = PrometheusConnect(url=self._url, retry=Retry(0), session=session, timeout=self._timeout)
        try:
            answer: object = client.custom_query(query, params=params)
        except PrometheusApiClientException as error:
            text, kind = _refusal(str(error))
            raise PrometheusTrouble(f"{self.shown_url} refused the query: {text}", kind) from None
        except requests.TooManyRedirects as error:
            where = error.response.headers.get("Location", "") if error.response is not None else ""
            text = f"{self.shown_url} redirects to {shown_address(where)}: give the address that answers itself"
            raise PrometheusTrouble(text, Trouble.REDIRECT) from None
        except (KeyError, TypeError, ValueError, AttributeError):  # JSON errors are ValueErrors
            text = f"{self.shown_url} did not answer as a Prometheus does: not its JSON"
            raise PrometheusTrouble(text, Trouble.NOT_PROMETHEUS) from None
        except OSError as error:  # every exception of requests is one
            raise _network_trouble(self.shown_url, error, self._timeout) from None
        finally:
            client.close()
        return answer

    def _look_for_warnings(self, response: Any, **_: Any) -> None:
        """A warning beside the samples says that some are missing; the client library does not hand it on."""
        if b'"warnings"' not in response.content:
            return
        try:
            said = response.json().get("warnings")
        except (ValueError, AttributeError):
            return  # whoever reads the samples will say what is wrong
        if said:
            words = _short(str(said[0] if isinstance(said, list) else said))
            raise PrometheusTrouble(f"{self.shown_url} gave a part only: {words}", Trouble.PARTIAL)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """A daemon thread, for a server that drips its answer must keep neither the run nor the exit waiting."""
        self._stuck = [t for t in self._stuck if t.is_alive()]
        if len(self._stuck) >= STUCK_LIMIT:
            text = f"{len(self._stuck)} earlier questions to {self.shown_url} still hang"
            raise PrometheusTrouble(text, Trouble.TIMEOUT)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                _settle(loop, future, call(), None)
            except PrometheusTrouble as trouble:
                _settle(loop, future, None, trouble)

        thread = threading.Thread(target=work, name="prometheus-query", daemon=True)
        thread.start()
        try:
            return await asyncio.wait_for(future, self._timeout)
        except (TimeoutError, asyncio.CancelledError):
            self._stuck.append(thread)
            raise

    @property
    def shown_url(self) -> str:
        """The address without credentials."""
        return f"Prometheus at {shown_address(self._url)}"


def shown_address(url: str) -> str:
    """An address without credentials and without the rest of the question."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that is none"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if host else parts.path or "nowhere"


def _settle(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], result: Any, trouble: PrometheusTrouble | None
) -> None:
    def tell() -> None:
        if future.done():
            return
        if trouble is None:
            future.set_result(result)
        else:
            future.set_exception(trouble)

    if not loop.is_closed():
        loop.call_soon_threadsafe(tell)


def _series(entry: Any, earliest: int, latest: int) -> Series:
    """One series of a matrix answer. Raises PrometheusTrouble for anything else."""
    try:
        labels = {str(k): str(v) for k, v in entry["metric"].items()}
        pairs = [(round(float(at) * 1000) * (SECOND // 1000), float(value)) for at, value in entry["values"]]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        text = "Prometheus gave an answer that is not a range of samples"
        raise PrometheusTrouble(text, Trouble.BAD_SAMPLES) from None
    instants = [at for at, _ in pairs]
    if any(a >= b for a, b in pairwise(instants)) or (pairs and not earliest <= instants[0] <= instants[-1] <= latest):
        raise PrometheusTrouble("Prometheus gave samples of other times than asked for", Trouble.BAD_SAMPLES)
    kept = [(at, value) for at, value in pairs if abs(value) < TOO_MUCH]  # false for NaN too
    return Series(
        name=labels.pop("__name__", ""),
        labels=labels,
        times=np.array([at for at, _ in kept], np.int64),
        values=np.array([value for _, value in kept], np.float64),
        unknown=np.array([at for at, value in pairs if not abs(value) < TOO_MUCH], np.int64),
    )


def _network_trouble(who: str, error: OSError, timeout: float) -> PrometheusTrouble:
    kind = type(error).__name__
    # A body that stops coming is a ConnectionError to requests, with urllib3's ReadTimeoutError in its text.
    if "Timeout" in kind or "timed out" in str(error):
        return PrometheusTrouble(f"{who} did not answer within {timeout:g} s", Trouble.TIMEOUT)
    if "refused" in str(error):
        return PrometheusTrouble(f"{who} refused the connection: is it running?", Trouble.UNREACHABLE)
    if "resolve" in str(error) or "Name or service" in str(error):
        return PrometheusTrouble(f"the host of {who} is not known", Trouble.UNREACHABLE)
    return PrometheusTrouble(f"{who} cannot be asked: {kind}", Trouble.UNREACHABLE)


def _refusal(text: str) -> tuple[str, Trouble]:
    """The client's exception, "HTTP Status Code 422 (b'the body')", as one short line: Prometheus's own words if there are any."""
    found = re.fullmatch(r"HTTP Status Code (\d+) \((b['\"].*)\)", text, re.DOTALL)
    if found is None:
        return _short(text), Trouble.HTTP_ERROR
    body = ast.literal_eval(found.group(2)).decode(errors="replace")
    kind = Trouble.HTTP_ERROR
    try:
        words = str(json.loads(body)["error"])
        kind = Trouble.BAD_QUERY if found.group(1) in {"400", "422"} else kind
    except (ValueError, KeyError, TypeError):
        words = re.sub(r"<[^>]*>", " ", body)
    return f"HTTP {found.group(1)}: {_short(words)}", kind


def _short(text: str) -> str:
    return " ".join(text.split())[:LONGEST_TEXT]
