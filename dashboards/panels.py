"""Panels as tiles: grafanalib for what it knows of current Grafana, and its gaps filled in one place.

grafanalib stopped at Grafana 9: its Prometheus target knows no `exemplar`, `range` or `editorMode`, its
gauges and tables write options that Grafana dropped, and there is no current heatmap at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafanalib import core

from dashboards import looks

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Query:
    """A PromQL query of a panel. `instant` asks for the end of the range only."""

    expr: str
    legend: str = ""
    instant: bool = False
    exemplar: bool = False
    format: str = "time_series"
    min_step: str = ""


@dataclass(frozen=True)
class PromTarget:
    """The JSON of a query as current Grafana writes it itself."""

    query: Query
    ref: str

    def to_json_data(self) -> dict[str, Any]:
        """For grafanalib's encoder."""
        return {
            "refId": self.ref,
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": self.query.expr,
            "legendFormat": self.query.legend or "__auto",
            "instant": self.query.instant,
            "range": not self.query.instant,
            "exemplar": self.query.exemplar,
            "format": self.query.format,
            "interval": self.query.min_step,
        }


@dataclass(frozen=True)
class Raw:
    """A panel type that grafanalib lacks, or writes in a form that Grafana has dropped."""

    kind: str
    base: Any
    defaults: Mapping[str, Any]
    options: Mapping[str, Any]
    overrides: Sequence[Mapping[str, Any]] = ()

    @property
    def title(self) -> str:
        return str(self.base.title)

    def to_json_data(self) -> dict[str, Any]:
        """For grafanalib's encoder."""
        config = {"defaults": dict(self.defaults), "overrides": list(self.overrides)}
        made: dict[str, Any] = self.base.panel_json(
            {"type": self.kind, "fieldConfig": config, "options": dict(self.options)}
        )
        return made


@dataclass(frozen=True)
class Tile:
    """A panel before it has a place. `may_be_empty` says that no data is a normal state of it."""

    panel: Any
    width: int
    height: int
    may_be_empty: bool = False

    @property
    def title(self) -> str:
        return str(self.panel.title)


def _basics(title: str, about: str, queries: Sequence[Query]) -> dict[str, Any]:
    return {
        "title": title,
        "description": about,
        "dataSource": DATASOURCE,
        "targets": [PromTarget(query, chr(ord("A") + index)) for index, query in enumerate(queries)],
        "maxDataPoints": None,
    }


def _instant(query: Query, form: str = "time_series") -> Query:
    return Query(query.expr, query.legend, instant=True, format=form)


def stat(
    title: str,
    about: str,
    *queries: Query,
    unit: str = "none",
    width: int = 4,
    height: int = 5,
    steps: looks.Steps = looks.PLAIN,
    mappings: Sequence[Mapping[str, Any]] = (),
    no_value: str = "no data",
    text: str = "auto",
    decimals: int | None = None,
    background: bool = False,
    overrides: Sequence[Mapping[str, Any]] = (),
    may_be_empty: bool = False,
) -> Tile:
    """A figure that is true now."""
    panel = core.Stat(
        **_basics(title, about, [_instant(q) for q in queries]),
        format=unit,
        thresholds=steps,
        mappings=list(mappings),
        overrides=list(overrides),
        noValue=no_value,
        textMode=text,
        decimals=decimals,
        graphMode="none",
        colorMode="background" if background else "value",
        reduceCalc="lastNotNull",
        color={"mode": "thresholds"},
    )
    return Tile(panel, width, height, may_be_empty)


def series(
    title: str,
    about: str,
    *queries: Query,
    unit: str = "short",
    width: int = 12,
    height: int = 8,
    steps: looks.Steps = looks.PLAIN,
    colours: Mapping[str, str] | None = None,
    stacked: bool = False,
    bars: bool = False,
    top: int | None = None,
    logarithmic: bool = False,
    may_be_empty: bool = False,
) -> Tile:
    """Values over time. Gaps stay gaps: a line through missing data would be invented."""
    panel = core.TimeSeries(
        **_basics(title, about, queries),
        unit=unit,
        thresholds=steps,
        thresholdsStyleMode="line" if len(steps) > 1 else "off",
        overrides=looks.coloured(colours or {}),
        drawStyle="bars" if bars else "line",
        fillOpacity=70 if bars else 12,
        lineWidth=0 if bars else 1,
        stacking={"mode": "normal" if stacked else "none", "group": "A"},
        showPoints="never",
        spanNulls=False,
        valueMin=None if logarithmic else 0,
        valueMax=top,
        scaleDistributionType="log" if logarithmic else "linear",
        tooltipMode="multi",
        tooltipSort="desc",
        legendDisplayMode="list",
    )
    return Tile(panel, width, height, may_be_empty)


