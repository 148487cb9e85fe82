"""The gaps of the probes, as the service remembers them; those that an earlier service left are closed here too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from probes.record import Gap, InFlight, Record

GAP_MEMORY_NS = 3_600 * 10**9
NEW_LEADER = "the leading replica changed"
NOT_RUNNING = "the monitor did not run"


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


@dataclass(slots=True)
class Handover:
    """Open gaps of each probe, until its first request under the new one."""

    _open: dict[str, list[Gap]] = field(default_factory=dict)

    @classmethod
    def after(
        cls, last: Mapping[str, int], left_open: Iterable[Gap], probes: Iterable[str], reason: str = NEW_LEADER
    ) -> Handover:
        """`last` is when earlier services started their last requests; `left_open` the gaps that nobody closed."""
        wanted = set(probes)
        opened = {name: [Gap(name, at, None, reason)] for name, at in last.items() if name in wanted}
        for gap in (one for one in left_open if one.probe in wanted):
            known = opened.setdefault(gap.probe, [])
            if all(one.start_ns != gap.start_ns for one in known):
                known.append(replace(gap, reason=f"{gap.reason}; {reason}"))
        return cls(opened)

    @property
    def gaps(self) -> list[Gap]:
        """Those that are open."""
        return [gap for each in self._open.values() for gap in each]

    def started(self, probe: str, at_ns: int) -> list[Gap]:
        """The first request of a probe closes its gaps; all later ones close nothing."""
        return [replace(gap, end_ns=max(at_ns, gap.start_ns)) for gap in self._open.pop(probe, ())]
