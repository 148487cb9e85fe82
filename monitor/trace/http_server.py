"""OTLP over HTTP with protobuf: POST /v1/traces and /v1/logs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import uvicorn
from google.rpc.status_pb2 import Status

from monitor.trace.body import too_large
from monitor.trace.intake import Intake, Signal
from monitor.trace.refusal import Reason, Refused

log = logging.getLogger(__name__)

READ_SECONDS = 20.0
"""Longest time for one body to arrive."""
STOP_SECONDS = 3.0
_PATHS: Mapping[str, Signal] = {"/v1/traces": "traces", "/v1/logs": "logs"}
_PROTOBUF = "application/x-protobuf"
_CODES = {
    Reason.MALFORMED: 400,
    Reason.GZIP: 400,
    Reason.UNAUTHORIZED: 401,
    Reason.NOT_FOUND: 404,
    Reason.TIMEOUT: 408,
    Reason.TOO_LARGE: 413,
    Reason.CONTENT_TYPE: 415,
    Reason.ENCODING: 415,
    Reason.BUSY: 503,
}

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class SenderGone(Exception):
    """The connection ended before the body did; there is nobody to answer."""


class HttpApp:
    """The ASGI application: small, so that nothing but its bounds decides what it costs."""

    def __init__(self, intake: Intake, *, read_seconds: float = READ_SECONDS) -> None:
        self._intake = intake
        self._read_seconds = read_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {key: value.decode("latin-1") for key, value in scope["headers"]}
        try:
            await self._take(scope, headers, receive)
        except Refused as refused:
            self._intake.refuse(refused, f"{(scope.get('client') or ('unknown',))[0]} over HTTP")
            await _answer(send, _CODES[refused.reason], Status(message=str(refused)).SerializeToString())
        except SenderGone:
            return
        else:
            # An empty message says that everything was taken.
            await _answer(send, 200, b"")

    async def _take(self, scope: Scope, headers: Mapping[bytes, str], receive: Receive) -> None:
        self._intake.authorize(headers.get(b"authorization", ""))
        signal = _PATHS.get(scope["path"])
        if signal is None or scope["method"] != "POST":
            raise Refused(Reason.NOT_FOUND, "OTLP is taken by POST at /v1/traces and /v1/logs")
        gzip = _check_headers(headers, self._intake.max_body_bytes)
        self._intake.enter()
        try:
            body = await self._read(receive)
            await self._intake.take(signal, body, gzip=gzip)
        finally:
            self._intake.leave()

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._read_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise SenderGone
                    body += message.get("body", b"")
                    if len(body) > self._intake.max_body_bytes:
                        raise too_large(self._intake.max_body_bytes)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise Refused(Reason.TIMEOUT, f"the body did not arrive within {self._read_seconds:g} s") from None


def _check_headers(headers: Mapping[bytes, str], limit: int) -> bool:
    """Whether the body is packed. Raises Refused for what cannot be read at all."""
    kind = headers.get(b"content-type", "").partition(";")[0].strip().lower()
    if kind != _PROTOBUF:
        raise Refused(Reason.CONTENT_TYPE, f"Content-Type must be {_PROTOBUF}; JSON is not taken")
    encoding = headers.get(b"content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", ""}:
        raise Refused(Reason.ENCODING, "Content-Encoding must be gzip or none")
    length = headers.get(b"content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > limit):
        raise too_large(limit)
    return encoding == "gzip"


async def _answer(send: Send, code: int, body: bytes) -> None:
    headers = [(b"content-type", _PROTOBUF.encode()), (b"content-length", str(len(body)).encode())]
    if code == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if code == 413 or code == 408:  # noqa: PLR1714 - two reasons: the rest of the body is still on its way
        headers.append((b"connection", b"close"))
    if code == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Quiet(uvicorn.Server):
    """uvicorn without signal handlers of its own: the service has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves an intake on a listening socket."""

    def __init__(self, intake: Intake, listener: socket.socket) -> None:
        self.port = int(listener.getsockname()[1])
        self._listener = listener
        config = uvicorn.Config(
            HttpApp(intake),
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            interface="asgi3",
            timeout_keep_alive=65,
            server_header=False,
        )
        self._server = _Quiet(config)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to answer."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]))

    async def stop(self) -> None:
        """Stop answering; requests in progress have three seconds."""
        self._server.should_exit = True
        if self._task is None:
            self._listener.close()
            return
        done, _ = await asyncio.wait({self._task}, timeout=STOP_SECONDS)
        if not done:
            self._server.force_exit = True
            await asyncio.gather(self._task, return_exceptions=True)
