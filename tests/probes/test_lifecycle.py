"""The life of a probe with real aiperf: hand-over, death, hang, stop. One story, told once; each test asks about a part of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from probes.probe import ProbeState
from probes.record import Gap, Outcome, Record
from tests.support.load import Load, processes_below, until
from tests.support.scripted_server import Mode, ScriptedServer

RATE = 10.0
ROTATE_SECONDS = 8.0


@dataclass
class Story:
    """What was seen on the way."""

    load: Load
    server: ScriptedServer
    handed_over_state: ProbeState | None = None
    killed_ns: int = 0
    down: ProbeState | None = None
    gap_open: Gap | None = None
    revived: ProbeState | None = None
    in_flight_at_stop: set[str] = field(default_factory=set)
    left_processes: list[psutil.Process] = field(default_factory=list)
    left_files: list[str] = field(default_factory=list)
    stopped: ProbeState | None = None


async def tell(folder: Path) -> Story:
    async with ScriptedServer() as server:
        load = Load(server.url, folder, request_rate=RATE, output_tokens=8, rotate_seconds=ROTATE_SECONDS)
        story = Story(load, server)
        (folder / "segment-000123").mkdir(parents=True)  # left by a monitor that was killed
        await load.probe.start()
        try:
            await load.until_up()
            await _rotation(story)
            await _death(story)
            await _hang_and_stop(story)
        finally:
            await load.probe.stop()
    story.stopped = load.probe.state()
    story.left_processes = processes_below(folder)
    return story


async def _rotation(story: Story) -> None:
    """One hand-over, and its books."""
    await until(lambda: story.load.closed, "the first process has handed over and is gone")
    story.handed_over_state = story.load.probe.state()


async def _death(story: Story) -> None:
    """SIGKILL to every aiperf of the probe at once; a slow answer is in flight."""
    load = story.load
    story.server.set(Mode.SLOW_FIRST, delay_seconds=1.0)
    slow_since_ns = load.clock.now_ns()
    await until(
        lambda: sum(f.start_ns > slow_since_ns for f in load.probe.state().in_flight) >= 3,
        "slow requests are in flight",
    )
    before = len(load.closed)
    for pid in load.probe.state().pids:
        os.kill(pid, signal.SIGKILL)
    story.killed_ns = load.clock.now_ns()
    story.server.set(Mode.GOOD)
    story.down = await until(lambda: s if not (s := load.probe.state()).up else None, "the probe is down")
    await until(lambda: len(load.closed) > before, "the books of the dead are closed")
    story.gap_open = await until(lambda: load.probe.state().gap, "the gap is open")
    await load.until_up()
    story.revived = load.probe.state()


async def _hang_and_stop(story: Story) -> None:
    story.server.set(Mode.HANG)
    await until(lambda: len(story.load.probe.state().in_flight) >= 3, "requests hang")
    story.in_flight_at_stop = {f.request_id for f in story.load.probe.state().in_flight}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    told = asyncio.run(tell(tmp_path_factory.mktemp("life") / "probe"))
    told.left_files = sorted(p.name for p in told.load.directory.iterdir())
    yield told


def _starts(records: list[Record]) -> list[int]:
    return sorted(r.start_ns for r in records)


def test_one_process_takes_over_from_the_other_without_a_hole(story: Story) -> None:
    """Start to start over the hand-over: never beyond the limit at which a gap is told."""
    records = [r for r in story.load.records if r.start_ns < story.killed_ns]
    assert {r.segment for r in records} >= {story.load.closed[0].segment, story.load.closed[0].segment + 1}
    holes = [(b - a) / 1e9 for a, b in pairwise(_starts(records)) if b - a > 0.85e9]
    assert len(holes) == len([g for g in story.load.gaps if g.end_ns and g.end_ns < story.killed_ns])
    old, new = sorted({r.segment for r in records})[:2]
    last_of_old = max(r.start_ns for r in records if r.segment == old)
    first_of_new = min(r.start_ns for r in records if r.segment == new)
    assert first_of_new < last_of_old + 2e9 / RATE  # the old one sent until the new one did


def test_the_hand_over_loses_nothing(story: Story) -> None:
    first = story.load.closed[0]
    assert (first.lost, first.exit_code, first.reason) == (0, 0, "its successor took over")
    assert first.sent == first.recorded > 0
    numbers = sorted(r.session_num for r in story.load.records if r.segment == first.segment)
    assert numbers == list(range(first.sent))


def test_the_load_does_not_pile_up_over_a_hand_over(story: Story) -> None:
    """The old process is held as soon as the new one sends: no second of double load."""
    first = story.load.closed[0]
    successor = min(r.start_ns for r in story.load.records if r.segment > first.segment)
    after = [r for r in story.load.records if r.segment == first.segment and r.start_ns > successor]
    assert len(after) < 2 * RATE
    assert first.unsent > 0


def test_a_killed_aiperf_is_seen_and_replaced(story: Story) -> None:
    assert story.down is not None
    assert story.revived is not None
    assert story.gap_open is not None
    assert (story.down.up, story.revived.up) == (False, True)
    assert "SIGKILL" in story.gap_open.reason
    assert story.gap_open.end_ns is None
    closing = next(g for g in story.load.gaps if g.end_ns and g.end_ns > story.killed_ns)
    assert closing.start_ns == story.gap_open.start_ns
    assert "SIGKILL" in closing.reason
    starts = _starts(story.load.records)
    assert closing.start_ns in starts
    assert closing.end_ns in starts
    assert not [s for s in starts if closing.start_ns < s < (closing.end_ns or 0)]


def test_requests_of_a_killed_aiperf_are_lost_and_not_bad(story: Story) -> None:
    dead = next(c for c in story.load.closed if c.exit_code == -signal.SIGKILL and c.sent)
    lost = [r for r in story.load.records if r.segment == dead.segment and r.outcome is Outcome.LOST]
    assert len(lost) == dead.lost > 0
    for record in lost:
        assert not record.end_exact
        assert record.start_ns <= record.end_ns <= story.killed_ns + 3_000_000_000


def test_every_request_is_accounted_for(story: Story) -> None:
    """What the server heard of is what was recorded, and each process's numbers have no hole."""
    recorded = story.load.by_id()
    assert {s.request_id for s in story.server.requests} <= set(recorded)
    for books in story.load.closed:
        numbers = sorted(r.session_num for r in story.load.records if r.segment == books.segment)
        assert books.sent == books.recorded + books.lost == len(numbers)
        assert len(set(numbers)) == len(numbers)
    state = story.stopped
    assert state is not None
    assert (state.sent, state.in_flight, state.pids) == (len(story.load.records), (), ())
    assert state.sent == state.recorded + state.lost


