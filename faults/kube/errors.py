"""Whatever the API server or the way to it answers, as one line that says what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError

from faults.base import FaultError


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, in the words of a Role: `Request("delete", "pods", "prod", "worker-0")`."""

    verb: str
    resource: str
    """With its group where it has one, such as `deployments.apps`; a subresource behind a slash."""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{f' {self.name}' if self.name else ''}{where}"


class ClusterError(FaultError):
    """The API server did not do what was asked. `status` is None when no answer came."""

    def __init__(self, text: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after
        """Seconds to wait by the server's word."""

    @property
    def passing(self) -> bool:
        """Whether the same request may well succeed a little later."""
        return self.status is None or self.status in {408, 429} or self.status >= 500

    @property
    def gone(self) -> bool:
        """Whether the object is not there."""
        return self.status == 404


def explained(request: Request, status: int, body: bytes, headers: Mapping[str, str]) -> ClusterError:
    """An answer that is an error."""
    said = _message(body)
    match status:
        case 401:
            text = f"{request}: the API server does not accept our credentials (401); renew the token or the kubeconfig; {said}"
        case 403:
            text = f"not allowed to {request} (403): grant {request.verb} on {request.resource} there; {said}"
        case 404:
            text = f"{request}: not found (404); {said}"
        case 409:
            text = f"{request}: conflict (409), it was changed or replaced meanwhile; {said}"
        case 410:
            text = f"{request}: gone (410), the history asked for is no longer kept; {said}"
        case 422:
            text = f"{request}: refused as invalid (422); {said}"
        case 429:
            text = f"{request}: refused for now (429), the server is busy or a PodDisruptionBudget says no; {said}"
        case _ if status >= 500:
            text = f"{request}: the API server failed ({status}); {said}"
        case _:
            text = f"{request}: HTTP {status}; {said}"
    return ClusterError(text, status, _retry_after(headers))


def unanswered(error: HTTPError | OSError, request: Request, seconds: float) -> ClusterError:
    """No answer at all."""
    # A connection that was refused is a kind of timeout to urllib3.
    late = isinstance(error, Urllib3TimeoutError | TimeoutError) and not isinstance(error, NewConnectionError)
    if late:
        return ClusterError(f"{request}: no answer from the API server within {seconds:g} s")
    return ClusterError(f"{request}: the API server cannot be reached ({_short(error)})")


def _message(body: bytes) -> str:
    """The server's own words, of the Status object that it sends."""
    try:
        said = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        said = body.decode(errors="replace")
    return str(said or "no message").strip()[:300]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    given = headers.get("Retry-After")
    try:
        return float(given) if given is not None else None
    except ValueError:
        return None


def _short(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
