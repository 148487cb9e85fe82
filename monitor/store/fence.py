"""Terms of leaders: whoever has taken a newer one shuts out everybody before."""

from __future__ import annotations

from sqlalchemy import Connection

from monitor.store.errors import Fenced
from monitor.store.runs import get_flag, set_flag

FLAG = "leader"


def take(connection: Connection, holder: str) -> int:
    """A term that is newer than all before."""
    term = _newest(connection)[0] + 1
    set_flag(connection, FLAG, {"term": term, "holder": holder})
    return term


def check(connection: Connection, term: int) -> None:
    """Raises `Fenced` when the term is not the newest. For a transaction that nobody else can write beside."""
    newest, holder = _newest(connection)
    if newest != term:
        raise Fenced(f"{holder} leads since (term {newest}); this replica's term {term} is over, it may not write")


def _newest(connection: Connection) -> tuple[int, str]:
    flag = get_flag(connection, FLAG) or {}
    return int(flag.get("term") or 0), str(flag.get("holder") or "nobody")
