"""An OpenAI-compatible server on loopback that misbehaves as told, and remembers what it did.

    async with ScriptedServer() as server:
        server.set(Mode.CUT_MID, tokens_before=3)     # from the next request on
        await server.refuse()                         # close the listener; listen() opens the same port again

One asyncio server, plain HTTP/1.1, no framework: it must be able to break the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import TracebackType
from typing import Any


class Mode(StrEnum):
    """What happens to a request for an answer."""

    GOOD = "good"
    HTTP_STATUS = "http_status"
    CLOSE_BEFORE = "close_before"
    RESET_BEFORE = "reset_before"
    RESET_MID = "reset_mid"
    CUT_MID = "cut_mid"
    """The connection is closed in the middle of a chunked body."""
    ERROR_FRAME = "error_frame"
    """Some tokens, a data frame with an error object, [DONE]: what Dynamo 1.4.2 sends when a worker dies."""
    ERROR_FRAME_FIRST = "error_frame_first"
    ERROR_EVENT = "error_event"
    ERROR_BODY = "error_body"
    """Status 200 with an error as JSON body."""
    NO_DONE = "no_done"
    NO_FINISH = "no_finish"
    NO_USAGE = "no_usage"
    EMPTY = "empty"
    """Only [DONE]; unary: no choices."""
    WRONG_LENGTH = "wrong_length"
    HANG = "hang"
    HANG_MID = "hang_mid"
    SLOW_FIRST = "slow_first"
    SLOW_TOKENS = "slow_tokens"
    """One long silence in the middle."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A mode and its figures."""

    mode: Mode = Mode.GOOD
    status: int = 503
    body: str = '{"message":"scripted failure"}'
    tokens_before: int = 3
    delay_seconds: float = 1.0
    token_seconds: float = 0.001


@dataclass(slots=True)
class Served:
    """One request as the server saw it. Instants are time.monotonic_ns()."""

    mode: Mode
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    begin_ns: int
    end_ns: int | None = None
    tokens_sent: int = 0
    status: int | None = None
    whole: bool = False
    """The answer went out as a healthy server would send it, however slowly."""

    @property
    def request_id(self) -> str:
        return self.headers.get("x-request-id", "")


@dataclass(slots=True)
class _Exchange:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    behaviour: Behaviour
    served: Served
    chat: bool
    stream: bool
    tokens: int
    usage: bool
    keep_alive: bool = field(default=False)


class _HangUpError(Exception):
    """The connection ends here, on purpose."""


class ScriptedServer:
    """See the module. `requests` holds the latest answers asked for, oldest first."""

    def __init__(self, *, model: str = "scripted", port: int = 0) -> None:
        self.model = model
        self.port = port
        self.behaviour = Behaviour()
        self.requests: deque[Served] = deque(maxlen=100_000)
        self._queue: deque[Behaviour] = deque()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def set(self, mode: Mode, **figures: Any) -> int:
        """Behave so from now on; returns the instant of the change."""
        self.behaviour = replace(Behaviour(), mode=mode, **figures)
        return time.monotonic_ns()

    def once(self, mode: Mode, **figures: Any) -> None:
        """Behave so for one request, before what `set` said; may be called several times."""
        self._queue.append(replace(Behaviour(), mode=mode, **figures))

    async def listen(self) -> None:
        """Open the listener (again, on the same port)."""
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> int:
        """Close the listener: connections are refused from the returned instant on."""
        if self._server is not None:
            self._server.close()
            self._server = None
        return time.monotonic_ns()

    def drop_all(self, *, reset: bool = True) -> int:
        """End every open connection now, as the death of the server would; returns how many."""
        for writer in list(self._writers):
            _end(writer, reset=reset)
        return len(self._writers)

    async def __aenter__(self) -> ScriptedServer:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        self.drop_all()
        await asyncio.sleep(0)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (_HangUpError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1]
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        keep_alive = headers.get("connection", "").lower() != "close"
        if not path.endswith("/completions"):
            await _plain(writer, 200, self._page(path))
            return keep_alive
        body = json.loads(raw)
        behaviour = self._queue.popleft() if self._queue else self._behave(headers)
        served = Served(behaviour.mode, path, headers, body, time.monotonic_ns())
        self._began(served)
        exchange = _Exchange(
            reader,
            writer,
            behaviour,
            served,
            chat=path.endswith("/chat/completions"),
            stream=bool(body.get("stream")),
            tokens=int(body.get("max_completion_tokens") or body.get("max_tokens") or 16),
            usage=bool((body.get("stream_options") or {}).get("include_usage")),
        )
        try:
            await _answer(exchange)
        finally:
            served.end_ns = time.monotonic_ns()
            self._ended(served)
        return keep_alive

    # What a server with a purpose of its own may want to decide or to know.

    def _behave(self, headers: dict[str, str]) -> Behaviour:
        """What the next request meets."""
        return self.behaviour

    def _began(self, served: Served) -> None:
        self.requests.append(served)

    def _ended(self, served: Served) -> None:
        """Everything about the request is known now."""

    def _page(self, path: str) -> str:
        if path.startswith("/v1/models"):
            return json.dumps({"object": "list", "data": [{"id": self.model, "object": "model"}]})
        return json.dumps({"status": "healthy"})


