"""The generated documents: accepted by the supervisor, loopback only, and what was asked for."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from faults.targets.spec import load, prepare
from monitor.demo.prometheus import ScrapeTarget, configuration
from monitor.demo.topology import Discovery, Engine, Layout, Ports, Programs, Topology, document

TRUE = Path("/bin/true")
PROGRAMS = Programs(python=TRUE, nats=TRUE, etcd=TRUE, model=Path("/model"))
ALL = [
    Topology(layout=layout, workers=workers, engine=engine, discovery=discovery)
    for layout, workers, engine, discovery in product(get_args(Layout), (1, 2), get_args(Engine), get_args(Discovery))
]


def make(topology: Topology) -> dict[str, Any]:
    return document(topology, Ports.assign(topology, range(20_000, 20_000 + topology.ports_needed)), PROGRAMS)


def component(topology: Topology, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in make(topology)["components"] if one["name"] == name)
    return found


@pytest.mark.parametrize("topology", ALL, ids=str)
def test_the_supervisor_takes_every_topology(topology: Topology, tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(yaml.safe_dump(make(topology)), encoding="utf-8")
    prepared = prepare(load(file), tmp_path / "state", {})
    workers = [one for one in prepared if one.component.name in topology.roles]
    assert len(workers) == topology.worker_instances
    assert {one.component.name for one in prepared} == {
        "nats",
        "frontend",
        *topology.roles,
        *(["etcd"] if topology.discovery == "etcd" else []),
    }
    # Each instance writes into our folder, and has a port of its own.
    assert all(one.env["HOME"] == str(tmp_path / "state" / "home") for one in workers)
    assert all(one.env["TMPDIR"] == str(tmp_path / "state" / "tmp") for one in workers)
    assert len({one.env["DYN_SYSTEM_PORT"] for one in workers}) == len(workers)
    assert all(one.ready is not None for one in prepared)


@pytest.mark.parametrize("topology", ALL, ids=str)
def test_every_address_is_loopback_and_every_port_is_used_once(topology: Topology) -> None:
    text = yaml.safe_dump(make(topology))
    assert set(re.findall(r"\d+\.\d+\.\d+\.\d+", text)) == {"127.0.0.1"}
    assert "zmq" not in text, "ZMQ publishers listen on every address"
    used = {int(one) for one in re.findall(r"\b20\d{3}\b", text)}
    assert used == set(range(20_000, 20_000 + topology.ports_needed))


def test_everything_is_restarted_also_after_a_clean_exit() -> None:
    restarts = [one["restart"] for one in make(Topology(discovery="etcd"))["components"]]
    assert restarts == [{"when": "always", "delay_seconds": 1.0}] * 4


def test_the_frontend_is_last_so_that_it_is_stopped_first() -> None:
    assert make(Topology("disagg"))["components"][-1]["name"] == "frontend"


def test_options_reach_the_commands() -> None:
    topology = Topology("disagg", engine="trtllm", migration_limit=3, router_mode="kv")
    frontend = " ".join(component(topology, "frontend")["command"])
    assert "--migration-limit 3" in frontend
    assert "--router-mode kv" in frontend
    prefill = " ".join(component(topology, "prefill")["command"])
    assert "--disaggregation-mode prefill" in prefill
    assert "--engine-type trtllm" in prefill
    assert "--disaggregation-mode" not in component(Topology(), "worker")["command"]


def test_telemetry_is_off_unless_asked_for() -> None:
    assert not [key for key in component(Topology(), "worker")["env"] if key.startswith("OTEL_")]
    env = component(Topology(otlp_endpoint="http://127.0.0.1:4318"), "worker")["env"]
    assert env["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4318"
    assert env["OTEL_EXPORT_ENABLED"] == "true"
    assert env["OTEL_SERVICE_NAME"] == "{name}"


def test_etcd_discovery_without_etcd_is_an_error() -> None:
    topology = Topology(discovery="etcd")
    ports = Ports.assign(topology, range(20_000, 20_000 + topology.ports_needed))
    with pytest.raises(ValueError, match="etcd program"):
        document(topology, ports, Programs(TRUE, TRUE, None, Path("/model")))


def test_prometheus_has_one_job_for_each_name() -> None:
    made = configuration(
        [
            ScrapeTarget("dynamo-worker", "127.0.0.1:1", {"component": "worker"}),
            ScrapeTarget("dynamo-worker", "127.0.0.1:2"),
            ScrapeTarget("aftershock", "127.0.0.1:3"),
        ]
    )
    assert made["global"]["scrape_interval"] == "1s"
    assert [job["job_name"] for job in made["scrape_configs"]] == ["dynamo-worker", "aftershock"]
    assert made["scrape_configs"][0]["static_configs"] == [
        {"targets": ["127.0.0.1:1"], "labels": {"component": "worker"}},
        {"targets": ["127.0.0.1:2"]},
    ]
