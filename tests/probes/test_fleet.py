"""Which processes run when: on virtual time, with processes that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

from probes import fleet as fleet_module
from probes.command import SegmentPaths
from probes.fleet import SECOND_NS, STARTUP_SECONDS, Fleet
from probes.parse import JournalEnd, JournalStart
from probes.segment import Segment
from probes.spec import EndpointSpec, ProbeSpec
from probes.tail import SegmentTail


class FakeProcess:
    """As much of a process as a segment looks at."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None


class FakeSegment(Segment):
    """Stops at once when told to, and remembers how."""

    __slots__ = ("how",)

    def begin_stop(self, reason: str, *, kill: bool = False) -> None:
        if self.stopping is None:
            self.how = "SIGKILL" if kill else "SIGINT"
            self.stop_reason = reason
            cast("FakeProcess", self.process).returncode = -9 if kill else 0
            self.stopping = asyncio.create_task(asyncio.sleep(0))


class World:
    """A fleet, a clock, and hands on every process."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        self.now = 1000 * SECOND_NS
        self.deaths: list[tuple[str, bool]] = []
        self.spec = ProbeSpec(name="p", request_rate=10.0).model_copy(update=spec)
        self.fail: OSError | None = None
        endpoint = EndpointSpec(url="http://127.0.0.1:9", model="m")
        self.fleet = Fleet(self.spec, endpoint, folder, lambda ns: ns, lambda *death: self.deaths.append(death))
        self.fleet.prepare()

    async def launch(
        self,
        spec: ProbeSpec,
        endpoint: EndpointSpec,
        number: int,
        tail: SegmentTail,
        paths: SegmentPaths,
        *,
        now_ns: int,
    ) -> Segment:
        if self.fail:
            raise self.fail
        paths.root.mkdir()
        process = cast("asyncio.subprocess.Process", FakeProcess(number))
        return FakeSegment(number=number, paths=paths, tail=tail, process=process, launched_ns=now_ns)

    @property
    def live(self) -> list[FakeSegment]:
        return cast("list[FakeSegment]", self.fleet.live)

    def send(self, segment: Segment, number: int = 0, *, end: bool = True) -> None:
        """The segment starts (and ends) a request now."""
        if segment.first_start_ns is None:
            self.fleet.first_request(segment, self.now)
        segment.tail.books.journal(JournalStart(number, f"{segment.number}-{number}", self.now))
        if end:
            segment.tail.books.journal(JournalEnd(number, f"{segment.number}-{number}", self.now))

    def die(self, segment: Segment, code: int = 1) -> None:
        cast("FakeProcess", segment.process).returncode = code

    async def step(self, seconds: float = 0.0) -> None:
        """Time passes, then the fleet looks; finished processes are taken away as the probe does."""
        self.now += round(seconds * SECOND_NS)
        await self.fleet.step(self.now)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for segment in self.fleet.finished():
            self.fleet.live.remove(segment)

    async def run(self, seconds: float, *senders: Segment) -> None:
        """Seconds pass in which the given segments send once a second."""
        for _ in range(round(seconds)):
            for number, segment in enumerate(senders):
                self.send(segment, number)
            await self.step(1.0)


Scenario = Callable[[World], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    def run(scenario: Scenario, **spec: Any) -> World:
        world = World(tmp_path, **spec)
        monkeypatch.setattr(fleet_module, "launch", world.launch)
        asyncio.run(scenario(world))
        return world

    return run


Play = Callable[..., World]


def test_the_successor_is_launched_before_the_rotation_is_due_and_takes_over_when_it_sends(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.step()
        (old,) = world.live
        await world.step(5)
        world.send(old)
        await world.run(90, old)
        assert world.live == [old]
        await world.run(10, old)  # rotate_seconds less the learned start-up time have passed
        old, new = world.live
        await world.run(60, old)  # a slow start-up changes nothing: the old one goes on
        assert world.live == [old, new]
        assert not old.retiring
        world.send(old, 99, end=False)
        world.send(new)
        await world.step()
        assert old.paths.hold.exists()
        assert not new.paths.hold.exists()
        await world.run(5, new)
        assert old.stopping is None  # its last request is still in flight
        old.tail.books.journal(JournalEnd(99, "0-99", world.now))
        await world.step(1)
        assert world.live == [new]
        assert (old.how, old.stop_reason) == ("SIGINT", "its successor took over")

    assert play(scenario, rotate_seconds=100.0).deaths == []


def test_a_held_process_whose_last_request_never_ends_is_stopped_after_its_timeout(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.step()
        (old,) = world.live
        world.send(old, 7, end=False)
        await world.run(100, old)
        old, new = world.live
        world.send(new)
        await world.run(14, new)
        assert old.stopping is None
        await world.run(3, new)
        assert world.live == [new]

    play(scenario, rotate_seconds=100.0, request_timeout_seconds=10.0)


def test_a_dead_process_is_replaced_at_once(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.step()
        (first,) = world.live
        await world.run(30, first)
        world.die(first, -9)
        await world.step(0.02)
        assert [s.number for s in world.live if not s.exited] == [1]

    assert play(scenario).deaths == [("aiperf ended with signal SIGKILL", False)]


def test_immediate_deaths_back_off_up_to_ten_seconds(play: Play) -> None:
    waits: list[float] = []

    async def scenario(world: World) -> None:
        await world.step()
        for _ in range(8):
            died = world.now
            world.die(world.live[-1])
            await world.step()
            while not any(not s.exited for s in world.live):
                await world.step(0.1)
            waits.append((world.now - died) / SECOND_NS)

    play(scenario)
    assert [round(w) for w in waits] == [0, 1, 2, 4, 8, 10, 10, 10]


def test_a_successor_that_dies_does_not_disturb_the_one_that_sends(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.step()
        (old,) = world.live
        await world.run(60, old)
        _, new = world.live
        world.die(new)
        await world.run(2, old)
        assert not old.retiring
        assert len(world.live) == 2  # and another one is tried

    assert play(scenario, rotate_seconds=60.0).deaths == [("aiperf ended with exit code 1", True)]


def test_a_process_that_stops_sending_is_replaced(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.step()
        (first,) = world.live
        await world.run(30, first)
        await world.step(4.0)
        assert first.stopping is None
        await world.step(1.1)
        assert first.how == "SIGKILL"
        assert [s.number for s in world.live] == [1]

    ((reason, _),) = play(scenario).deaths
    assert "sent nothing for 6 s since its latest request" in reason


def test_a_process_that_never_sends_is_replaced(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.step()
        (first,) = world.live
        await world.step(STARTUP_SECONDS)
        assert first.stopping is None
        await world.step(1)
        assert first.how == "SIGKILL"

    ((reason, _),) = play(scenario).deaths
    assert "since its launch" in reason


def test_a_folder_that_cannot_be_made_is_a_death_with_its_reason(play: Play) -> None:
    async def scenario(world: World) -> None:
        world.fail = OSError(28, "No space left on device")
        await world.step()
        assert world.live == []
        world.fail = None
        await world.step(0.1)
        assert len(world.live) == 1

    ((reason, sending),) = play(scenario).deaths
    assert "No space left on device" in reason
    assert not sending
