"""Commands in a container over the API server's exec connection, line by line.

The program that runs is `inside.py`, by the container's own Python: found as `python3` or `python`, or as
`/proc/1/exe` when the container's first process is one. No shell, `ps` or `kill` is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websocket

from faults.base import FaultError, NotInjected, Pod
from faults.kube.api import Api
from faults.kube.channel import Channel, open_channel
from faults.kube.errors import ClusterError, Request

log = logging.getLogger(__name__)

PROGRAM = Path(__file__).with_name("inside.py")
PYTHONS = ("python3", "python", "/proc/1/exe")
_STDIN, _STDOUT, _STDERR, _STATUS = b"\x00", 1, 2, 3
_KEPT_OUTPUT = 4_096
_NO_PROGRAM = ("executable file not found", "no such file or directory", "permission denied", "not a directory")


class NoPython(NotInjected):
    """The container has no Python that could act in it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One answer of `inside.py`."""

    event: str
    at_monotonic_ns: int
    """When it reached us, on our clock."""
    inside_ns: int
    """When it was written, on the clock of the container's machine."""
    values: dict[str, Any]


@dataclass(slots=True)
class Session:
    """One running command; a thread of its own reads its lines until it ends."""

    lines: list[Line] = field(default_factory=list)
    ended: str | None = None
    """None while the connection is open, then why it ended; empty for a good end."""
    ended_ns: int | None = None
    """When, CLOCK_MONOTONIC."""
    stderr: str = ""
    on_line: Callable[[Line], None] = lambda _line: None
    go: Callable[[], None] = lambda: None
    """Let what runs inside begin."""
    cut: Callable[[], None] = lambda: None
    """Close the connection; what runs inside goes on."""

    def first(self, event: str) -> Line | None:
        return next((one for one in self.lines if one.event == event), None)

    def all(self, event: str) -> list[Line]:
        return [one for one in self.lines if one.event == event]

    async def until(self, reached: Callable[[Session], bool], seconds: float) -> bool:
        """Wait for a line, the end, or the time; whether it was reached."""
        deadline = time.monotonic() + seconds
        while not reached(self):
            if self.ended is not None or time.monotonic() >= deadline:
                return reached(self)
            await asyncio.sleep(0.005)
        return True


class Containers:
    """Runs `inside.py` in containers."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._python: dict[str, str] = {}

    async def run(self, pod: Pod, words: Sequence[str], seconds: float) -> Session:
        """Run to the end. Raises `ClusterError`, `NoPython`, or `FaultError` when it does not end in time."""
        session = await self.start(pod, words)
        if not await session.until(lambda one: one.ended is not None, seconds):
            raise FaultError(f"{words[0]} in {pod.name}/{pod.container} did not end within {seconds:g} s")
        return session

    async def start(
        self, pod: Pod, words: Sequence[str], on_line: Callable[[Line], None] = lambda _line: None
    ) -> Session:
        """Start it, with whichever Python there is; returns when it answers or has ended."""
        known = self._python.get(pod.container_id)
        for python in (known,) if known else PYTHONS:
            session = await asyncio.to_thread(self._open, pod, python, words, on_line)
            # Told to go only once it has answered, so that nothing is ever done twice while a Python is looked for.
            await session.until(lambda one: bool(one.lines), self._api.ask_seconds)
            if session.lines:
                self._python[pod.container_id] = python
                self._let_go(session, pod)
                await session.until(lambda one: len(one.lines) > 1, self._api.ask_seconds)
                return session
            if session.ended is None:
                session.cut()
                raise FaultError(
                    f"{words[0]} in {pod.name}/{pod.container}: no answer within {self._api.ask_seconds:g} s"
                )
            if not _no_program(session):
                raise FaultError(f"{words[0]} in {pod.name}/{pod.container}: {session.ended} {session.stderr}".strip())
        raise NoPython(
            f"container {pod.container} of {pod.name} has no Python ({', '.join(PYTHONS)}), and without one nothing "
            "can act on its processes from inside; pod_delete needs none"
        )

    def _let_go(self, session: Session, pod: Pod) -> None:
        """What was let begin before may be forbidden by now."""
        try:
            self._api.must_write(Request("create", "pods/exec", pod.namespace, pod.name))
        except ClusterError:
            session.cut()
            raise
        session.go()

    def _open(self, pod: Pod, python: str, words: Sequence[str], on_line: Callable[[Line], None]) -> Session:
        program = PROGRAM.read_bytes()
        # Sent over standard input: as an argument it would be part of the address, and so of every log.
        loader = "import sys; exec(compile(sys.stdin.buffer.read(int(sys.argv[1])), 'inside', 'exec'))"
        command = [python, "-I", "-S", "-c", loader, str(len(program)), *words]
        request = Request("create", "pods/exec", pod.namespace, pod.name)
        self._api.must_write(request)
        channel = Channel(self._connect(request, pod, command), self._api.ask_seconds)
        session = Session(on_line=on_line, go=lambda: _send(channel, b"\n"), cut=channel.cut)
        _send(channel, program)
        threading.Thread(target=_read, args=(channel, session), name=f"exec-{pod.name}", daemon=True).start()
        return session

    def _connect(self, request: Request, pod: Pod, command: Sequence[str]) -> websocket.WebSocket:
        query = [("container", pod.container), ("stdin", "true"), ("stdout", "true"), ("stderr", "true")]
        query += [("command", word) for word in command]
        return open_channel(self._api, request, f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/exec", query)


def _send(channel: Channel, content: bytes) -> None:
    """To its standard input; one that has ended already is found out by its missing answers."""
    with contextlib.suppress(OSError, websocket.WebSocketException):
        channel.send(_STDIN + content)


def _read(channel: Channel, session: Session) -> None:
    """Take what comes until the connection ends; runs in a thread."""
    rest, status = b"", b""
    broken = ""
    try:
        while True:
            code, data = channel.receive()
            if code == websocket.ABNF.OPCODE_CLOSE:
                break
            stream, content = data[0], data[1:]
            if stream == _STDOUT:
                *whole, rest = (rest + content).split(b"\n")
                for line in whole:
                    _take(line, session)
            elif stream == _STDERR:
                session.stderr = (session.stderr + content.decode(errors="replace"))[-_KEPT_OUTPUT:]
            elif stream == _STATUS:
                status += content
    except (OSError, websocket.WebSocketException) as error:
        broken = f"the connection broke off ({error})"
    finally:
        session.ended_ns = time.monotonic_ns()
        channel.close()
        session.ended = _end_of(status) if status else broken or "the connection ended without a status"


def _take(line: bytes, session: Session) -> None:
    try:
        values = json.loads(line)
        taken = Line(values.pop("event"), time.monotonic_ns(), values.pop("ns"), values)
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    session.lines.append(taken)
    session.on_line(taken)


def _end_of(status: bytes) -> str:
    """Empty for success; else the server's words."""
    try:
        given = json.loads(status)
    except ValueError:
        return status.decode(errors="replace")[:300]
    return "" if given.get("status") == "Success" else str(given.get("message") or "failed")[:300]


def _no_program(session: Session) -> bool:
    """Whether it ended because that Python is not there (or is none)."""
    words = f"{session.ended or ''} {session.stderr}".lower()
    started_something_else = session.ended not in (None, "") and not session.lines
    return any(one in words for one in _NO_PROGRAM) or (started_something_else and "traceback" not in words)
