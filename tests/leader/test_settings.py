"""What `aftershock check` says of replicas that could not work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.config.check import load, problems

POSTGRES = "postgresql://u@h/d"
KUBERNETES = {"kind": "kubernetes", "namespace": "place", "graph_deployment": "g"}
LOCAL = {"kind": "local", "attach": [{"component": "a", "pattern": "b"}]}


def check(folder: Path, env: dict[str, str] | None = None, **parts: Any) -> list[str]:
    deployment = {"endpoint": {"url": "http://a", "model": "m"}, "target": parts.pop("target", KUBERNETES)}
    content = {"deployment": deployment, "probes": [{"name": "chat"}], **parts}
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return [f"{one.path}: {one.what}; {one.right}" for one in problems(file, env or {})]


def test_replicas_on_a_postgresql_are_fine(tmp_path: Path) -> None:
    assert check(tmp_path, leader={"enabled": True}, store={"url": POSTGRES}) == []
    env = {"AFTERSHOCK_STORE__URL": POSTGRES}
    assert check(tmp_path, env, leader={"enabled": True}) == []
    assert load(tmp_path / "config.yaml", env).leader.lease_seconds == 10


@pytest.mark.parametrize("store", [{}, {"url": "sqlite:////tmp/x.db"}])
def test_replicas_on_a_file_are_refused(tmp_path: Path, store: dict[str, str]) -> None:
    (said,) = check(tmp_path, leader={"enabled": True}, store=store)
    assert said.startswith(
        "leader.enabled: replicas must share their store, and SQLite is a file of one; set store.url"
    )


def test_replicas_of_processes_on_one_machine_are_refused(tmp_path: Path) -> None:
    (said,) = check(tmp_path, leader={"enabled": True}, store={"url": POSTGRES}, target=LOCAL)
    assert "what one machine broke no other can put back" in said


def test_a_service_needs_this_replicas_address(tmp_path: Path) -> None:
    parts: dict[str, Any] = {"leader": {"enabled": True, "service": "svc"}, "store": {"url": POSTGRES}}
    (said,) = check(tmp_path, **parts)
    assert said.startswith("leader.service: the environment variable POD_IP is not set")
    assert check(tmp_path, {"POD_IP": "10.0.0.7"}, **parts) == []


def test_one_replica_may_have_what_it_wants(tmp_path: Path) -> None:
    assert check(tmp_path, leader={"lease_seconds": 20}, target=LOCAL) == []
