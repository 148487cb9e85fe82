"""Places for tiles on Grafana's grid of 24 columns, and the dashboard around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grafanalib import core

from dashboards.annotations import ALL_ANNOTATIONS
from dashboards.panels import Tile
from dashboards.variables import Variable

COLUMNS = 24
SCHEMA_VERSION = 41
"""Of Grafana 12. Left to grafanalib it would be 12, and Grafana would migrate every field on load."""
TAG = "aftershock"
_LEFT_OUT = frozenset(
    {
        *("__inputs", "gnetId", "hideControls", "id", "rows", "sharedCrosshair", "style", "version"),
        *("cacheTimeout", "editable", "error", "height", "hideTimeOverride", "minSpan", "span", "timeShift"),
        *("useTags", "tagsQuery", "tagValuesQuery"),
    }
)
"""Fields of old Grafana that grafanalib still writes, and those that belong to one Grafana alone."""


@dataclass(frozen=True)
class Row:
    """Tiles from left to right; what does not fit goes on below. The first row of a dashboard needs no title."""

    title: str
    tiles: Sequence[Tile]
    collapsed: bool = False


@dataclass(frozen=True)
class Board:
    """One dashboard as data."""

    uid: str
    title: str
    about: str
    rows: Sequence[Row]
    variables: Sequence[Variable]
    since: str = "now-24h"
    refresh: str = "30s"
    annotations: Sequence[Mapping[str, Any]] = field(default_factory=lambda: ALL_ANNOTATIONS)

    @property
    def tiles(self) -> list[Tile]:
        return [tile for row in self.rows for tile in row.tiles]

    def to_json(self) -> dict[str, Any]:
        """What Grafana imports."""
        dashboard = core.Dashboard(
            title=self.title,
            uid=self.uid,
            description=self.about,
            tags=[TAG],
            schemaVersion=SCHEMA_VERSION,
            timezone="browser",
            refresh=self.refresh,
            time=core.Time(self.since, "now"),
            graphTooltip=core.GRAPH_TOOLTIP_MODE_SHARED_CROSSHAIR,
            links=[_others()],
            annotations=core.Annotations(list=list(self.annotations)),
            templating=core.Templating(list=list(self.variables)),
            panels=placed(self.rows),
        )
        return _current(plain(dashboard))


def _others() -> Any:
    return core.DashboardLink(
        title="aftershock", tags=[TAG], asDropdown=True, includeVars=True, keepTime=True, type="dashboards"
    )


def placed(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The panels with their places and numbers. Raises ValueError for a tile wider than the grid."""
    made: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        if row.title:
            made.append(_row_panel(row, top))
            top += 1
        inside, top = _tiles(row.tiles, top)
        if row.collapsed:
            made[-1]["panels"] = inside
        else:
            made.extend(inside)
    everything = [one for panel in made for one in (panel, *panel.get("panels", ()))]
    for number, panel in enumerate(everything, start=1):
        panel["id"] = number
    return made


def _tiles(tiles: Sequence[Tile], top: int) -> tuple[list[dict[str, Any]], int]:
    made: list[dict[str, Any]] = []
    left, bottom = 0, top
    for tile in tiles:
        if tile.width > COLUMNS:
            raise ValueError(f"{tile.title} is {tile.width} columns wide, the grid has {COLUMNS}")
        if left + tile.width > COLUMNS:
            left, top = 0, bottom
        panel = _current(plain(tile.panel))
        panel["gridPos"] = {"x": left, "y": top, "w": tile.width, "h": tile.height}
        made.append(panel)
        left += tile.width
        bottom = max(bottom, top + tile.height)
    return made, bottom


def _row_panel(row: Row, top: int) -> dict[str, Any]:
    place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
    return {"type": "row", "title": row.title, "collapsed": row.collapsed, "panels": [], "gridPos": place}


def _current(made: Mapping[str, Any]) -> dict[str, Any]:
    """Without what current Grafana does not know, and without empty lists that say nothing."""
    return {name: value for name, value in made.items() if name not in _LEFT_OUT and value not in ({}, "")}


def plain(value: Any) -> Any:
    """grafanalib's objects as plain data, without what is not set."""
    if hasattr(value, "to_json_data"):
        return plain(value.to_json_data())
    if isinstance(value, Mapping):
        kept = {name: plain(inner) for name, inner in value.items()}
        # The first threshold has no lower bound, and Grafana wants to see that: null is its value.
        return {name: inner for name, inner in kept.items() if inner is not None or name == "value"}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
