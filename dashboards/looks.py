"""Colours, thresholds and value mappings: the same meaning looks the same on every panel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

GOOD = "green"
CAREFUL = "orange"
BAD = "red"
NEUTRAL = "text"
ACTING = "purple"
"""What we do ourselves is never green or red: a fault that acts is no news about the deployment."""
UNKNOWN = "#8e8e8e"

VERDICTS: Mapping[str, str] = {
    "recovered": GOOD,
    "no_impact": GOOD,
    "not_recovered": BAD,
    "revert_failed": BAD,
    "inconclusive": UNKNOWN,
    "not_injected": CAREFUL,
    "aborted": CAREFUL,
    "skipped": UNKNOWN,
}
OUTCOMES: Mapping[str, str] = {
    "good": GOOD,
    "slow": "yellow",
    "truncated": CAREFUL,
    "failed": BAD,
    "lost": UNKNOWN,
}
ERRORS: Mapping[str, str] = {
    "connection_refused": "dark-red",
    "connection_reset": "semi-dark-red",
    "server_disconnected": "light-red",
    "timeout": "dark-purple",
    "http_500": "super-light-red",
    "http_503": BAD,
    "http_529": "light-orange",
    "stream_error": "dark-orange",
    "stream_cut": CAREFUL,
    "slow_first_token": "dark-yellow",
    "slow_gap": "yellow",
    "slow_total": "light-yellow",
}
"""No error class may get the green that the palette would give to the first series."""
ENDS: Mapping[str, str] = {
    "success": GOOD,
    "error internal": BAD,
    "error response_timeout": "dark-purple",
    "error overload": CAREFUL,
    "error cancelled": UNKNOWN,
    "error validation": "light-blue",
    "error not_found": "blue",
}
"""How Dynamo's frontend says that a request ended."""
Steps = list[dict[str, Any]]


def steps(first: str, *rest: tuple[float, str]) -> Steps:
    """Thresholds: the colour below the first value, then (value, colour) upwards."""
    return [{"color": first, "value": None}, *({"color": colour, "value": value} for value, colour in rest)]


PLAIN = steps(NEUTRAL)
OURS = steps(ACTING)
ZERO_IS_GOOD = steps(GOOD, (1, BAD))
ONE_IS_GOOD = steps(BAD, (1, GOOD))


def words(meanings: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """Value mappings: value -> (text, colour)."""
    options = {
        value: {"text": text, "color": colour, "index": index}
        for index, (value, (text, colour)) in enumerate(meanings.items())
    }
    return [{"type": "value", "options": options}]


YES_NO = words({"0": ("no", BAD), "1": ("yes", GOOD)})
VERDICT_WORDS = words({verdict: (verdict.replace("_", " "), colour) for verdict, colour in VERDICTS.items()})
WHOLE_WORDS = words({"0": ("HURT", BAD), "0.5": ("unknown", UNKNOWN), "1": ("whole", GOOD)})


def column(name: str, **properties: Any) -> dict[str, Any]:
    """An override for one column or series, by its name. `custom__width` names the property `custom.width`."""
    listed = [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": listed}


def coloured(colours: Mapping[str, str]) -> list[dict[str, Any]]:
    """A fixed colour for each series name."""
    return [column(name, color={"mode": "fixed", "fixedColor": colour}) for name, colour in colours.items()]


def verdict_endings() -> list[dict[str, Any]]:
    """A colour for series whose name ends with a verdict."""
    return [
        {
            "matcher": {"id": "byRegexp", "options": f"/(^|: ){verdict}$/"},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for verdict, colour in VERDICTS.items()
    ]


def verdict_columns(names: Iterable[str] = ("verdict",)) -> list[dict[str, Any]]:
    """Cells that hold a verdict."""
    return [column(n, mappings=VERDICT_WORDS, custom__cellOptions={"type": "color-text"}) for n in names]
