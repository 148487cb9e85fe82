"""The catalogue of a service: built-in entries, with the configuration's on top."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from faults.base import Fault, Receipt
from faults.catalogue import builtin
from faults.entry import ConfiguredEntry, FaultEntry
from faults.registry import AnyFault

_FAULTS: TypeAdapter[Fault] = TypeAdapter(AnyFault)


class UnknownFault(LookupError):
    """No entry of that name; the text lists near ones."""


class BadChange(ValueError):
    """A change to a fault's parameters that its kind refuses; one line."""


def catalogue(configured: Mapping[str, ConfiguredEntry]) -> dict[str, FaultEntry]:
    """All entries by name. A configured entry takes what it leaves out from the built-in one of the same name."""
    entries = builtin()
    for name, given in configured.items():
        known = entries.get(name)
        fault = given.fault or (known.fault if known else None)
        if fault is None:
            raise UnknownFault(f"faults.{name} has no `fault`, and no built-in fault is called that")
        description = given.description or (known.description if known else "")
        entries[name] = FaultEntry(fault=fault, objectives=given.objectives, description=description)
    return entries


def find(entries: Mapping[str, FaultEntry], name: str) -> FaultEntry:
    """The entry of that name; raises `UnknownFault`."""
    if name in entries:
        return entries[name]
    near = difflib.get_close_matches(name, entries, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(sorted(entries))}"
    raise UnknownFault(f"no fault is called {name!r}; {hint}")


def with_changes(fault: Fault, changes: Mapping[str, Any]) -> Fault:
    """The fault with some parameters changed; raises `BadChange`."""
    if not changes:
        return fault
    if "kind" in changes:
        raise BadChange("kind cannot be changed; use another catalogue entry")
    try:
        return _FAULTS.validate_python(fault.model_dump(mode="json") | dict(changes))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or fault.kind
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(set(type(fault).model_fields) - {"kind"}))
            raise BadChange(f"{where}: {fault.kind} has no such parameter; it has {known}") from None
        raise BadChange(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None


def fault_of(receipt: Receipt) -> Fault:
    """The fault that a receipt belongs to, rebuilt from its stored spec."""
    return _FAULTS.validate_python(receipt.fault)


def describe(
    name: str, entry: FaultEntry, *, has_target: bool = True, allowed: Sequence[str] | None = None
) -> dict[str, Any]:
    """An entry with the facts of its kind, as the API and the command line show it, and whether it can run here."""
    fault, facts = entry.fault, entry.fault.facts
    why_not = ""
    if fault.kind != "none" and not has_target:
        why_not = "the configuration has no deployment.target"
    elif allowed is not None and fault.kind not in allowed:
        why_not = "not among guard.allowed_kinds"
    return {
        "name": name,
        "description": entry.description,
        "kind": fault.kind,
        "layer": facts.layer.value,
        "heals": facts.heals,
        "longest_seconds": facts.longest_seconds,
        "privilege": facts.privilege,
        "fools": facts.fools,
        "permissions": list(facts.permissions),
        "fault": fault.model_dump(mode="json"),
        "objectives": entry.objectives.model_dump(),
        "usable": not why_not,
        "why_not": why_not,
    }