async def _answer(x: _Exchange) -> None:
    mode = x.behaviour.mode
    if mode is Mode.CLOSE_BEFORE or mode is Mode.RESET_BEFORE:
        _end(x.writer, reset=mode is Mode.RESET_BEFORE)
        raise _HangUpError
    if mode is Mode.HANG:
        await _until_gone(x)
    if mode is Mode.SLOW_FIRST:
        await asyncio.sleep(x.behaviour.delay_seconds)
    x.served.status = x.behaviour.status if mode is Mode.HTTP_STATUS else 200
    if mode is Mode.HTTP_STATUS or mode is Mode.ERROR_BODY:
        body = x.behaviour.body if mode is Mode.HTTP_STATUS else json.dumps(ERROR)
        await _plain(x.writer, x.served.status, body)
    elif x.stream:
        await _stream(x)
    else:
        await _unary(x)


WHOLE = frozenset({Mode.GOOD, Mode.SLOW_FIRST, Mode.SLOW_TOKENS})

ERROR = {"error": {"message": "Internal server error", "type": "internal_server_error", "code": 500}}


async def _stream(x: _Exchange) -> None:
    mode = x.behaviour.mode
    x.writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
    count = x.tokens - 1 if mode is Mode.WRONG_LENGTH else x.tokens
    if mode is Mode.EMPTY or mode is Mode.ERROR_FRAME_FIRST:
        count = 0
    for position in range(count):
        if position == x.behaviour.tokens_before:
            await _break_mid(x)
        last = position == count - 1 and mode is not Mode.NO_FINISH
        _frame(x.writer, json.dumps(_chunk(x, "tok ", "length" if last else None)))
        x.served.tokens_sent += 1
        await x.writer.drain()
        await asyncio.sleep(x.behaviour.token_seconds)
        if mode is Mode.ERROR_FRAME and x.served.tokens_sent == x.behaviour.tokens_before:
            break
    if mode in {Mode.ERROR_FRAME, Mode.ERROR_FRAME_FIRST}:
        _frame(x.writer, json.dumps(ERROR))
    elif x.usage and mode not in {Mode.NO_USAGE, Mode.EMPTY}:
        usage = {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}
        _frame(x.writer, json.dumps({**_chunk(x, "", None), "choices": [], "usage": usage}))
    if mode is not Mode.NO_DONE:
        _frame(x.writer, "[DONE]")
    x.writer.write(b"0\r\n\r\n")
    await x.writer.drain()
    x.served.whole = mode in WHOLE


async def _break_mid(x: _Exchange) -> None:
    mode = x.behaviour.mode
    if mode is Mode.RESET_MID or mode is Mode.CUT_MID:
        _end(x.writer, reset=mode is Mode.RESET_MID)
        raise _HangUpError
    if mode is Mode.HANG_MID:
        await _until_gone(x)
    if mode is Mode.SLOW_TOKENS:
        await asyncio.sleep(x.behaviour.delay_seconds)
    if mode is Mode.ERROR_EVENT:
        _write_chunk(x.writer, b'event: error\n: scripted\ndata: {"message":"scripted"}\n\n')


async def _unary(x: _Exchange) -> None:
    mode = x.behaviour.mode
    if mode in {Mode.RESET_MID, Mode.CUT_MID, Mode.HANG_MID}:
        x.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
        await x.writer.drain()
        await _break_mid(x)
    count = x.tokens - 1 if mode is Mode.WRONG_LENGTH else x.tokens
    text = "tok " * count
    choice: dict[str, Any] = {"index": 0, "finish_reason": None if mode is Mode.NO_FINISH else "length"}
    choice |= {"message": {"role": "assistant", "content": text}} if x.chat else {"text": text}
    body: dict[str, Any] = {
        "id": "scripted",
        "object": "chat.completion" if x.chat else "text_completion",
        "choices": [] if mode is Mode.EMPTY else [choice],
    }
    if mode is not Mode.NO_USAGE:
        body["usage"] = {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}
    x.served.tokens_sent = count
    await _plain(x.writer, 200, json.dumps(body))
    x.served.whole = mode in WHOLE


def _chunk(x: _Exchange, text: str, finish: str | None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
    choice |= {"delta": {"content": text}} if x.chat else {"text": text}
    kind = "chat.completion.chunk" if x.chat else "text_completion"
    return {"id": "scripted", "object": kind, "model": "scripted", "choices": [choice]}


def _frame(writer: asyncio.StreamWriter, data: str) -> None:
    _write_chunk(writer, f"data: {data}\n\n".encode())


def _write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


async def _plain(writer: asyncio.StreamWriter, status: int, body: str) -> None:
    data = body.encode()
    head = f"HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    await writer.drain()


async def _until_gone(x: _Exchange) -> None:
    """Keep the connection open and silent until the client leaves; at most ten minutes."""
    await x.writer.drain()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(600):
            while await x.reader.read(1024):
                pass
    raise _HangUpError


def _end(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    sock = writer.get_extra_info("socket")
    if reset and sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return
    writer.close()
