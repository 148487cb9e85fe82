"""What our plugins do inside aiperf, without aiperf."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.parse import JournalEnd, JournalStart, parse_journal
from probes.plugin.journal import Journal
from probes.plugin.trace import traceparent

UUIDS = st.uuids(version=4)


@given(UUIDS, st.floats(0, 1))
def test_the_traceparent_is_valid_and_names_the_request(request_id: UUID, ratio: float) -> None:
    version, trace, span, sampled = traceparent(request_id, ratio).split("-")
    assert (version, trace) == ("00", request_id.hex)
    assert len(span) == 16
    assert int(span, 16) != 0
    assert sampled in {"00", "01"}


@given(UUIDS)
def test_sampling_follows_the_ratio(request_id: UUID) -> None:
    assert traceparent(request_id, 1.0).endswith("-01")
    assert traceparent(request_id, 0.0).endswith("-00")


def test_about_the_asked_share_is_sampled() -> None:
    ids = [UUID(int=(0xFFFF << 64) | (n * 4_294_967)) for n in range(1000)]
    assert 240 <= sum(traceparent(i, 0.25).endswith("01") for i in ids) <= 260


def test_two_lines_a_request(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.start(number=1, request_id="a", at_ns=5)
    journal.end(number=1, request_id="a", at_ns=9, facts={"status": 200, "chunks": 2})
    journal.close()
    lines = [parse_journal(line) for line in (tmp_path / "j").read_bytes().splitlines()]
    assert lines == [JournalStart(1, "a", 5), JournalEnd(1, "a", 9, status=200, chunks=2)]


def test_two_writers_share_a_journal(tmp_path: Path) -> None:
    journals = [Journal(tmp_path / "j") for _ in range(2)]
    for number in range(50):
        journals[number % 2].start(number=number, request_id="x" * 40, at_ns=number)
    lines = [parse_journal(line) for line in (tmp_path / "j").read_bytes().splitlines()]
    assert [line.number for line in lines if line] == list(range(50))


def test_a_journal_that_cannot_be_written_breaks_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path / "missing" / "j")
    for _ in range(3):
        journal.start(number=1, request_id="a", at_ns=5)
    assert len(caplog.records) == 1
    full = Journal(Path("/dev/full"))
    full.start(number=1, request_id="a", at_ns=5)
    assert os.strerror(errno.ENOSPC) in caplog.text
    (tmp_path / "missing").mkdir()
    journal.start(number=2, request_id="b", at_ns=6)  # it recovers with the disk
    assert parse_journal((tmp_path / "missing" / "j").read_bytes()) == JournalStart(2, "b", 6)


def test_half_a_line_does_not_take_the_next_one_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j")
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    journal.start(number=1, request_id="a", at_ns=5)
    monkeypatch.undo()
    journal.start(number=2, request_id="b", at_ns=6)
    lines = [parse_journal(line) for line in (tmp_path / "j").read_bytes().splitlines()]
    assert lines == [None, JournalStart(2, "b", 6)]


def test_all_clocks_of_aiperf_and_of_the_monitor_are_one() -> None:
    """aiperf stamps chunks with perf_counter, we read monotonic; both are CLOCK_MONOTONIC, the same in every process."""
    code = "import time; print(time.perf_counter_ns(), time.monotonic_ns())"
    before = time.monotonic_ns()
    child = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    after = time.perf_counter_ns()
    perf, monotonic = map(int, child.stdout.split())
    assert before < perf <= monotonic < after
    assert time.get_clock_info("perf_counter").implementation == time.get_clock_info("monotonic").implementation
