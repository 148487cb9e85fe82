"""Who listens hears everything, the status first; who reads too slowly is told; nobody costs anything who is not there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from monitor.live import hub as hub_module
from monitor.live.cells import SECOND_NS
from monitor.live.hub import LATE_SECONDS, MOST_LISTENERS, MOST_WAITING, RIPE_SECONDS, Hub, TooManyListenersError
from probes.record import Gap, Outcome, Record
from tests.support.records import run as make_run

pytestmark = pytest.mark.anyio

NOW = 1_700_000_000 * SECOND_NS


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"


class Scene:
    """What is looked at."""

    def __init__(self) -> None:
        self.now = NOW
        self.words = "fine"
        self.records: list[Record] = []
        self.asked = 0

    def status(self) -> dict[str, Any]:
        return {"words": self.words, "now_ns": self.now}

    def recent(self, seconds: float) -> list[Record]:
        self.asked += 1
        return self.records

    def gaps_since(self, since_ns: int) -> list[Gap]:
        return []

    def now_ns(self) -> int:
        return self.now

    def request(self, seconds_ago: float, outcome: Outcome = Outcome.GOOD) -> None:
        start = self.now - round(seconds_ago * SECOND_NS)
        self.records.append(Record("chat", 1, len(self.records), "id", start, start + 10**8, outcome))


def parsed(message: bytes) -> tuple[str, Any]:
    event, data = message.decode().strip().split("\n")
    return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def waiting(stream: AsyncIterator[bytes]) -> list[tuple[str, Any]]:
    """Everything that is there already."""
    found = []
    while True:
        try:
            async with asyncio.timeout(0.05):
                found.append(parsed(await anext(stream)))
        except (TimeoutError, StopAsyncIteration):
            return found


async def test_the_status_comes_first_and_again_when_it_changes() -> None:
    scene = Scene()
    hub = Hub(scene, ["chat"])
    stream = hub.listen()
    assert parsed(await anext(stream)) == ("status", {"words": "fine", "now_ns": NOW})
    await hub.tick()
    scene.now += SECOND_NS
    await hub.tick()
    scene.words = "hurt"
    await hub.tick()
    messages = [parsed(await anext(stream)) for _ in range(3 + LATE_SECONDS)]
    told = [data["words"] for event, data in messages if event == "status"]
    assert told == ["fine", "hurt"], "once at the first look, and when it changed; the clock alone is no news"
    await stream.aclose()
    assert hub.listeners == 0


async def test_a_ripe_second_is_told_and_again_when_more_of_it_ends() -> None:
    scene = Scene()
    hub = Hub(scene, ["chat"])
    stream = hub.listen()
    await anext(stream)
    scene.request(RIPE_SECONDS + 0.5)
    scene.request(0.5)
    await hub.tick()
    first = {}
    for _ in range(1 + LATE_SECONDS):
        event, data = parsed(await anext(stream))
        if event == "second":
            first[data["at_ns"]] = data
    assert sum(one["good"] for one in first.values()) == 1, "the second that is not ripe is not told"
    assert max(first) == NOW - RIPE_SECONDS * SECOND_NS
    scene.request(RIPE_SECONDS + 0.4, Outcome.FAILED)
    await hub.tick()
    event, again = parsed(await anext(stream))
    assert (event, again["good"], again["bad"]) == ("second", 1, 1)
    scene.now += SECOND_NS
    await hub.tick()
    event, new = parsed(await anext(stream))
    assert (event, new["at_ns"]) == ("second", NOW - (RIPE_SECONDS - 1) * SECOND_NS), "only what is new"
    await stream.aclose()


async def test_runs_are_told_as_they_change() -> None:
    hub = Hub(Scene(), ["chat"])
    stream = hub.listen()
    await anext(stream)
    hub.run_changed(make_run(1))
    event, data = parsed(await anext(stream))
    assert (event, data["fault_name"]) == ("run", make_run(1).fault_name)
    await stream.aclose()


async def test_who_reads_too_slowly_is_told_and_let_go() -> None:
    hub = Hub(Scene(), ["chat"])
    stream = hub.listen()
    await anext(stream)
    for number in range(MOST_WAITING + 5):
        hub.run_changed(make_run(number))
    assert parsed(await anext(stream)) == ("lagged", {})
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert hub.listeners == 0


async def test_nothing_is_computed_for_nobody() -> None:
    scene = Scene()
    hub = Hub(scene, ["chat"])
    for _ in range(3):
        await hub.tick()
    assert scene.asked == 0


async def test_there_is_a_limit_and_a_place_becomes_free() -> None:
    hub = Hub(Scene(), ["chat"])
    streams = [hub.listen() for _ in range(MOST_LISTENERS)]
    for stream in streams:
        hub.admit()
        await anext(stream)
    with pytest.raises(TooManyListenersError, match="close one"):
        hub.admit()
    await streams[0].aclose()
    hub.admit()
    hub.close()
    for stream in streams[1:]:
        assert await waiting(stream) == []
    assert hub.listeners == 0


async def test_a_quiet_stream_still_says_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "PING_SECONDS", 0.01)
    stream = Hub(Scene(), ["chat"]).listen()
    await anext(stream)
    assert await anext(stream) == hub_module.PING
    await stream.aclose()
