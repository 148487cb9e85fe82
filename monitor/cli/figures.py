"""Instants, durations and other small things as text."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from monitor.model import Resolution, Run, Verdict

NOTHING = "-"


def local_time(ns: int | None, *, millis: bool = False) -> str:
    """An instant in local time with its zone."""
    if ns is None:
        return NOTHING
    # Whole seconds and the rest apart: a float has no room for the nanoseconds of today.
    at = datetime.fromtimestamp(ns // 10**9).astimezone()
    part = f".{ns % 10**9 // 10**6:03d}" if millis else ""
    return f"{at:%Y-%m-%d %H:%M:%S}{part} {at.tzname()}"


def offset(ns: int | None, origin_ns: int | None) -> str:
    """An instant relative to another, in seconds."""
    if ns is None:
        return NOTHING
    return f"{(ns - origin_ns) / 1e9:+.2f} s" if origin_ns is not None else local_time(ns, millis=True)


def seconds(value: float | None, *, resolution: float | None = None, at_least: bool = False) -> str:
    """A duration, with how much earlier its edges may lie; `at_least` marks a lower bound."""
    if value is None:
        return NOTHING
    sharp = f" (resolution {resolution:.2f} s)" if resolution else ""
    return f"{'at least ' if at_least else ''}{value:.2f} s{sharp}"


def both_edges(resolution: Resolution) -> float | None:
    """How much a window's length may be off: the sum of what its two edges may be."""
    edges = [resolution.at_impact_seconds, resolution.at_recovery_seconds]
    known = [edge for edge in edges if edge is not None]
    return sum(known) if known else None


def number(value: float | None, unit: str = "") -> str:
    """A count or a rate."""
    return NOTHING if value is None else f"{value:g}{unit}"


def percent(share: float | None) -> str:
    """A share as percent."""
    return NOTHING if share is None else f"{100 * share:.3g} %"


def words(parts: Iterable[str]) -> str:
    """Parts in one cell."""
    return ", ".join(part for part in parts if part) or NOTHING


def instance_names(run: Run) -> str:
    """The instances that a run broke, by name."""
    return words(instance.name for instance in run.instances)


def met_text(run: Run) -> str:
    """Objectives in one word."""
    if not run.objective_results:
        return NOTHING
    return {True: "met", False: "missed", None: "not judged"}[run.met]


def exit_code(run: Run) -> int:
    """0 for a run that measured what it should and missed nothing, else 1."""
    fine = run.verdict in {Verdict.NO_IMPACT, Verdict.RECOVERED} and run.met is not False
    return 0 if fine else 1
