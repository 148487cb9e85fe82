"""Asks a Prometheus, in time or not at all: every trouble becomes one line."""

from __future__ import annotations

import ast
import asyncio
import json
import math
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
STUCK_LIMIT = 4
"""Queries that outlived their deadline (a server that drips) at most; beyond it no new one is begun."""


class PrometheusTrouble(Exception):
    """Prometheus did not give an answer that can be used. The text is one line for a person."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One time series as it was scraped. Samples that are not numbers are left out."""

    name: str
    labels: Mapping[str, str]
    times: Int64
    """UTC nanoseconds."""
    values: NDArray[np.float64]

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
        return [_series(entry) for entry in answer]

    async def check(self) -> None:
        """Raises PrometheusTrouble unless it answers."""
        await self._ask("vector(1)", {})

    async def _ask(self, query: str, params: dict[str, str]) -> list[Any]:
        try:
            answer = await self._in_thread(lambda: self._query(query, params))
        except TimeoutError:
            raise PrometheusTrouble(f"{self.shown_url} did not answer within {self._timeout:g} s") from None
        if not isinstance(answer, list):
            raise PrometheusTrouble(f"{self.shown_url} gave an answer that is not a list of series")
        return answer

    def _query(self, query: str, params: dict[str, str]) -> object:
        # imported here because the client and requests cost 8 MB, which only those who ask should pay
        import requests  # noqa: PLC0415 - see above
        from prometheus_api_client import PrometheusConnect  # noqa: PLC0415 - see above
        from prometheus_api_client.exceptions import PrometheusApiClientException  # noqa: PLC0415 - see above
        from urllib3.util.retry import Retry  # noqa: PLC0415 - see above

        session = requests.Session()
        session.trust_env = urlsplit(self._url).hostname not in LOOPBACK
        client = PrometheusConnect(url=self._url, retry=Retry(0), session=session, timeout=self._timeout)
        try:
            answer: object = client.custom_query(query, params=params)
        except PrometheusApiClientException as error:
            raise PrometheusTrouble(f"{self.shown_url} refused the query: {_line(str(error))}") from None
        except (KeyError, TypeError, ValueError, AttributeError):  # JSON errors are ValueErrors
            raise PrometheusTrouble(f"{self.shown_url} did not answer as a Prometheus does: not its JSON") from None
        except OSError as error:  # every exception of requests is one
            raise PrometheusTrouble(_network_line(self.shown_url, error, self._timeout)) from None
        finally:
            client.close()
        return answer

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """A daemon thread, for a server that drips its answer must keep neither the run nor the exit waiting."""
        self._stuck = [t for t in self._stuck if t.is_alive()]
        if len(self._stuck) >= STUCK_LIMIT:
            raise PrometheusTrouble(f"{len(self._stuck)} earlier questions to {self.shown_url} still hang")
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
        parts = urlsplit(self._url)
        return f"Prometheus at {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


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


def _series(entry: Any) -> Series:
    """One series of a matrix answer. Raises PrometheusTrouble for anything else."""
    try:
        labels = {str(k): str(v) for k, v in entry["metric"].items()}
        pairs = [(round(float(at) * 1000) * (SECOND // 1000), float(value)) for at, value in entry["values"]]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise PrometheusTrouble("Prometheus gave an answer that is not a range of samples") from None
    kept = sorted((at, value) for at, value in pairs if math.isfinite(value))
    return Series(
        name=labels.pop("__name__", ""),
        labels=labels,
        times=np.array([at for at, _ in kept], np.int64),
        values=np.array([value for _, value in kept], np.float64),
    )


def _network_line(who: str, error: OSError, timeout: float) -> str:
    kind = type(error).__name__
    if "Timeout" in kind:
        return f"{who} did not answer within {timeout:g} s"
    if "refused" in str(error):
        return f"{who} refused the connection: is it running?"
    if "resolve" in str(error) or "Name or service" in str(error):
        return f"the host of {who} is not known"
    return f"{who} cannot be asked: {kind}"


def _line(text: str) -> str:
    """The client's exception, "HTTP Status Code 422 (b'the body')", as one short line: Prometheus's own words if there are any."""
    found = re.fullmatch(r"HTTP Status Code (\d+) \((b['\"].*)\)", text, re.DOTALL)
    if found is None:
        return " ".join(text.split())[:LONGEST_TEXT]
    body = ast.literal_eval(found.group(2)).decode(errors="replace")
    try:
        words = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        words = re.sub(r"<[^>]*>", " ", body)
    return f"HTTP {found.group(1)}: {' '.join(words.split())[:LONGEST_TEXT]}"
