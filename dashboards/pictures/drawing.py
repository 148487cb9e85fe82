"""Draws the panel types that our dashboards use, near enough to Grafana to judge them by eye."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, date2num

from dashboards.pictures.figures import PALETTE, colour, legend, mapped, number, property_of, threshold_colour

TEXT = "#d8d9da"
FAINT = "#8e8e8e"
Series = list[tuple[str, list[dict[str, Any]]]]
"""Legend form and Prometheus's result, a query each."""


@dataclass(frozen=True)
class Span:
    """The time axis, and the regions of annotations on it. UTC seconds; `step` between points."""

    since: float
    until: float
    step: int
    regions: Sequence[tuple[float, float, str]] = ()


def _when(seconds: float) -> float:
    return float(date2num(datetime.fromtimestamp(seconds, UTC)))  # type: ignore[no-untyped-call]


def _named(data: Series) -> list[tuple[str, Mapping[str, Any]]]:
    return [(legend(form, one["metric"]) or "value", one) for form, result in data for one in result]


def nothing(axes: Axes, text: str = "No data") -> None:
    """An empty panel."""
    axes.text(0.5, 0.5, text, color=FAINT, ha="center", va="center", fontsize=9, transform=axes.transAxes)


def stat(axes: Axes, panel: Mapping[str, Any], data: Series, span: Span) -> None:
    """Large figures."""
    defaults, options = panel["fieldConfig"]["defaults"], panel["options"]
    found = _named(data)
    if not found:
        axes.text(0.5, 0.5, defaults["noValue"], color=TEXT, ha="center", va="center", fontsize=13)
        return
    for index, (name, one) in enumerate(found):
        value = float(one["value"][1])
        shown = mapped(f"{value:g}", defaults["mappings"])
        tint = shown[1] if shown else threshold_colour(value, defaults["thresholds"]["steps"])
        fixed = property_of(panel, name, "color")
        tint = colour(fixed["fixedColor"]) if fixed else tint
        text = shown[0] if shown else number(value, defaults["unit"], span.until, defaults.get("decimals"))
        y = 1 - (index + 0.5) / len(found)
        if options["colorMode"] == "background":
            axes.set_facecolor(tint)
            tint = "white"
        many = len(found) > 1
        text = {"name": name, "value_and_name": f"{name}\n{text}"}.get(
            options["textMode"], f"{name}: {text}" if many else text
        )
        size = 9 if many else 10 if len(text) > 14 else 17
        axes.text(0.5, y, text, color=tint, ha="center", va="center", fontsize=size, weight="bold")


def series(axes: Axes, panel: Mapping[str, Any], data: Series, span: Span) -> None:
    """Lines, or stacked bars."""
    custom = panel["fieldConfig"]["defaults"]["custom"]
    found = _named(data)
    if not found:
        nothing(axes)
    base: dict[float, float] = {}
    for index, (name, one) in enumerate(found):
        fixed = property_of(panel, name, "color")
        tint = colour(fixed["fixedColor"]) if fixed else PALETTE[index % len(PALETTE)]
        points = [(float(at), float(value)) for at, value in one["values"]]
        times = [_when(at) for at, _ in points]
        values = [value for _, value in points]
        if custom["drawStyle"] == "bars":
            below = [base.get(at, 0.0) for at, _ in points]
            axes.bar(times, values, bottom=below, width=span.step / 86_400, color=tint, label=name, linewidth=0)
            base |= {at: under + value for (at, value), under in zip(points, below, strict=True)}
        else:
            axes.plot(*_with_gaps(times, values, span.step), color=tint, label=name, linewidth=1)
    _time_axis(axes, span)
    axes.set_ylim(bottom=0)
    _units(axes, panel["fieldConfig"]["defaults"]["unit"], span)
    if found:
        # More than that hides the panel; Grafana scrolls.
        axes.legend(
            *_first(axes, 8),
            fontsize=5.5,
            ncols=4,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.1),
            frameon=False,
            labelcolor=TEXT,
        )


