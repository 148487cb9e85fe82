"""What a service leads by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from monitor.store.store import Store


@dataclass(frozen=True, slots=True)
class Lead:
    """A term of one replica."""

    identity: str
    term: int
    store: Store
    """Open, and fenced by the term."""
    may_act: Callable[[], str | None]
    """None while the lease is certain, else why nothing may be changed in the cluster; for any thread."""
