"""Figures as text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from monitor.report.model import Estimate

NOTHING = "-"


def seconds(value: float | None, *, at_least: bool = False, digits: int = 2) -> str:
    """A duration."""
    return NOTHING if value is None else f"{'≥ ' if at_least else ''}{value:.{digits}f} s"


def short_seconds(value: float | None) -> str:
    """A latency: milliseconds where they read better."""
    if value is None:
        return NOTHING
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def count(value: float | None) -> str:
    """A count."""
    return NOTHING if value is None else f"{value:,.0f}".replace(",", "\u202f")


def rate(value: float | None) -> str:
    """Something a second."""
    return NOTHING if value is None else f"{value:.3g}/s"


def percent(share: float | None, digits: int = 2) -> str:
    """A share. What is nearly all is not rounded to all."""
    if share is None:
        return NOTHING
    text = f"{100 * share:.{digits}f}"
    if share < 1 and float(text) >= 100:
        return f"> {100 - 10**-digits:.{digits}f} %"
    if share > 0 and float(text) == 0:
        return f"< {10**-digits:.{digits}f} %"
    return f"{text} %"


def after(ns: int | None, origin_ns: int | None) -> str:
    """An instant relative to another one."""
    if ns is None:
        return NOTHING
    return instant(ns, millis=True) if origin_ns is None else f"{(ns - origin_ns) / 1e9:+.2f} s"


def instant(ns: int | None, *, millis: bool = False) -> str:
    """An instant in UTC."""
    if ns is None:
        return NOTHING
    part = f".{ns % 10**9 // 10**6:03d}" if millis else ""
    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%d %H:%M:%S}{part}"


def length(value: float) -> str:
    """A long stretch in its two largest units."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    left = round(value)
    said: list[str] = []
    for name, size in units:
        if left >= size or (name == "s" and not said):
            said.append(f"{left // size} {name}")
            left %= size
        if len(said) == 2 or (said and left == 0):
            break
    return " ".join(said)


def counted(counts: Mapping[str, int]) -> str:
    """Names with their counts."""
    return ", ".join(f"{name} {n}" for name, n in counts.items()) or NOTHING


def estimate(one: Estimate, unit: str = "", *, signed: bool = False) -> str:
    """A figure with its interval."""
    if one.value is None:
        return NOTHING
    sign = "+" if signed else ""
    text = f"{one.value:{sign}.3g}"
    if one.low is not None and one.high is not None:
        text += f" ({one.low:{sign}.3g} to {one.high:{sign}.3g})"
    return f"{text} {unit}".rstrip()


def clipped(text: str, most: int = 300) -> str:
    """A long text by its beginning; the JSON report has it whole."""
    return text if len(text) <= most else f"{text[:most]} ..."


def yes_no(met: bool | None, *, judged: bool = True) -> str:
    """Objectives in a word."""
    if not judged:
        return NOTHING
    return {True: "met", False: "missed", None: "not judged"}[met]