def test_stop_closes_the_books_and_leaves_nothing(story: Story) -> None:
    recorded = story.load.by_id()
    assert {recorded[i].outcome for i in story.in_flight_at_stop} == {Outcome.LOST}
    assert story.load.closed[-1].reason == "the probe was stopped"
    assert story.left_processes == []
    assert story.left_files == ["next_segment", "tokenizer"]
    assert story.stopped is not None
    assert not story.stopped.up


def test_numbers_go_on_after_a_restart(story: Story) -> None:
    used = {c.segment for c in story.load.closed}
    assert int((story.load.directory / "next_segment").read_text()) > max(used)


# --- without load ---------------------------------------------------------------------------------


def test_an_aiperf_that_cannot_start_is_tried_again_and_says_why(tmp_path: Path) -> None:
    async def scenario() -> tuple[Load, ProbeState]:
        load = Load("http://127.0.0.1:9", tmp_path / "p", tokenizer="/nonexistent/tokenizer", request_rate=2.0)
        await load.probe.start()
        try:
            await until(lambda: len(load.closed) >= 2, "two attempts")
            return load, load.probe.state()
        finally:
            await load.probe.stop()

    load, state = asyncio.run(scenario())
    assert not state.up
    assert load.gaps[0].end_ns is None
    assert "exit code 1" in load.gaps[0].reason
    assert "tokenizer" in load.gaps[0].reason.lower()
    assert state.trouble
    assert load.gaps[-1].end_ns is not None  # closed by the stop
    assert all(c.sent == 0 for c in load.closed)


def test_aiperf_dies_with_a_monitor_that_is_killed(tmp_path: Path) -> None:
    async def scenario() -> list[Any]:
        script = (
            "import asyncio, pathlib, sys; from tests.support.load import Load\n"
            "async def main():\n"
            "    load = Load('http://127.0.0.1:9', pathlib.Path(sys.argv[1]))\n"
            "    await load.probe.start(); print('started', flush=True); await asyncio.sleep(600)\n"
            "asyncio.run(main())"
        )
        monitor = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert monitor.stdout is not None
            assert await monitor.stdout.readline() == b"started\n"
            await until(lambda: len(processes_below(tmp_path)) >= 3, "aiperf has children")
        finally:
            monitor.kill()
            await monitor.wait()
        await until(lambda: not processes_below(tmp_path), "all of aiperf is gone", seconds=20)
        return processes_below(tmp_path)

    assert asyncio.run(scenario()) == []
