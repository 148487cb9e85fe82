"""Every query on a real Prometheus: it parses, names what exists, and has data where there must be some."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboards.build import boards, dashboards
from dashboards.pictures.filling import with_values
from dashboards.pictures.window import QueryFailedError
from monitor.export.metric_names import METRICS, Kind
from monitor.measure.presets import PRESETS
from tests.dashboards.queries import asked, metric_names
from tests.dashboards.world import World

BOARDS = dashboards()
TILES = {(board.uid, tile.title): tile for board in boards() for tile in board.tiles}
REAL_DYNAMO = frozenset((Path(__file__).parent / "dynamo_names.txt").read_text(encoding="utf-8").split())
"""What a frontend and a worker of Dynamo 1.4.2 publish, read off real ones."""
DOCUMENTED = frozenset({"dynamo_frontend_router_queue_pending_requests", "sglang:token_usage"})
"""In the servers' own documents, and not published by the mocker with its default options."""
OF_PROMETHEUS = frozenset({"up", "ALERTS"})
NOTHING_TO_SHOW = {
    ("aftershock-overview", "Fault active", "A"): "no fault acts at the end of the hour",
    ("aftershock-health", "Fault past its deadline", "A"): "no fault acts at the end of the hour",
    ("aftershock-deployment", "Queues", "B"): "only the KV router has it",
}


def own_names() -> set[str]:
    """Names of series, histograms with their parts."""
    names = set()
    for metric in METRICS:
        parts = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        names |= {metric.name + part for part in parts}
    return names


def known_names() -> set[str]:
    """Everything that a query may name."""
    dynamo = {name + part for name in REAL_DYNAMO for part in ("", "_bucket", "_sum", "_count")}
    presets = {name for preset in PRESETS.values() for name in preset.names}
    return own_names() | dynamo | presets | DOCUMENTED | OF_PROMETHEUS


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_names_only_metrics_that_somebody_exports(name: str) -> None:
    board = BOARDS[name]
    queries = [one.expr for one in asked(board)]
    queries += [one["expr"] for one in board["annotations"]["list"]]
    queries += [one["definition"] for one in board["templating"]["list"] if one["type"] == "query"]
    for query in queries:
        assert metric_names(query), query
        assert metric_names(query) <= known_names(), query


def test_the_reader_of_names_sees_all_of_them() -> None:
    expr = 'sum by (a, b) (rate(x_total{l="y_total"}[5m])) / on (job) group_left (v) (z:w > bool 0.5) or 0 * vector(1)'
    assert metric_names(expr) == {"x_total", "z:w"}
    assert metric_names('label_values(m{a=~"$b"}, c)') == {"m"}
    assert metric_names('label_values({__name__=~"m|n"}, job)') == {"m", "n"}


@pytest.mark.parametrize("name", BOARDS)
def test_every_query_parses_and_has_data(name: str, played: World) -> None:
    empty = {}
    for one in asked(BOARDS[name]):
        expr = with_values(one.expr, played.chosen())
        found = played.ask(expr) if one.instant else played.over(expr)
        if not found:
            empty[one.board, one.panel, one.ref] = expr
    must = {key for key in empty if not TILES[key[0], key[1]].may_be_empty}
    assert not must, "panels that must have data"
    expected = {key for key in NOTHING_TO_SHOW if key[0] == BOARDS[name]["uid"]}
    assert set(empty) == expected, {key: empty.get(key) for key in set(empty) ^ expected}


def test_annotations_show_faults_and_incidents(played: World) -> None:
    for board in BOARDS.values():
        for one in board["annotations"]["list"]:
            found = played.over(with_values(one["expr"], played.chosen()))
            assert found or one["name"] in {"Alerts", "Emergency stop"}, (board["uid"], one["name"])


def test_a_query_of_nothing_is_noticed(played: World) -> None:
    with pytest.raises(QueryFailedError, match="parse error"):
        played.ask("sum by (x")
    assert played.ask("aftershock_no_such_metric") == []