def states(
    title: str,
    about: str,
    *queries: Query,
    mappings: Sequence[Mapping[str, Any]],
    width: int = 24,
    height: int = 7,
    steps: looks.Steps = looks.PLAIN,
    may_be_empty: bool = False,
) -> Tile:
    """One row of states a series."""
    panel = core.StateTimeline(
        **_basics(title, about, queries),
        thresholds=steps,
        mappings=list(mappings),
        showValue="never",
        legendDisplayMode="hidden",
        extraJson={"fieldConfig": {"defaults": {"unit": "none"}}},
    )
    return Tile(panel, width, height, may_be_empty)


def bars(
    title: str,
    about: str,
    *queries: Query,
    unit: str = "short",
    width: int = 12,
    height: int = 8,
    steps: looks.Steps = looks.OURS,
    overrides: Sequence[Mapping[str, Any]] = (),
    may_be_empty: bool = False,
) -> Tile:
    """One bar a series, at the end of the range. Counts are whole: what increase() adds at the edges is no request."""
    whole = {"decimals": 0} if unit == "short" else {}
    panel = Raw(
        kind="bargauge",
        base=core.Panel(**_basics(title, about, [_instant(q) for q in queries]), thresholds=steps),
        defaults={"unit": unit, "min": 0, "color": {"mode": "thresholds"}, **whole},
        overrides=overrides,
        options={
            "displayMode": "basic",
            "orientation": "horizontal",
            "valueMode": "text",
            "showUnfilled": True,
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    )
    return Tile(panel, width, height, may_be_empty)


def table(
    title: str,
    about: str,
    *queries: Query,
    join: str,
    columns: Mapping[str, str],
    overrides: Iterable[Mapping[str, Any]] = (),
    sort: str = "",
    descending: bool = False,
    width: int = 12,
    height: int = 8,
    may_be_empty: bool = False,
) -> Tile:
    """Queries joined on a label. `columns` names the fields to show, in order: field -> heading.

    Query A's value is the field `Value #A`; with one query alone it is `Value`.
    """
    asked = [_instant(query, "table") for query in queries]
    panel = Raw(
        kind="table",
        base=core.Panel(**_basics(title, about, asked), transformations=_columns(len(asked), join, columns)),
        defaults={"unit": "short", "custom": {"align": "auto", "cellOptions": {"type": "auto"}}},
        overrides=list(overrides),
        options={
            "showHeader": True,
            "cellHeight": "sm",
            "sortBy": [{"displayName": sort, "desc": descending}] if sort else [],
            "footer": {"show": False},
        },
    )
    return Tile(panel, width, height, may_be_empty)


def _columns(count: int, join: str, columns: Mapping[str, str]) -> list[dict[str, Any]]:
    joined = [{"id": "joinByField", "options": {"byField": join, "mode": "outer"}}] if count > 1 else []
    wanted = {
        "id": "filterFieldsByName",
        "options": {"include": {"names": list(columns)}},
    }
    order = {name: index for index, name in enumerate(columns)}
    names = {name: heading for name, heading in columns.items() if name != heading}
    organize = {
        "id": "organize",
        "options": {"indexByName": order, "renameByName": names, "excludeByName": {}},
    }
    return [*joined, wanted, organize]


def heatmap(
    title: str,
    about: str,
    query: Query,
    *,
    unit: str = "s",
    width: int = 12,
    height: int = 8,
    may_be_empty: bool = False,
) -> Tile:
    """A histogram's buckets over time. grafanalib only knows the heatmap that Grafana 9 dropped."""
    asked = Query(query.expr, "{{le}}", format="heatmap", exemplar=query.exemplar, min_step=query.min_step)
    panel = Raw(
        kind="heatmap",
        base=core.Panel(**_basics(title, about, [asked])),
        defaults={"unit": "short", "custom": {"hideFrom": {"legend": False, "tooltip": False, "viz": False}}},
        options={
            "calculate": False,
            "cellGap": 1,
            "cellValues": {"unit": "short"},
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 32, "exponent": 0.5, "fill": "dark-orange"},
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": False},
            "yAxis": {"axisPlacement": "left", "unit": unit, "reverse": False},
        },
    )
    return Tile(panel, width, height, may_be_empty)
