"""Starting and stopping through the real supervisor, on processes that cost nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from monitor.demo.deployment import Deployment
from monitor.demo.errors import DemoError
from monitor.demo.provision import Tools
from monitor.demo.supervised import Supervised
from monitor.demo.topology import Topology
from tests.support.monitor import wait_for


def document(*command: str) -> dict[str, Any]:
    return {"name": "small", "components": [{"name": "part", "command": list(command)}]}


def running(supervised: Supervised) -> psutil.Process | None:
    pids = [one.pid for one in supervised.instances() if one.state == "ready" and one.pid]
    return psutil.Process(pids[0]) if pids else None


def written(log: Path) -> str | None:
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    return text if "PATH=" in text else None


def test_stop_ends_everything_and_may_be_repeated(tmp_path: Path) -> None:
    supervised = Supervised(document("/bin/sleep", "600"), tmp_path, print)
    supervised.launch()
    try:
        part = wait_for("the part", lambda: running(supervised), 20)
        processes = [psutil.Process(supervised.pid), part]
    finally:
        killed = supervised.stop()
    assert killed == []
    assert [one for one in processes if one.is_running()] == []
    assert supervised.stop() == []
    with pytest.raises(DemoError, match="not running"):
        _ = supervised.pid


def test_a_supervisor_that_ends_by_itself_is_seen_with_its_words(tmp_path: Path) -> None:
    supervised = Supervised(document("/no/such/program"), tmp_path, print)
    supervised.launch()

    def ended() -> str:
        try:
            supervised.check_running()
        except DemoError as error:
            return str(error)
        return ""

    try:
        text = wait_for("the supervisor to end", ended, 20)
    finally:
        supervised.stop()
    assert "exit code 2" in text
    assert "/no/such/program" in text
    assert "\n" not in text


def test_settings_and_secrets_of_the_person_are_not_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DYN_NAMESPACE", "ETCD_ENDPOINTS", "OTEL_SDK_DISABLED", "HF_TOKEN", "AFTERSHOCK_TOKEN"):
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("LANG", "C.UTF-8")
    supervised = Supervised(document("/bin/sh", "-c", "env; exec sleep 600"), tmp_path, print)
    supervised.launch()
    try:
        log = tmp_path / "state" / "logs" / "part-0.log"
        text = wait_for("its output", lambda: written(log), 20)
    finally:
        supervised.stop()
    assert "theirs" not in text
    assert "LANG=C.UTF-8" in text


def test_nothing_outlives_a_starter_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from monitor.demo.supervised import Supervised\n"
        f"one = Supervised({document('/bin/sleep', '600')!r}, Path({str(tmp_path)!r}), print)\n"
        "one.launch()\n"
        "while not any(i.state == 'ready' for i in one.instances()): time.sleep(0.05)\n"
        "print('up', flush=True); time.sleep(600)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "up\n"
        processes = psutil.Process(starter.pid).children(recursive=True)
        starter.kill()
    assert len(processes) >= 2
    _, alive = psutil.wait_procs(processes, timeout=20)
    for one in alive:
        one.kill()
    assert alive == []


def test_a_deployment_that_never_answers_says_what_is_lacking_and_leaves_nothing(tmp_path: Path) -> None:
    sleeps = tmp_path / "sleeps"
    sleeps.write_text("#!/bin/sh\nexec sleep 600\n", encoding="utf-8")
    sleeps.chmod(0o755)
    tools = Tools(dynamo_python=sleeps, nats=sleeps, etcd=None, prometheus=None)
    said: list[str] = []
    deployment = Deployment(Topology(workers=1), tools, tmp_path / "dynamo", said.append)
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(DemoError, match=r"not ready after 3 s, still waiting for nats-0 \(starting\)") as failed:
        deployment.start(timeout_seconds=3)
    assert str(deployment.state / "logs") in str(failed.value)
    assert set(psutil.Process().children(recursive=True)) <= before
    assert any("waiting for" in line for line in said)
