"""The stretch in which nobody probed, as gaps: between two leaders, or while no service ran."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from probes.record import Gap

REASON = "the leading replica changed"
NOT_RUNNING = "the monitor did not run"


@dataclass(slots=True)
class Handover:
    """Open gaps of each probe, until its first request under the new one."""

    _open: dict[str, list[Gap]] = field(default_factory=dict)

    @classmethod
    def after(
        cls, last: Mapping[str, int], left_open: Iterable[Gap], probes: Iterable[str], reason: str = REASON
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
