"""The stream over a real socket: its first events, its limit, and who does not read."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from monitor.api import live
from monitor.api.app import make_app
from monitor.live.hub import MOST_LISTENERS, Hub
from tests.monitor.test_api import Face
from tests.support.records import run as make_run

pytestmark = pytest.mark.anyio

BOUND = 20.0
"""Seconds until a test gives up."""


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"


@dataclass
class Connection:
    """One that asked for the stream."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: int

    async def event(self) -> tuple[str, Any]:
        """The next event; chunk sizes and comments are passed over."""
        name = ""
        async with asyncio.timeout(BOUND):
            while True:
                line = (await self.reader.readuntil(b"\n")).decode().strip()
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    return name, json.loads(line.removeprefix("data: "))


@dataclass
class Served:
    """An application on loopback, in this event loop."""

    port: int
    hub: Hub

    async def ask(self) -> Connection:
        """A connection whose head was answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /api/v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        return Connection(reader, writer, int(head.split()[1]))


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Served]:
    """The API; every stream is ended with it."""
    face = Face(folder)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(face), log_level="error", lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    await until(lambda: server.started)
    try:
        yield Served(listener.getsockname()[1], face.view.hub)
    finally:
        face.view.hub.close()
        server.should_exit = True
        async with asyncio.timeout(BOUND):
            await task
        listener.close()


async def until(reached: Any) -> None:
    """Wait for it, bounded."""
    async with asyncio.timeout(BOUND):
        while not reached():
            await asyncio.sleep(0.01)


async def test_the_first_events_come_at_once_and_the_rest_as_it_happens(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        one = await api.ask()
        assert one.status == 200
        name, data = await one.event()
        assert (name, data["deployment"]) == ("status", "<d>")
        api.hub.run_changed(make_run(1))
        name, data = await one.event()
        assert (name, data["id"]) == ("run", make_run(1).id)
        await api.hub.tick()
        assert {(await one.event())[0] for _ in range(2)} == {"status", "second"}
        one.writer.close()
        await until(lambda: api.hub.listeners == 0)


async def test_no_more_than_the_limit_also_when_all_come_at_once(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        asked = await asyncio.gather(*(api.ask() for _ in range(MOST_LISTENERS + 8)))
        assert sorted(one.status for one in asked) == [200] * MOST_LISTENERS + [503] * 8
        for one in asked:
            one.writer.close()
        await until(lambda: api.hub.listeners == 0)
        assert (await api.ask()).status == 200


async def test_who_takes_nothing_loses_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STUCK_SECONDS", 0.2)
    large = make_run(1).model_copy(update={"reason": "x" * 1_000_000})
    async with served(tmp_path) as api:
        stuck, well = await api.ask(), await api.ask()
        stuck.reader._transport.pause_reading()  # type: ignore[attr-defined]
        assert (await well.event())[0] == "status"
        for _ in range(30):
            api.hub.run_changed(large)
        reading = asyncio.create_task(_read_on(well))
        await until(lambda: api.hub.listeners == 1)
        api.hub.run_changed(make_run(7))
        async with asyncio.timeout(BOUND):
            assert await reading == make_run(7).id, "the others hear everything"
        stuck.writer.close()
        well.writer.close()


async def _read_on(one: Connection) -> str:
    """Reads until a run with the short reason comes."""
    while True:
        data = await one.reader.read(1 << 20)
        if make_run(7).id.encode() in data:
            return make_run(7).id
