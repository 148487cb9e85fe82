"""Figures as Grafana writes them: units, value mappings, thresholds, legends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

COLOURS = {
    "text": "#d8d9da",
    "green": "#73bf69",
    "yellow": "#fade2a",
    "orange": "#ff9830",
    "red": "#f2495c",
    "purple": "#b877d9",
    "blue": "#5794f2",
    "light-blue": "#8ab8ff",
    "dark-red": "#c4162a",
    "semi-dark-red": "#e02f44",
    "light-red": "#ff7383",
    "super-light-red": "#ffa6b0",
    "dark-orange": "#fa6400",
    "light-orange": "#ffb357",
    "dark-yellow": "#e0b400",
    "light-yellow": "#ffee52",
    "dark-purple": "#8f3bb8",
    "transparent": "#22252b",
}
PALETTE = ("#73bf69", "#fade2a", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#ffcb7d", "#96d98d")


def colour(name: str) -> str:
    """A Grafana colour as matplotlib knows it."""
    return COLOURS.get(name, name)


def legend(form: str, labels: Mapping[str, str]) -> str:
    """`{{label}}` filled in."""
    if form == "__auto":
        inside = ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items()) if key != "__name__")
        return f"{{{inside}}}"
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), form).strip()


def mapped(value: str, mappings: list[dict[str, Any]]) -> tuple[str, str] | None:
    """Text and colour of a value that has a mapping."""
    for one in mappings:
        found = one["options"].get(value)
        if found is not None:
            return found["text"], colour(found["color"])
    return None


def threshold_colour(value: float, steps: list[dict[str, Any]]) -> str:
    """The colour of the last threshold that the value has reached."""
    reached = [one["color"] for one in steps if one["value"] is None or value >= one["value"]]
    return colour(reached[-1] if reached else "text")


def number(value: float, unit: str, now: float, decimals: int | None = None) -> str:
    """A value in its unit."""
    digits = 2 if decimals is None else decimals
    if unit == "percentunit":
        return f"{100 * value:.{1 if decimals is None else decimals}f} %"
    if unit == "dateTimeFromNow":
        return _from_now(value / 1000 - now)
    if unit == "dateTimeAsIso":
        return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    suffix = {"s": " s", "reqps": " req/s", "cps": "/s", "ops": "/s"}.get(unit, "")
    if unit == "s" and 0 < abs(value) < 1:
        return f"{1000 * value:.3g} ms"
    if abs(value - round(value)) < 1e-9:
        return f"{value:.0f}{suffix}"
    return f"{value:.{digits}f}{suffix}"


def _from_now(seconds: float) -> str:
    for size, word in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if abs(seconds) >= size:
            count = round(abs(seconds) / size)
            words = f"{count} {word}{'s' if count > 1 else ''}"
            return f"in {words}" if seconds > 0 else f"{words} ago"
    return "now"


def property_of(panel: Mapping[str, Any], name: str, key: str) -> Any:
    """What the overrides of a panel say of a series or column; None for nothing."""
    for override in panel["fieldConfig"].get("overrides", ()):
        matcher = override["matcher"]
        by_name = matcher["id"] == "byName" and matcher["options"] == name
        by_pattern = matcher["id"] == "byRegexp" and re.search(matcher["options"].strip("/"), name)
        if by_name or by_pattern:
            for one in override["properties"]:
                if one["id"] == key:
                    return one["value"]
    return None
