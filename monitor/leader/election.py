"""Who leads: the arithmetic of a lease. Pure, and on this machine's own clock alone.

A leader counts its lease from the moment at which it *sent* the renewal, a candidate from the moment at which it
*saw* that something had changed, which is later. So whoever stops after `ACTING` of the lease has stopped before
anybody else begins, whatever the delays, and however far the clocks are apart. Every write names the version that
it replaces: of two writers one is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

ACTING = 0.7
"""Share of the lease, counted from the sending of the last renewal, for which a leader may act."""
RENEW = 0.2
"""Share of the lease after which it is renewed, and after which a candidate looks again."""
AGAIN = 0.05
"""Share of the lease until the next attempt when no answer came."""
BLIND = 0.5
"""Share of the lease after which a candidate that saw nothing begins to watch anew: when the API server was away for
all, the leader shall have its lease back first."""


class Role(StrEnum):
    """What a replica is. Nobody comes back from `lost`."""

    CANDIDATE = "candidate"
    LEADER = "leader"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Record:
    """The Lease in one of its states."""

    holder: str | None
    """Empty when it was given back; None when it was never held."""
    seconds: float
    """How long whoever has seen no change must wait, by the holder's word."""
    version: str
    transitions: int = 0
    raw: dict[str, Any] = field(default_factory=dict, compare=False)
    """The whole object, whose labels are somebody else's."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until then."""

    until: float


@dataclass(frozen=True, slots=True)
class Read:
    """Look at the Lease."""


@dataclass(frozen=True, slots=True)
class Write:
    """Put our name into the Lease, if it is still what it was; None: there was none."""

    over: Record | None


@dataclass(slots=True)
class Election:
    """One replica's part. Ask `next`, do it, tell what came of it; instants are seconds on any one clock."""

    identity: str
    """Never used twice: a process that begins anew is another candidate."""
    seconds: float
    role: Role = Role.CANDIDATE
    known: Record | None = None
    reason: str = ""
    """Why it was lost."""
    _deadline: float = 0.0
    _watched: bool = False
    _since: float = 0.0
    _seen: float = 0.0
    _due: float = 0.0
    _ripe: bool = False
    """Whether the next step is a write over what is known."""

    def next(self, now: float) -> Wait | Read | Write:
        """What to do now."""
        if now < self._due:
            return Wait(self._due)
        return Write(self.known) if self._ripe else Read()

    def may_act(self, now: float) -> bool:
        """Whether it leads, and nobody else can."""
        return self.role is Role.LEADER and now < self._deadline

    # --- what came of it --------------------------------------------------------------------------

    def saw(self, record: Record | None, now: float) -> None:
        """The answer to `Read`; None when there is no Lease."""
        if self.role is Role.LEADER and (said := self._not_ours(record, now)):
            return self.lose(f"the lease {said}")
        changed = (record.version if record else None) != (self.known.version if self.known else None)
        if changed or not self._watched or now - self._seen > self.seconds * BLIND:
            self._watched, self._since = True, now
        self._seen = now
        self.known = record
        free_at = self._free_at()
        self._ripe = self.role is Role.LEADER or now >= free_at
        self._due = now if self._ripe else min(free_at, now + self.seconds * RENEW)
        return None

    def wrote(self, record: Record, sent: float) -> None:
        """A `Write` that was sent then was taken."""
        if self.role is Role.LOST:
            return
        self.role, self.known, self._ripe = Role.LEADER, record, True
        self._deadline = sent + self.seconds * ACTING
        self._due = sent + self.seconds * RENEW

    def outrun(self, now: float) -> None:
        """A `Write` was refused: somebody else wrote first."""
        self._ripe, self._due = False, now

    def unanswered(self, now: float) -> None:
        """Whether a `Read` or `Write` arrived is not known."""
        self._ripe, self._due = False, now + self.seconds * AGAIN

    def lose(self, reason: str) -> None:
        """The end, whatever the Lease says. The first reason stays."""
        if self.role is not Role.LOST:
            self.role, self.reason, self._deadline = Role.LOST, reason, 0.0

    # --- inside -----------------------------------------------------------------------------------

    def _not_ours(self, record: Record | None, now: float) -> str | None:
        """What became of a lease that was ours, if it is not any more."""
        if record is None:
            # Deleted under us. While ours would still last nobody else can have taken a new one, so it is made again.
            return None if self.may_act(now) else "is gone"
        if record.holder == self.identity:
            return None
        return f"is held by {record.holder}" if record.holder else "is free again"

    def _free_at(self) -> float:
        """When what is known may be overwritten by a candidate."""
        known = self.known
        # Our own name is there when a write arrived whose answer did not.
        if known is not None and known.holder in {"", self.identity}:
            return self._since
        # A Lease that is not there may have been deleted under a leader, who learns of it at its next renewal.
        return self._since + max(self.seconds, known.seconds if known is not None else 0.0)
