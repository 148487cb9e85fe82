"""Which class an error belongs to: aiperf's words on one side, our closed list on the other. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from probes.record import ErrorClass

HELD = "aftershock_held"
"""Error type of a request that was not sent because the probe hands over to another process."""
MESSAGE_LIMIT = 300


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error as aiperf words it: an exception's or reason phrase's name, a status code, a text."""

    type: str
    code: int | None = None
    message: str = ""
    chain: tuple[str, ...] = ()


BY_TYPE = {
    "SSEResponseError": ErrorClass.STREAM_ERROR,
    "RequestCancellationError": ErrorClass.CANCELLED,
    "InvalidInferenceResultError": ErrorClass.INVALID_RESPONSE,
    "TimeoutError": ErrorClass.TIMEOUT,
    "ServerTimeoutError": ErrorClass.TIMEOUT,
    "SocketTimeoutError": ErrorClass.TIMEOUT,
    "ConnectionTimeoutError": ErrorClass.TIMEOUT,
    "RequestSendTimeout": ErrorClass.TIMEOUT,
    "ServerDisconnectedError": ErrorClass.SERVER_DISCONNECTED,
    "ClientPayloadError": ErrorClass.STREAM_CUT,
}
"""aiperf's names (they are those of aiohttp's exceptions) whose class does not depend on anything else."""

CONNECTION_TYPES = frozenset(
    {
        "ClientConnectorError",
        "ClientConnectorDNSError",
        "ClientConnectorCertificateError",
        "ClientConnectorSSLError",
        "ClientConnectionError",
        "ClientConnectionResetError",
        "ClientOSError",
        "ConnectionResetError",
        "ConnectionRefusedError",
        "ConnectionAbortedError",
        "BrokenPipeError",
        "OSError",
    }
)

OWN_CLASSES = {
    member.value: member
    for member in (
        ErrorClass.STREAM_ERROR,
        ErrorClass.STREAM_NO_DONE,
        ErrorClass.STREAM_NO_FINISH,
        ErrorClass.STREAM_NO_USAGE,
        ErrorClass.STREAM_EMPTY,
        ErrorClass.WRONG_LENGTH,
        ErrorClass.INVALID_RESPONSE,
    )
}
"""Error types that our own transport sets."""


def classify(error: ErrorInfo, status: int | None) -> ErrorClass:
    """The class of an error. `status` is the HTTP status, None when no answer had begun."""
    known = OWN_CLASSES.get(error.type) or BY_TYPE.get(error.type)
    if known:
        return known
    if error.type in CONNECTION_TYPES:
        return _connection(error, status)
    if error.code is not None and 400 <= error.code < 600:
        return _http(error.code)
    return ErrorClass.OTHER


def _connection(error: ErrorInfo, status: int | None) -> ErrorClass:
    if status is not None:
        return ErrorClass.STREAM_CUT
    words = " ".join((error.type, error.message, *error.chain)).lower()
    if "refused" in words or "errno 111" in words:
        return ErrorClass.CONNECTION_REFUSED
    if "reset" in words or "broken pipe" in words or "brokenpipe" in words:
        return ErrorClass.CONNECTION_RESET
    return ErrorClass.CONNECTION_OTHER


def _http(code: int) -> ErrorClass:
    try:
        return ErrorClass(f"http_{code}")
    except ValueError:
        return ErrorClass.HTTP_4XX if code < 500 else ErrorClass.HTTP_5XX
