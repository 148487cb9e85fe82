"""The gaps of the probes, as the service remembers them; those that an earlier service left are closed here too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from monitor.leader.handover import Handover
from probes.record import Gap, InFlight, Record

GAP_MEMORY_NS = 3_600 * 10**9


class GapStore(Protocol):
    """The part of the store that knows what earlier services saw."""

    def last_starts(self, probes: list[str]) -> Mapping[str, int]: ...

    def open_gaps(self) -> Iterable[Gap]: ...


class GapBook:
    """Everything on the event loop but `left_by_others`, which blocks."""

    def __init__(self) -> None:
        self._gaps: list[Gap] = []
        self._handover = Handover()

    def left_by_others(self, store: GapStore, probes: list[str], reason: str) -> list[Gap]:
        """Gaps that are open because nobody probed before us, to be told now. Raises StoreError."""
        self._handover = Handover.after(store.last_starts(probes), store.open_gaps(), probes, reason)
        return self._handover.gaps

    def saw(self, record: Record, in_flight: Callable[[], Iterable[InFlight]]) -> list[Gap]:
        """Gaps that end with the first request of its probe, to be told now."""
        if not self._handover.gaps:
            return []
        begun = [one.start_ns for one in in_flight() if one.probe == record.probe]
        return self._handover.started(record.probe, min([record.start_ns, *begun]))

    def remember(self, gap: Gap) -> None:
        """A gap that opened, or the same one when it closes."""
        same = (gap.probe, gap.start_ns)
        kept = [g for g in self._gaps if (g.probe, g.start_ns) != same]
        self._gaps = [*(g for g in kept if g.end_ns is None or g.end_ns > gap.start_ns - GAP_MEMORY_NS), gap]

    def since(self, since_ns: int) -> list[Gap]:
        """Those that end after the instant, or are still open."""
        return [g for g in self._gaps if g.end_ns is None or g.end_ns > since_ns]
