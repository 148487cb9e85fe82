"""A whole dashboard as one picture: its JSON, its grid, and data from a real Prometheus."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dashboards.pictures.drawing import DRAW, TEXT, Series, Span
from dashboards.pictures.filling import Variables, panels, seconds_of, with_values
from dashboards.pictures.window import Window

COLUMN_INCHES = 0.75
ROW_INCHES = 0.38
PAGE = "#111217"
PANEL = "#181b1f"


def draw(dashboard: Mapping[str, Any], window: Window, chosen: Variables, path: Path) -> dict[str, bool]:
    """Write the picture (PNG); returns which panels showed data, by title. Raises `QueryFailedError`, OSError."""
    bottom = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in dashboard["panels"])
    figure = Figure(figsize=(24 * COLUMN_INCHES, (bottom + 1.5) * ROW_INCHES), facecolor=PAGE)
    FigureCanvasAgg(figure)
    figure.text(0.01, 1 - 0.7 / (bottom + 1.5), dashboard["title"], color=TEXT, fontsize=15, va="center")
    for row in dashboard["panels"]:
        if row["type"] == "row":
            x, y, _, _ = _place(row["gridPos"], bottom)
            figure.text(x + 0.005, y + 0.3 / (bottom + 1.5), f"v  {row['title']}", color=TEXT, fontsize=10, va="center")
    span = Span(window.since, window.until, window.step, _regions(dashboard, window, chosen))
    shown = {}
    for panel in panels(dashboard):
        data = _data(panel, window, chosen)
        shown[panel["title"]] = any(result for _, result in data)
        _panel(figure, panel, data, span, bottom)
    figure.savefig(path, dpi=80, facecolor=PAGE)
    return shown


def _place(grid: Mapping[str, int], bottom: int) -> tuple[float, float, float, float]:
    rows = bottom + 1.5
    return grid["x"] / 24, 1 - (1.5 + grid["y"] + grid["h"]) / rows, grid["w"] / 24, grid["h"] / rows


def _panel(figure: Figure, panel: Mapping[str, Any], data: Series, span: Span, bottom: int) -> None:
    x, y, w, h = _place(panel["gridPos"], bottom)
    gap = 0.002
    back = figure.add_axes((x + gap, y + gap, w - 2 * gap, h - 2 * gap), facecolor=PANEL)
    back.set_xticks([])
    back.set_yticks([])
    for spine in back.spines.values():
        spine.set_color("#2c3235")
    title = "\n".join(textwrap.wrap(panel["title"], max(12, round(panel["gridPos"]["w"] * 6.5))))
    back.text(0.01, 0.97, title, color=TEXT, fontsize=8, va="top", transform=back.transAxes)
    top = 0.30 * (3 / panel["gridPos"]["h"]) + 0.06
    wide = panel["type"] in {"state-timeline", "bargauge"}
    left, low = (0.30 if panel["gridPos"]["w"] < 12 else 0.12) if wide else 0.09, 0.18
    if panel["type"] in {"stat", "table"}:
        left, low = 0.02, 0.03
    inner = (x + w * left, y + h * low, w * (0.98 - left), h * (1 - top - low))
    axes = figure.add_axes(inner, facecolor=PANEL)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if panel["type"] == "stat":
        axes.set_xticks([])
        axes.set_yticks([])
    DRAW[panel["type"]](axes, panel, data, span)


def _data(panel: Mapping[str, Any], window: Window, chosen: Variables) -> Series:
    found: Series = []
    for target in panel["targets"]:
        step = max(window.step, seconds_of(target["interval"]))
        expr = with_values(target["expr"], chosen, step=step)
        found.append((target["legendFormat"], window.ask(expr) if target["instant"] else window.over(expr, step)))
    return found


def _regions(dashboard: Mapping[str, Any], window: Window, chosen: Variables) -> list[tuple[float, float, str]]:
    """Regions as Grafana joins them: samples above zero no more than a step apart."""
    regions: list[tuple[float, float, str]] = []
    for one in dashboard["annotations"]["list"]:
        if not one["enable"]:
            continue
        for series in window.over(with_values(one["expr"], chosen, step=window.step)):
            exact = one["useValueForTime"]
            times = sorted({float(v) / 1000 if exact else float(at) for at, v in series["values"] if float(v) > 0})
            regions += [(begin, end, one["iconColor"]) for begin, end in joined_times(times, window.step)]
    return [one for one in regions if one[1] >= window.since]


def joined_times(times: list[float], step: int) -> list[tuple[float, float]]:
    """Instants joined into stretches where they are no more than a step apart."""
    made: list[tuple[float, float]] = []
    for at in times:
        if made and at - made[-1][1] <= step:
            made[-1] = (made[-1][0], at)
        else:
            made.append((at, at))
    return made
