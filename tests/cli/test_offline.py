"""`aftershock recover -c FILE` with no service: straight from the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.config.settings import Settings
from monitor.model import Run, Verdict
from monitor.run import recovery
from monitor.store.errors import StoreError
from monitor.wiring import lock_data_dir
from tests.cli.conftest import Cli, make_run


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.yaml"
    body = {
        "data_dir": str(tmp_path / "data"),
        "deployment": {"endpoint": {"url": "http://127.0.0.1:1", "model": "m"}},
        "probes": [{"name": "chat"}],
    }
    path.write_text(json.dumps(body), encoding="utf-8")
    return str(path)


def offline(monkeypatch: pytest.MonkeyPatch, answer: list[Run] | Exception) -> list[tuple[str, str | None]]:
    """Replace what works on the store; returns what it was asked."""
    asked: list[tuple[str, str | None]] = []

    async def recover_offline(settings: Settings, run_id: str | None) -> list[Run]:
        asked.append((settings.deployment.endpoint.model, run_id))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(recovery, "recover_offline", recover_offline)
    return asked


def test_reverts_from_the_store(nobody: str, cli: Cli, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(observations=("S after",), verdict=Verdict.ABORTED)
    asked = offline(monkeypatch, [run])
    done = cli("recover", "--all", "-c", config)
    assert done.code == 0
    assert "r0000000001: reverted: S after" in done.out
    assert nobody in done.err
    assert asked == [("m", None)]


def test_what_stays_open_is_exit_1(nobody: str, cli: Cli, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch, [make_run(receipt_open=True, notes=("revert failed: not permitted",))])
    done = cli("recover", "r0000000001", "-c", config, "--json")
    assert done.code == 1
    assert json.loads(done.out)["failed"] == [{"run_id": "r0000000001", "reason": "revert failed: not permitted"}]


@pytest.mark.parametrize(
    ("error", "code"), [(LookupError("no run is called 'r1'"), 2), (StoreError("it is locked by another program"), 1)]
)
def test_errors_are_one_line(
    *, nobody: str, cli: Cli, config: str, monkeypatch: pytest.MonkeyPatch, error: Any, code: int
) -> None:
    offline(monkeypatch, error)
    done = cli("recover", "r1", "-c", config)
    assert done.code == code
    assert str(error.args[0]) in done.err


def test_nothing_is_touched_while_a_service_holds_the_data(
    nobody: str, cli: Cli, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = offline(monkeypatch, [])
    with lock_data_dir(tmp_path / "data"):
        done = cli("recover", "--all", "-c", config)
    assert done.code == 1
    assert "in use by another aftershock service" in done.err
    assert not asked


def test_an_empty_store_has_nothing_to_put_back(nobody: str, cli: Cli, config: str) -> None:
    done = cli("recover", "--all", "-c", config)
    assert done.code == 0, done.all
    assert "nothing had to be put back" in done.out
