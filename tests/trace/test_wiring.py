"""How the service asks the trace witness, and what happens when it cannot listen."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.clock import ManualClock
from monitor.config.settings import RunSpec
from monitor.measure.columns import Columns
from monitor.model import WitnessReport
from monitor.run.witnesses import ServiceWitnesses
from monitor.store.errors import StoreError
from monitor.trace.span import Span
from probes.record import Outcome, Record
from probes.spec import ProbeSpec
from tests.measure.build import INJECT, S, times
from tests.trace.test_witness import healthy, requests


class Records:
    """Stands for the ingest; its store may refuse."""

    def __init__(self, records: Sequence[Record], *, refuses: bool = False) -> None:
        self.records = list(records)
        self.refuses = refuses

    def recent(self, seconds: float, now_ns: int) -> Sequence[Record]:
        return self.records

    async def columns(self, begin_ns: int, end_ns: int) -> Columns:
        return Columns.of(self.records)

    async def requests(self, begin_ns: int, end_ns: int) -> list[Record]:
        if self.refuses:
            raise StoreError("disk full")
        return [r for r in self.records if r.end_ns >= begin_ns and r.start_ns < end_ns]


class Spans:
    """Stands for the receiver: the newest spans come after some looks."""

    received = 1
    hint = "HINT"

    def __init__(self, records: Sequence[Record], *, after_looks: int = 0, delay: float = 5.0) -> None:
        self.span_delay_seconds = delay
        self.looks = 0
        self._after = after_looks
        self._spans = {uuid.UUID(r.request_id).bytes: tuple(healthy(r)) for r in records}
        self._late = {uuid.UUID(r.request_id).bytes for r in records[-5:]}

    def traces(self, trace_ids: Iterable[bytes]) -> dict[bytes, tuple[Span, ...]]:
        self.looks += 1
        there = self.looks > self._after
        return {t: self._spans[t] for t in trace_ids if t in self._spans and (there or t not in self._late)}


def witnesses(records: Records, spans: Spans | None) -> ServiceWitnesses:
    return ServiceWitnesses(
        specs=(ProbeSpec(name="p", request_rate=10),),
        run_spec=RunSpec(),
        clock=ManualClock(INJECT + 40 * S),
        records=records,
        in_flight=list,
        gaps=lambda _: [],
        server=None,
        traces=spans,
    )


def trace_of(service: ServiceWitnesses) -> WitnessReport:
    reports = asyncio.run(service.measure(times(40)))
    assert [r.witness for r in reports] == ["client", "server", "trace"]
    return reports[-1]


RECORDS = requests(lambda _: Outcome.GOOD)


def test_without_a_receiver_the_witness_is_absent() -> None:
    report = trace_of(witnesses(Records(RECORDS), None))
    assert (report.status, report.reason) == ("absent", "no traces section is configured")


def test_late_spans_are_waited_for() -> None:
    spans = Spans(RECORDS, after_looks=2)
    report = trace_of(witnesses(Records(RECORDS), spans))
    assert (report.status, report.requests) == ("ok", 400)
    assert spans.looks == 4, "two in vain, one that saw all, one for everything"


@pytest.mark.parametrize(("delay", "hurry"), [(0.0, False), (60.0, True)])
def test_nobody_waits_beyond_the_delay_or_in_a_hurry(delay: float, hurry: bool) -> None:
    spans = Spans(RECORDS, after_looks=10**6, delay=delay)
    service = witnesses(Records(RECORDS), spans)
    service.in_hurry = hurry
    report = trace_of(service)
    assert (report.status, report.requests, spans.looks) == ("ok", 395, 1)
    assert any("the last 5 requests have no whole trace yet" in n for n in report.notes)


def test_a_store_in_trouble_takes_nothing_away() -> None:
    report = trace_of(witnesses(Records(RECORDS, refuses=True), Spans(RECORDS)))
    assert (report.status, report.requests) == ("ok", 400)


def test_spans_are_on_the_system_clock() -> None:
    moved = [replace(r, start_ns=r.start_ns + 600 * S, end_ns=r.end_ns + 600 * S) for r in RECORDS]
    service = witnesses(Records(RECORDS), Spans(moved))
    assert isinstance(service.clock, ManualClock)
    service.clock.system_step_ns = 600 * S
    report = trace_of(service)
    assert (report.status, report.requests, report.notes) == ("ok", 400, ())


def test_a_service_that_cannot_listen_for_spans_says_so_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        config: dict[str, Any] = {
            "data_dir": str(tmp_path / "data"),
            "deployment": {"endpoint": {"url": "http://127.0.0.1:9", "model": "m"}},
            "probes": [{"name": "chat"}],
            "traces": {"http_listen": taken},
            "api": {"listen": "127.0.0.1:0"},
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "monitor.cli.app", "serve", "-c", str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2, done.stderr
    assert f"traces.http_listen: cannot listen on {taken}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 60
