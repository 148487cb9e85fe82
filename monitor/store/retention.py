"""What is kept for how long: good requests are folded into minutes, bad ones stay until they are forgotten.

Each step is a short transaction of its own, so that a run's transition never waits long behind it.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, and_, case, delete, func, insert, select, update

from monitor.store import runs
from monitor.store.database import Database
from monitor.store.records import GOOD_CODE, chunked
from monitor.store.schema import gaps, minutes, records, segments

MINUTE_NS = 60 * 10**9
CHUNK_NS = 10 * MINUTE_NS
FOLDED_FLAG = "folded"
BOUNDS_NS: tuple[int, ...] = tuple(
    round(seconds * 1e9) for seconds in (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
)
"""Upper bounds of the histograms of folded minutes (`<=`); a last bucket holds the rest. Not cumulative."""

_SUMS = ("good", "life_ns", "ttft_count", "ttft_ns", "inter_token_count", "inter_token_ns", "output_tokens")
_SLACK_PAGES = 256
"""Free pages that are kept for what comes next (1 MB)."""
_VACUUM_PAGES = 2000
_MOST_CHUNKS = 100_000


def fold(database: Database, before_ns: int) -> int:
    """Fold good requests that started in whole minutes before the instant; returns how many."""
    end = before_ns // MINUTE_NS * MINUTE_NS
    folded = 0
    for _ in range(_MOST_CHUNKS):
        with database.read() as connection:
            begin = _first_unfolded(connection, end)
        if begin is None:
            break
        high = min(begin + CHUNK_NS, end)
        with database.write(durable=False) as connection:
            folded += _fold_chunk(connection, begin, high)
            runs.set_flag(connection, FOLDED_FLAG, {"until_ns": high})
    _give_back_space(database)
    return folded


def forget(database: Database, before_ns: int) -> None:
    """Delete everything that is older, except runs that are unfinished or not reverted and incidents that last."""
    with database.write(durable=True) as connection:
        runs.forget_runs(connection, before_ns)
        connection.execute(delete(gaps).where(gaps.c.end_ns < before_ns))
        connection.execute(delete(segments).where(segments.c.ended_ns < before_ns))
    _forget_rows(database, records.c.start_ns, before_ns, 60 * MINUTE_NS)
    _forget_rows(database, minutes.c.minute_ns, before_ns, 24 * 60 * MINUTE_NS)
    _give_back_space(database)


def _forget_rows(database: Database, instant: Column[Any], before_ns: int, step_ns: int) -> None:
    with database.read() as connection:
        oldest = connection.execute(select(func.min(instant))).scalar()
    if oldest is None:
        return
    for low, high in chunked(oldest, before_ns, step_ns):
        with database.write(durable=False) as connection:
            connection.execute(delete(instant.table).where(instant >= low, instant < high))


def _started(low: int, high: int) -> ColumnElement[bool]:
    return and_(records.c.start_ns >= low, records.c.start_ns < high)


def _first_unfolded(connection: Connection, end: int) -> int | None:
    """Where to go on: a minute's start; bad requests that stayed before it are not looked at again."""
    flag = runs.get_flag(connection, FOLDED_FLAG) or {}
    since = int(flag.get("until_ns", 0))
    oldest = connection.execute(select(func.min(records.c.start_ns)).where(_started(since, end))).scalar()
    return None if oldest is None else int(oldest) // MINUTE_NS * MINUTE_NS


def _fold_chunk(connection: Connection, low: int, high: int) -> int:
    good = and_(_started(low, high), records.c.outcome == GOOD_CODE)
    folded = 0
    for row in connection.execute(_minutes_query(good)).all():
        _add_minute(connection, row)
        folded += row.good
    if folded:
        connection.execute(delete(records).where(good))
    return folded


def _minutes_query(good: ColumnElement[bool]) -> Any:
    minute = (records.c.start_ns - records.c.start_ns % MINUTE_NS).label("minute_ns")
    c = records.c
    return (
        select(
            minute,
            c.probe,
            func.count().label("good"),
            func.sum(c.life_ns).label("life_ns"),
            func.count(c.ttft_ns).label("ttft_count"),
            func.coalesce(func.sum(c.ttft_ns), 0).label("ttft_ns"),
            func.count(c.inter_token_ns).label("inter_token_count"),
            func.coalesce(func.sum(c.inter_token_ns), 0).label("inter_token_ns"),
            func.coalesce(func.sum(c.output_tokens), 0).label("output_tokens"),
            *_buckets("life", c.life_ns),
            *_buckets("ttft", c.ttft_ns),
        )
        .where(good)
        .group_by(minute, c.probe)
    )


def _buckets(name: str, column: Column[Any]) -> list[ColumnElement[int]]:
    edges = [None, *BOUNDS_NS, None]
    made: list[ColumnElement[int]] = []
    for i, (low, high) in enumerate(pairwise(edges)):
        inside: list[ColumnElement[bool]] = [column.is_not(None)]
        if low is not None:
            inside.append(column > low)
        if high is not None:
            inside.append(column <= high)
        made.append(func.sum(case((and_(*inside), 1), else_=0)).label(f"{name}_{i}"))
    return made


def _add_minute(connection: Connection, row: Row[Any]) -> None:
    """Insert the minute, or add to it: a request may have come late to a minute that is already folded."""
    values: dict[str, Any] = {name: int(getattr(row, name)) for name in _SUMS}
    histograms = {f"{n}_histogram": [int(row._mapping[f"{n}_{i}"]) for i in range(_WIDTH)] for n in ("life", "ttft")}
    same = and_(minutes.c.minute_ns == row.minute_ns, minutes.c.probe == row.probe)
    before = connection.execute(select(minutes).where(same)).mappings().first()
    if before is not None:
        values = {name: values[name] + before[name] for name in _SUMS}
        for name, counts in histograms.items():
            histograms[name] = [a + b for a, b in zip(counts, json.loads(before[name]), strict=True)]
    values |= {name: json.dumps(counts, separators=(",", ":")) for name, counts in histograms.items()}
    if before is not None:
        connection.execute(update(minutes).where(same).values(values))
    else:
        connection.execute(insert(minutes).values(minute_ns=row.minute_ns, probe=row.probe, **values))


_WIDTH = len(BOUNDS_NS) + 1


def _give_back_space(database: Database) -> None:
    """Hand freed pages of a SQLite file back to the file system, a little at a time."""
    if not database.is_sqlite:
        return
    for _ in range(1000):
        with database.write(durable=False) as connection:
            free = connection.exec_driver_sql("PRAGMA freelist_count").scalar() or 0
            if free <= _SLACK_PAGES:
                return
            raw: Any = connection.connection.driver_connection
            # one step frees one page, and only reading to the end takes all steps; SQLAlchemy sees no rows to read
            raw.execute(f"PRAGMA incremental_vacuum({min(_VACUUM_PAGES, free - _SLACK_PAGES)})").fetchall()
