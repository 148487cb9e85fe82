"""Stand-ins for broken values, so that one mistake in a file does not hide the others.

Whatever is repaired is remembered as spoiled; no mistake is reported that was judged by a stand-in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from monitor.config.yamlfile import Location

_ENDPOINT = {"url": "http://stand-in.invalid", "model": "stand-in"}
_TIMING = {"every_seconds": 3600}
_STAND_INS: dict[tuple[str | int, ...], Any] = {
    ("deployment",): {"endpoint": _ENDPOINT},
    ("deployment", "endpoint"): _ENDPOINT,
    ("deployment", "endpoint", "url"): _ENDPOINT["url"],
    ("deployment", "endpoint", "model"): _ENDPOINT["model"],
    ("deployment", "target", "attach", "*"): {"component": "stand-in", "pattern": "stand-in"},
    ("deployment", "target", "attach", "*", "component"): "stand-in",
    ("deployment", "target", "attach", "*", "pattern"): "stand-in",
    ("probes",): [{"name": "stand-in"}],
    ("probes", "*"): {"name": "stand-in"},
    ("probes", "*", "name"): "stand-in",
    ("prometheus", "url"): "http://stand-in.invalid",
    ("faults", "*", "fault"): {"kind": "none"},
    ("schedules", "*"): {"name": "stand-in", "faults": ["none"], "timing": _TIMING},
    ("schedules", "*", "name"): "stand-in",
    ("schedules", "*", "faults"): ["none"],
    ("schedules", "*", "faults", "*"): "none",
    ("schedules", "*", "timing"): _TIMING,
}
_WHOLE = {("faults", "*", "fault"), ("schedules", "*", "timing")}
"""Replaced as a whole whatever is wrong inside: what is right there depends on the kind."""


def repair(data: dict[str, Any], location: Location, *, unknown_key: bool = False) -> Location:
    """Put a stand-in in the place of a broken value, or take it out. Returns what is spoiled by that."""
    if unknown_key:
        _take_out(data, location)
        return location
    for length in range(1, len(location) + 1):
        if _pattern(location[:length]) in _WHOLE:
            location = location[:length]
            break
    stand_in = _STAND_INS.get(_pattern(location))
    if stand_in is None:
        return _take_out(data, location)
    if location[-1] == "name" or _pattern(location) in {("probes", "*"), ("schedules", "*")}:
        stand_in = _unique(stand_in, location)
    _put(data, location, stand_in)
    return location


def touches(location: Location, spoiled: Iterable[Location]) -> bool:
    """Whether a value is spoiled, or holds or lies in something that is."""
    return any(
        location[: len(one)] == one[: len(location)] or one[: len(location)] == location[: len(one)] for one in spoiled
    )


def _unique(stand_in: Any, location: Location) -> Any:
    index = next(part for part in location if isinstance(part, int))
    name = f"stand-in-{index}"
    return stand_in | {"name": name} if isinstance(stand_in, dict) else name


def _pattern(location: Location) -> tuple[str | int, ...]:
    """The location with `*` for list positions and for the names of faults."""
    return tuple(
        "*" if isinstance(part, int) or (index == 1 and location[0] == "faults") else part
        for index, part in enumerate(location)
    )


def _take_out(data: dict[str, Any], location: Location) -> Location:
    """Delete the nearest key; a list entry is not deleted alone, for that would shift the ones after it."""
    while location and isinstance(location[-1], int):
        location = location[:-1]
    if not location:
        return location
    parent = _parent(data, location)
    if isinstance(parent, dict) and location[-1] in parent:
        del parent[location[-1]]
        return location
    # A required key is missing here and nothing can stand in for it: the thing around it has to go.
    return _take_out(data, location[:-1])


def _put(data: dict[str, Any], location: Location, value: Any) -> None:
    parent = _parent(data, location)
    if isinstance(parent, (dict, list)):
        parent[location[-1]] = value  # type: ignore[index]


def _parent(data: Any, location: Location) -> Any:
    here = data
    for part in location[:-1]:
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            return None
    return here