def _first(axes: Axes, count: int) -> tuple[list[Any], list[Any]]:
    handles, labels = axes.get_legend_handles_labels()
    return handles[:count], labels[:count]


def _with_gaps(times: list[float], values: list[float], step: int) -> tuple[list[float], list[float]]:
    """A missing step breaks the line."""
    apart = 1.5 * step / 86_400
    out_t: list[float] = []
    out_v: list[float] = []
    for at, value in zip(times, values, strict=True):
        if out_t and at - out_t[-1] > apart:
            out_t.append(at)
            out_v.append(float("nan"))
        out_t.append(at)
        out_v.append(value)
    return out_t, out_v


def _units(axes: Axes, unit: str, span: Span) -> None:
    axes.yaxis.set_major_formatter(lambda value, _: number(value, unit, span.until))


def _clock(seconds: float) -> str:
    """Times as fine as the axis can tell apart."""
    return "%H:%M:%S" if seconds < 900 else "%H:%M" if seconds < 2 * 86_400 else "%m-%d %H:%M"


def _time_axis(axes: Axes, span: Span) -> None:
    axes.set_xlim(_when(span.since), _when(span.until))
    axes.xaxis.set_major_formatter(DateFormatter(_clock(span.until - span.since), tz=UTC))  # type: ignore[no-untyped-call]
    axes.tick_params(colors=FAINT, labelsize=6, length=2)
    axes.grid(color="#2c3235", linewidth=0.5)
    for begin, end, tint in span.regions:
        axes.axvspan(
            _when(begin),
            _when(max(end, begin + (span.until - span.since) / 600)),
            color=colour(tint),
            alpha=0.18,
            linewidth=0,
        )


def states(axes: Axes, panel: Mapping[str, Any], data: Series, span: Span) -> None:
    """A row of coloured states a series."""
    mappings = panel["fieldConfig"]["defaults"]["mappings"]
    found = _named(data)
    if not found:
        nothing(axes)
    for row, (_, one) in enumerate(found):
        for at, value in one["values"]:
            shown = mapped(f"{float(value):g}", mappings)
            tint = shown[1] if shown else FAINT
            axes.barh(row, span.step / 86_400, left=_when(float(at)), height=0.8, color=tint, linewidth=0)
    _time_axis(axes, span)
    axes.set_yticks(range(len(found)), [name for name, _ in found])
    axes.tick_params(axis="y", labelcolor=TEXT)
    axes.invert_yaxis()


def bars(axes: Axes, panel: Mapping[str, Any], data: Series, span: Span) -> None:
    """Horizontal bars with their figure."""
    defaults = panel["fieldConfig"]["defaults"]
    found = _named(data)
    if not found:
        nothing(axes)
        return
    values = [float(one["value"][1]) for _, one in found]
    fixed = [property_of(panel, name, "color") for name, _ in found]
    tints = [
        colour(own["fixedColor"]) if own else threshold_colour(value, defaults["thresholds"]["steps"])
        for own, value in zip(fixed, values, strict=True)
    ]
    axes.barh(range(len(values)), values, color=tints, alpha=0.6)
    for row, value in enumerate(values):
        axes.text(
            max(values) * 1.02,
            row,
            number(value, defaults["unit"], span.until, defaults.get("decimals")),
            color=TEXT,
            va="center",
            fontsize=7,
        )
    axes.set_yticks(range(len(values)), [name for name, _ in found])
    axes.tick_params(colors=TEXT, labelsize=6, length=0)
    axes.set_xticks([])
    axes.set_xlim(0, max(*values, 1e-9) * 1.35)
    axes.invert_yaxis()


