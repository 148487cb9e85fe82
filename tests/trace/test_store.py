"""Spans in memory: bounded by age and number, whatever comes."""

from __future__ import annotations

import os

from monitor.trace.span import Span
from monitor.trace.store import MAX_SPANS_OF_TRACE, SpanStore


def span(trace: bytes) -> Span:
    return Span(trace, os.urandom(8), b"", "s", "n", 1, 2)


def store(now: list[float], **bounds: float) -> SpanStore:
    return SpanStore(keep_seconds=600, now=lambda: now[0], **bounds)  # type: ignore[arg-type]


def test_memory_is_bounded_in_number_and_strangers_go_first() -> None:
    now = [0.0]
    kept = store(now, max_spans=100)
    probe = os.urandom(16)
    kept.know(probe)
    overflow = kept.add([span(probe), *(span(os.urandom(16)) for _ in range(250))]).overflow
    assert (len(kept), overflow) == (100, 151)
    assert probe in kept.get([probe])
    everything = [os.urandom(16) for _ in range(120)]
    for one in everything:
        kept.know(one)
    kept.add(span(one) for one in everything)
    assert len(kept) == 100
    assert list(kept.get(everything)) == everything[-100:], "the oldest went"


def test_one_trace_cannot_take_everything() -> None:
    kept = store([0.0])
    trace = os.urandom(16)
    added = kept.add(span(trace) for _ in range(MAX_SPANS_OF_TRACE + 40))
    assert (len(kept), added.overflow) == (MAX_SPANS_OF_TRACE, 40)


def test_a_request_that_becomes_known_late_keeps_its_spans() -> None:
    now = [0.0]
    kept = store(now, unknown_seconds=60)
    early, never = os.urandom(16), os.urandom(16)
    kept.add([span(early), span(never)])
    now[0] = 50
    kept.know(early)
    now[0] = 61
    kept.sweep()
    assert set(kept.get([early, never])) == {early}
    kept.add([span(early)])
    assert len(kept.get([early])[early]) == 2
    now[0] = 700
    kept.sweep()
    assert len(kept) == 0
    assert not kept._known
