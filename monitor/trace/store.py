"""Spans in memory, by trace id. Bounded by age and by number; nothing here is written to disk.

Traces of probe requests stay for `keep_seconds`. Of everything else nobody knows yet whether a probe's request
will turn out to be its cause, so it stays for `UNKNOWN_SECONDS`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from monitor.trace.span import Span

UNKNOWN_SECONDS = 60.0
MAX_SPANS = 300_000
"""About 150 MB at most."""
MAX_SPANS_OF_TRACE = 128
MAX_KNOWN = 200_000
"""Trace ids of probe requests that are remembered."""


@dataclass(slots=True)
class _Trace:
    arrived: float
    spans: list[Span] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a batch; the rest was kept."""

    duplicates: int
    overflow: int


class SpanStore:
    """Safe to use from any thread. `now` is a clock that does not step, in seconds."""

    def __init__(
        self,
        *,
        keep_seconds: float,
        now: Callable[[], float],
        unknown_seconds: float = UNKNOWN_SECONDS,
        max_spans: int = MAX_SPANS,
    ) -> None:
        self._keep = keep_seconds
        self._unknown_keep = min(unknown_seconds, keep_seconds)
        self._max_spans = max_spans
        self._now = now
        self._lock = threading.Lock()
        self._probes: OrderedDict[bytes, _Trace] = OrderedDict()
        self._others: OrderedDict[bytes, _Trace] = OrderedDict()
        self._known: OrderedDict[bytes, float] = OrderedDict()
        self._heard: deque[bytes] = deque()
        self._count = 0

    def __len__(self) -> int:
        """Spans that are kept."""
        return self._count

    def know(self, trace_id: bytes) -> None:
        """A probe's request has this trace id. Cheap, and never waits for anybody."""
        self._heard.append(trace_id)

    def add(self, spans: Iterable[Span]) -> Added:
        """Keep spans; one that is here already is left out."""
        now = self._now()
        duplicates = overflow = 0
        with self._lock:
            self._learn(now)
            for span in spans:
                trace = self._trace(span.trace_id, now)
                if any(one.span_id == span.span_id for one in trace.spans):
                    duplicates += 1
                elif len(trace.spans) >= MAX_SPANS_OF_TRACE:
                    overflow += 1
                else:
                    trace.spans.append(span)
                    self._count += 1
            self._expire(now)
            overflow += self._make_room()
        return Added(duplicates, overflow)

    def get(self, trace_ids: Iterable[bytes]) -> dict[bytes, tuple[Span, ...]]:
        """The spans of those traces that are here."""
        with self._lock:
            self._learn(self._now())
            found = ((t, self._probes.get(t) or self._others.get(t)) for t in trace_ids)
            return {t: tuple(trace.spans) for t, trace in found if trace is not None}

    def sweep(self) -> None:
        """Forget what is old; to be called now and then, also when nothing comes."""
        with self._lock:
            now = self._now()
            self._learn(now)
            self._expire(now)

    def _trace(self, trace_id: bytes, now: float) -> _Trace:
        trace = self._probes.get(trace_id) or self._others.get(trace_id)
        if trace is None:
            trace = _Trace(now)
            (self._probes if trace_id in self._known else self._others)[trace_id] = trace
        return trace

    def _learn(self, now: float) -> None:
        while self._heard:
            trace_id = self._heard.popleft()
            self._known.setdefault(trace_id, now)
            trace = self._others.pop(trace_id, None)
            if trace is not None:
                # Its age counts from now on, so that both dictionaries stay in the order of age.
                trace.arrived = now
                self._probes[trace_id] = trace

    def _expire(self, now: float) -> None:
        for traces, keep in ((self._probes, self._keep), (self._others, self._unknown_keep)):
            while traces and next(iter(traces.values())).arrived < now - keep:
                self._drop_oldest(traces)
        while self._known and (len(self._known) > MAX_KNOWN or next(iter(self._known.values())) < now - self._keep):
            self._known.popitem(last=False)

    def _make_room(self) -> int:
        dropped = 0
        while self._count > self._max_spans:
            dropped += self._drop_oldest(self._others or self._probes)
        return dropped

    def _drop_oldest(self, traces: OrderedDict[bytes, _Trace]) -> int:
        _, trace = traces.popitem(last=False)
        self._count -= len(trace.spans)
        return len(trace.spans)
