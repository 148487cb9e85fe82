"""The chart's generated files are what the code says."""

from __future__ import annotations

import pytest
import yaml

from faults.registry import AnyFault
from monitor.chart.build import CHART, files
from monitor.chart.rights import kinds, table
from monitor.chart.values import Values


@pytest.mark.parametrize("name", files())
def test_a_file_is_current(name: str) -> None:
    assert (CHART / name).read_text(encoding="utf-8") == files()[name], "run `make docs`"


def test_nothing_else_claims_to_be_generated() -> None:
    there = {str(path.relative_to(CHART)) for path in (CHART / "generated").rglob("*") if path.is_file()}
    assert there == {name for name in files() if name.startswith("generated/")}


def test_every_kind_of_fault_has_its_rights_listed() -> None:
    registered = {kind.model_fields["kind"].default for kind in AnyFault.__origin__.__args__}  # type: ignore[attr-defined]
    assert set(kinds()) == set(table()["kinds"]) == registered


def test_no_right_is_a_wildcard_and_only_node_kinds_reach_beyond_a_namespace() -> None:
    found = table()
    wide = [one for each in found["clusterKinds"].values() for one in each]
    for right in [*found["graphDeployment"], *wide, *(one for each in found["kinds"].values() for one in each)]:
        assert "*" not in right.values()
        if right not in wide:
            assert right["resource"].split("/")[0] not in {"nodes", "namespaces", "secrets", "persistentvolumes"}
    assert set(found["clusterKinds"]) == {"node_cordon", "node_drain"}
    assert {(one["verb"], one["group"], one["resource"]) for one in wide} == {
        ("get", "", "nodes"),
        ("patch", "", "nodes"),
    }


def test_values_yaml_holds_the_defaults_of_the_model() -> None:
    given = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert given.pop("config") == {}
    assert Values.model_validate(given) == Values()