def table(axes: Axes, panel: Mapping[str, Any], data: Series, span: Span) -> None:
    """Queries joined as the panel's transformations say."""
    head, rows = joined(panel, data)
    axes.set_axis_off()
    if not rows:
        nothing(axes)
        return
    texts, tints = [], []
    for row in rows:
        cells = [_cell(panel, name, row.get(name), span) for name in head]
        texts.append([text for text, _ in cells])
        tints.append([tint for _, tint in cells])
    drawn = axes.table(
        texts, colLabels=["\n".join(textwrap.wrap(h, 14)) for h in head], loc="upper center", cellLoc="left"
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(6.5)
    for (line, column), cell in drawn.get_celld().items():
        cell.set_facecolor("#181b1f" if line else "#22252b")
        cell.set_edgecolor("#2c3235")
        cell.get_text().set_color(tints[line - 1][column] if line else TEXT)


def joined(panel: Mapping[str, Any], data: Series) -> tuple[list[str], list[dict[str, Any]]]:
    """Headings and rows, as Grafana's transformations make them: outer join, filter, rename, order, sort."""
    steps = {one["id"]: one["options"] for one in panel["transformations"]}
    key = steps["joinByField"]["byField"] if "joinByField" in steps else None
    rows: dict[str, dict[str, Any]] = {}
    for index, (_, result) in enumerate(data):
        value = f"Value #{chr(ord('A') + index)}" if len(data) > 1 else "Value"
        for number_, one in enumerate(result):
            at = one["metric"].get(key, "") if key else str(number_)
            rows.setdefault(at, {}).update({**one["metric"], value: float(one["value"][1])})
    order = list(steps["filterFieldsByName"]["include"]["names"])
    names = steps["organize"]["renameByName"]
    renamed: list[dict[str, Any]] = [
        {names.get(field, field): row.get(field) for field in order} for row in rows.values()
    ]
    for one in panel["options"]["sortBy"]:
        renamed.sort(key=partial(_rank, one["displayName"], bool(one["desc"])), reverse=one["desc"])
    return [names.get(field, field) for field in order], renamed


def _rank(column: str, descending: bool, row: Mapping[str, Any]) -> Any:
    """What is not there comes last, whichever way."""
    value = row[column]
    return value if value is not None else float("-inf") if descending else float("inf")


def _cell(panel: Mapping[str, Any], name: str, value: Any, span: Span) -> tuple[str, str]:
    if value is None:
        return "", TEXT
    mappings = property_of(panel, name, "mappings") or []
    shown = mapped(value if isinstance(value, str) else f"{value:g}", mappings)
    if shown:
        return shown
    if isinstance(value, str):
        return value, TEXT
    unit = property_of(panel, name, "unit") or "short"
    return number(value, unit, span.until, property_of(panel, name, "decimals")), TEXT


def heatmap(axes: Axes, _panel: Mapping[str, Any], data: Series, span: Span) -> None:
    """Cumulative buckets as a picture of what fell between two of them."""
    found = sorted(
        ((float(one["metric"]["le"]), one) for _, result in data for one in result), key=lambda pair: pair[0]
    )
    if not found:
        nothing(axes)
        return
    times = sorted({float(at) for _, one in found for at, _ in one["values"]})
    grid = np.zeros((len(found), len(times)))
    for row, (_, one) in enumerate(found):
        values = {float(at): float(value) for at, value in one["values"]}
        grid[row] = [values.get(at, 0.0) for at in times]
    inside = np.diff(grid, axis=0, prepend=0).clip(0)
    shown = np.ma.masked_less(inside, 1e-9)
    axes.pcolormesh([_when(at) for at in times], np.arange(len(found)), shown**0.5, cmap="Oranges_r", shading="nearest")
    every = max(1, len(found) // 6)
    axes.set_yticks(range(0, len(found), every), [f"{le:g} s" for le, _ in found[::every]])
    _time_axis(axes, span)


DRAW = {
    "stat": stat,
    "timeseries": series,
    "state-timeline": states,
    "bargauge": bars,
    "table": table,
    "heatmap": heatmap,
}
