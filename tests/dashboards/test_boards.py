"""The dashboards as data: places, looks, words, and the files that are committed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.build import GENERATED, dashboards, text_of, write
from dashboards.layout import Row, placed
from dashboards.panels import Query, stat
from dashboards.pictures.filling import panels

BOARDS = dashboards()
CURRENT = {"row", "stat", "timeseries", "state-timeline", "bargauge", "table", "heatmap"}
"""Panel types of ours that current Grafana has; Angular panels such as graph and singlestat are gone."""


def everything() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, board in BOARDS.items():
        for panel in panels(board):
            yield name, panel


def test_the_committed_files_are_what_the_code_makes() -> None:
    committed = {path.stem: path.read_text(encoding="utf-8") for path in GENERATED.glob("*.json")}
    assert set(committed) == {"overview", "run", "deployment", "faults", "health"}
    for name, text in committed.items():
        assert text == text_of(BOARDS[name]), f"{name}.json is old: run `make docs`"


def test_each_dashboard_can_be_told_apart_and_is_of_a_current_schema() -> None:
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)
    for board in BOARDS.values():
        assert board["schemaVersion"] == 41
        assert board["tags"] == ["aftershock"]
        assert board["description"]
        assert not {"id", "version", "__inputs", "rows", "style"} & set(board), (
            "belongs to one Grafana, or to an old one"
        )
        assert len(board["uid"]) <= 40


def test_panels_stand_inside_the_grid_and_do_not_overlap() -> None:
    for name, board in BOARDS.items():
        places = [(p["title"], p["gridPos"]) for p in board["panels"]]
        for title, at in places:
            assert min(at.values()) >= 0, title
            assert at["x"] + at["w"] <= 24, title
        for (one, a), (other, b) in combinations(places, 2):
            apart = (
                a["x"] + a["w"] <= b["x"]
                or b["x"] + b["w"] <= a["x"]
                or a["y"] + a["h"] <= b["y"]
                or b["y"] + b["h"] <= a["y"]
            )
            assert apart, f"{name}: {one} and {other}"
        ids = [p["id"] for p in board["panels"]]
        assert len(set(ids)) == len(ids)


def test_a_tile_that_does_not_fit_goes_below_and_one_that_never_fits_is_refused() -> None:
    def tile(width: int) -> Any:
        return stat(f"w{width}", "about", Query("up"), width=width, height=3)

    made = placed([Row("", [tile(20), tile(6)]), Row("more", [tile(4)])])
    assert [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in made] == [(0, 0), (0, 3), (0, 6), (0, 7)]
    with pytest.raises(ValueError, match="25 columns"):
        placed([Row("", [tile(25)])])


def test_a_collapsed_row_keeps_its_panels() -> None:
    made = placed([Row("first", [stat("a", "b", Query("up"))], collapsed=True)])
    assert [p["title"] for p in made[0]["panels"]] == ["a"]
    assert made[0]["collapsed"] is True
    assert {made[0]["id"], made[0]["panels"][0]["id"]} == {1, 2}


def test_every_panel_says_how_to_read_it_and_has_a_unit() -> None:
    for name, panel in everything():
        where = f"{name}: {panel['title']}"
        assert len(panel["description"]) > 40, where
        assert panel["fieldConfig"]["defaults"]["unit"], where
        assert panel["type"] in CURRENT, where
        assert panel["datasource"]["uid"] == "${datasource}", where


def test_every_figure_has_thresholds() -> None:
    for name, panel in everything():
        if panel["type"] in {"stat", "bargauge", "timeseries", "state-timeline"}:
            steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
            assert steps[0]["value"] is None, f"{name}: {panel['title']}"
            values = [one["value"] for one in steps[1:]]
            assert values == sorted(values)


def test_queries_are_written_as_current_grafana_writes_them() -> None:
    for _, panel in everything():
        refs = [one["refId"] for one in panel["targets"]]
        assert refs and len(set(refs)) == len(refs)
        for target in panel["targets"]:
            assert not {"intervalFactor", "metric", "step", "target"} & set(target)
            assert target["instant"] is not target["range"]
            assert "$instance" in target["expr"] or "$server" in target["expr"], target["expr"]
        if panel["type"] in {"stat", "bargauge", "table"}:
            assert all(one["instant"] for one in panel["targets"]), panel["title"]


def test_the_distributions_ask_for_exemplars() -> None:
    asking = {panel["title"] for _, panel in everything() if any(one["exemplar"] for one in panel["targets"])}
    assert {"Client: time to first token", "Whole request, distribution", "Time to first token"} <= asking


def test_variables_lead_from_the_data_source_to_the_monitor() -> None:
    for board in BOARDS.values():
        found = {one["name"]: one for one in board["templating"]["list"]}
        assert list(found)[:4] == ["datasource", "namespace", "deployment", "instance"]
        assert found["datasource"]["query"] == "prometheus"
        assert found["namespace"]["allValue"] == ".*", "outside Kubernetes there is no such label"
        assert "$deployment" in found["instance"]["definition"]
        text = json.dumps([board["panels"], board["annotations"]])
        for name in set(found) - {"datasource", "namespace", "deployment"}:
            assert f"${name}" in text, f"{board['uid']}: nothing asks for {name}"
    assert {one["name"] for one in BOARDS["run"]["templating"]["list"]} >= {"fault", "probe"}


def test_the_first_row_of_the_overview_answers_the_first_questions() -> None:
    first = [p["title"] for p in BOARDS["overview"]["panels"] if p["gridPos"]["y"] == 0]
    assert first == ["Whole now?", "Fault active", "Last run", "Error budget left, 7 days", "Next run", "Runs"]


def test_exact_instants_are_given_in_milliseconds() -> None:
    for board in BOARDS.values():
        exact = [one for one in board["annotations"]["list"] if one["useValueForTime"]]
        assert exact
        assert all("_timestamp_seconds" in one["expr"] and "* 1000" in one["expr"] for one in exact)


def test_build_writes_every_dashboard_and_how_grafana_finds_them(tmp_path: Path) -> None:
    written = write(tmp_path / "new")
    assert {path.name for path in written} == {*(f"{name}.json" for name in BOARDS), "provisioning.yaml"}
    assert json.loads((tmp_path / "new" / "json" / "run.json").read_text(encoding="utf-8")) == BOARDS["run"]
    provider = yaml.safe_load((tmp_path / "new" / "provisioning.yaml").read_text(encoding="utf-8"))["providers"][0]
    assert provider["options"]["path"] == str(tmp_path / "new" / "json")
    assert provider["folder"] == "aftershock"
    assert write(tmp_path / "new") == written, "again is the same"
