"""Runs, incidents and flags."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from monitor.model import Incident, Phase, Run
from monitor.store.codec import storable
from monitor.store.errors import StoreCorrupt
from monitor.store.schema import flags, incidents, runs

NEAR = 5
"""How many runs an ambiguous prefix lists."""


def save_run(connection: Connection, run: Run) -> None:
    """Insert or replace; an id that belongs to a run of another instant is an error, not a replacement."""
    row = {
        "deployment": run.deployment,
        "fault_name": run.fault_name,
        "verdict": run.verdict,
        "phase": run.phase,
        "t_requested": run.t_requested,
        "t_finished": run.t_finished,
        "receipt_open": run.receipt_open,
        "met": run.met,
        "body": run.model_dump_json(),
    }
    same = (runs.c.id == run.id) & (runs.c.t_requested == run.t_requested)
    if not connection.execute(update(runs).where(same).values(row)).rowcount:
        connection.execute(insert(runs).values(id=run.id, **row))


def find_run(connection: Connection, wanted: str) -> Run | None:
    """By id, or by an unambiguous prefix; raises LookupError with one line for an ambiguous one."""
    wanted = storable(wanted)
    if not wanted:
        return None
    exact = connection.execute(select(runs.c.id, runs.c.body).where(runs.c.id == wanted)).first()
    if exact is not None:
        return _run(exact.id, exact.body)
    like = runs.c.id.startswith(wanted, autoescape=True)
    found = connection.execute(select(runs.c.id).where(like).order_by(runs.c.id.desc()).limit(NEAR + 1)).scalars().all()
    if len(found) > 1:
        more = ", ..." if len(found) > NEAR else ""
        raise LookupError(
            f"{wanted!r} fits several runs: {', '.join(found[:NEAR])}{more}; give more characters of the id"
        )
    if not found:
        return None
    return _run(found[0], connection.execute(select(runs.c.body).where(runs.c.id == found[0])).scalar_one())


def list_runs(
    connection: Connection, *, limit: int, offset: int, fault: str | None, verdict: str | None, since_ns: int | None
) -> tuple[list[Run], int]:
    """Newest first, and how many there are in all."""
    chosen: list[ColumnElement[bool]] = []
    if fault is not None:
        chosen.append(runs.c.fault_name == storable(fault))
    if verdict is not None:
        chosen.append(runs.c.verdict == storable(verdict))
    if since_ns is not None:
        chosen.append(runs.c.t_requested >= since_ns)
    total = connection.execute(select(func.count()).select_from(runs).where(*chosen)).scalar_one()
    newest = (runs.c.t_requested.desc(), runs.c.id.desc())
    query = select(runs.c.id, runs.c.body).where(*chosen).order_by(*newest).limit(limit).offset(offset)
    return [_run(row.id, row.body) for row in connection.execute(query)], total


def open_receipts(connection: Connection) -> list[Run]:
    """Runs whose fault may still act, oldest first."""
    return _all(connection, runs.c.receipt_open.is_(True))


def unfinished(connection: Connection) -> list[Run]:
    """Runs that have not reached their end, oldest first."""
    return _all(connection, runs.c.phase != Phase.FINISHED)


def _all(connection: Connection, chosen: ColumnElement[bool]) -> list[Run]:
    query = select(runs.c.id, runs.c.body).where(chosen).order_by(runs.c.t_requested, runs.c.id)
    return [_run(row.id, row.body) for row in connection.execute(query)]


def _run(run_id: str, body: str) -> Run:
    try:
        return Run.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StoreCorrupt(f"run {run_id} cannot be read back: {where}: {first['msg']}") from error


def forget_runs(connection: Connection, before_ns: int) -> None:
    """Delete finished runs that leave nothing to revert, and closed incidents."""
    old = (runs.c.t_requested < before_ns) & (runs.c.phase == Phase.FINISHED) & runs.c.receipt_open.is_(False)
    connection.execute(delete(runs).where(old))
    connection.execute(delete(incidents).where(incidents.c.start_ns < before_ns, incidents.c.end_ns.is_not(None)))


# --- incidents ------------------------------------------------------------------------------


def save_incident(connection: Connection, incident: Incident) -> Incident:
    """Insert (and give an id) or replace."""
    row = incident.model_dump(exclude={"id"}) | {"first_error": storable(incident.first_error)}
    if incident.id is not None:
        same = incidents.c.id == incident.id
        if connection.execute(update(incidents).where(same).values(row)).rowcount:
            return incident
        connection.execute(insert(incidents).values(id=incident.id, **row))
        return incident
    made = connection.execute(insert(incidents).values(row)).inserted_primary_key
    return incident.model_copy(update={"id": made[0] if made else None})


def list_incidents(connection: Connection, limit: int, *, open_only: bool = False) -> list[Incident]:
    """Newest first."""
    query = select(incidents).order_by(incidents.c.start_ns.desc(), incidents.c.id.desc()).limit(limit)
    if open_only:
        query = query.where(incidents.c.end_ns.is_(None))
    return [Incident(**row) for row in connection.execute(query).mappings()]


def incident_totals(connection: Connection) -> tuple[int, int]:
    """How many there are, and the sum of the lengths (ns) of those that ended."""
    length = func.coalesce(func.sum(incidents.c.end_ns - incidents.c.start_ns), 0)
    row = connection.execute(select(func.count(), length).select_from(incidents)).one()
    return int(row[0]), int(row[1])


# --- flags ----------------------------------------------------------------------------------


def get_flag(connection: Connection, name: str) -> dict[str, Any] | None:
    """The flag's value, or None when it is not set."""
    text = connection.execute(select(flags.c.value).where(flags.c.name == name)).scalar()
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise StoreCorrupt(f"flag {name!r} cannot be read back: {error}") from error
    if not isinstance(value, dict):
        raise StoreCorrupt(f"flag {name!r} cannot be read back: it holds {type(value).__name__}, not an object")
    return value


def set_flag(connection: Connection, name: str, value: dict[str, Any] | None) -> None:
    """Set, or with None remove."""
    if value is None:
        connection.execute(delete(flags).where(flags.c.name == name))
        return
    text = json.dumps(value)
    if not connection.execute(update(flags).where(flags.c.name == name).values(value=text)).rowcount:
        connection.execute(insert(flags).values(name=name, value=text))
