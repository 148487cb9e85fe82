"""Records, gaps and segments: written in batches, read by windows of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from monitor.measure.columns import MISSING, OUTCOME_CODE, Columns
from monitor.store import codec
from monitor.store.schema import gaps, probes, records, segments
from probes.record import BAD, Gap, Outcome, Record, SegmentClosed

BAD_CODES = sorted(OUTCOME_CODE[o] for o in BAD)
GOOD_CODE = OUTCOME_CODE[Outcome.GOOD]
_OPTIONAL = ("ttft_ns", "inter_token_ns", "max_gap_ns", "input_tokens", "output_tokens", "expected_tokens")


def add_records(connection: Connection, batch: Sequence[Record]) -> None:
    """Insert; a record that is already there is left alone, so that a batch may be repeated."""
    if not batch:
        return
    codes = _codes(connection, batch)
    rows = [codec.to_row(r, codes[r.probe]) for r in batch]
    connection.execute(_insert_new(connection, records), rows)


def add_gaps(connection: Connection, batch: Sequence[Gap]) -> None:
    """Insert, or close the one that began at the same instant."""
    for gap in batch:
        same = (gaps.c.probe == gap.probe) & (gaps.c.start_ns == gap.start_ns)
        values = {"end_ns": gap.end_ns, "reason": codec.storable(gap.reason)}
        if not connection.execute(update(gaps).where(same).values(values)).rowcount:
            connection.execute(insert(gaps).values(probe=gap.probe, start_ns=gap.start_ns, **values))


def add_segments(connection: Connection, batch: Sequence[SegmentClosed]) -> None:
    """Insert; repeating a batch changes nothing."""
    if batch:
        rows = [_segment(s) for s in batch]
        connection.execute(_insert_new(connection, segments), rows)


def _segment(closed: SegmentClosed) -> dict[str, Any]:
    return {c.name: getattr(closed, c.name) for c in segments.columns} | {"reason": codec.storable(closed.reason)}


def select_records(
    connection: Connection, start_ns: int, end_ns: int, *, probe: str | None, limit: int | None, bad_only: bool
) -> list[Record]:
    """Requests whose life touches [start_ns, end_ns), by start."""
    names = probe_names(connection)
    chosen = _window(connection, start_ns, end_ns)
    if probe is not None:
        chosen.append(records.c.probe.in_([code for code, name in names.items() if name == probe]))
    if bad_only:
        chosen.append(records.c.outcome.in_(BAD_CODES))
    query = select(records).where(*chosen).order_by(*records.primary_key.columns).limit(limit)
    return [codec.from_row(row, names) for row in connection.execute(query)]


def select_columns(connection: Connection, start_ns: int, end_ns: int) -> Columns:
    """The same rows as arrays, without a Record in between."""
    names = probe_names(connection)
    wanted: list[ColumnElement[Any]] = [
        records.c.start_ns,
        (records.c.start_ns + records.c.life_ns).label("end_ns"),
        records.c.outcome,
        records.c.error,
        records.c.probe,
        *(func.coalesce(records.c[name], MISSING).label(name) for name in _OPTIONAL),
    ]
    query = select(*wanted).where(*_window(connection, start_ns, end_ns)).order_by(*records.primary_key.columns)
    rows: Sequence[Row[Any]] = connection.execute(query).all()
    if not rows:
        return Columns.empty()
    columns = dict(zip([c.name for c in wanted], zip(*rows, strict=True), strict=True))
    present = sorted(set(columns["probe"]))
    position = {code: i for i, code in enumerate(present)}
    columns["probe"] = tuple(position[code] for code in columns["probe"])
    return Columns.build([names[code] for code in present], columns)


def select_gaps(connection: Connection, start_ns: int, end_ns: int) -> list[Gap]:
    """Gaps that touch [start_ns, end_ns), open ones included."""
    touching = (gaps.c.start_ns < end_ns) & or_(gaps.c.end_ns.is_(None), gaps.c.end_ns >= start_ns)
    rows = connection.execute(select(gaps).where(touching).order_by(gaps.c.start_ns, gaps.c.probe))
    return [Gap(r.probe, r.start_ns, r.end_ns, r.reason) for r in rows]


def select_segments(connection: Connection, since_ns: int) -> list[SegmentClosed]:
    """Segments that ended at or after the instant, by end."""
    query = select(segments).where(segments.c.ended_ns >= since_ns).order_by(segments.c.ended_ns, segments.c.probe)
    return [SegmentClosed(**row) for row in connection.execute(query).mappings()]


def last_starts(connection: Connection, probes: Sequence[str]) -> dict[str, int]:
    """When the newest request of each probe was started; a probe without one is left out."""
    found = {}
    for code, name in probe_names(connection).items():
        # From the end of the primary key: the newest is among the last rows.
        query = select(records.c.start_ns).where(records.c.probe == code).order_by(records.c.start_ns.desc()).limit(1)
        at = connection.execute(query).scalar() if name in probes else None
        if at is not None:
            found[name] = int(at)
    return found


def open_gaps(connection: Connection) -> list[Gap]:
    """Gaps that nobody has closed."""
    rows = connection.execute(select(gaps).where(gaps.c.end_ns.is_(None)).order_by(gaps.c.start_ns, gaps.c.probe))
    return [Gap(r.probe, r.start_ns, None, r.reason) for r in rows]


def probe_names(connection: Connection) -> dict[int, str]:
    """Names by their codes."""
    return {row.code: row.name for row in connection.execute(select(probes.c.code, probes.c.name))}


def _window(connection: Connection, start_ns: int, end_ns: int) -> list[ColumnElement[bool]]:
    """Overlap as a range of the primary key: nothing that began more than the longest life before can touch it."""
    longest = connection.execute(select(func.max(probes.c.longest_ns))).scalar() or 0
    return [
        records.c.start_ns >= start_ns - longest,
        records.c.start_ns < end_ns,
        records.c.start_ns + records.c.life_ns >= start_ns,
    ]


def _codes(connection: Connection, batch: Sequence[Record]) -> Mapping[str, int]:
    """Codes of the probes of the batch; new ones are named, and longer lives noted."""
    known = {row.name: (row.code, row.longest_ns) for row in connection.execute(select(probes))}
    codes = {name: code for name, (code, _) in known.items()}
    longest: dict[str, int] = {}
    for record in batch:
        longest[record.probe] = max(longest.get(record.probe, 0), record.end_ns - record.start_ns)
    for name, life in longest.items():
        if name not in codes:
            codes[name] = max(codes.values(), default=0) + 1
            connection.execute(insert(probes).values(code=codes[name], name=name, longest_ns=life))
        elif life > known[name][1]:
            connection.execute(update(probes).where(probes.c.name == name).values(longest_ns=life))
    return codes


def _insert_new(connection: Connection, table: Table) -> Any:
    """INSERT that leaves existing rows alone, in the dialect's own words."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def chunked(start: int, end: int, step: int) -> list[tuple[int, int]]:
    """[start, end) in pieces of `step`."""
    edges = list(islice(range(start, end, step), 1_000_000))
    return [(edge, min(edge + step, end)) for edge in edges]
