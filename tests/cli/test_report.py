"""`aftershock report` over a real HTTP stub, and without a service from a real store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.report import pdf
from monitor.report.model import RunReport, SoakReport
from monitor.report.of_run import run_report
from monitor.report.of_soak import soak_report
from monitor.report.pdf import PdfError
from monitor.store.store import Store
from monitor.wiring import lock_data_dir
from tests.cli.conftest import Cli, Stub
from tests.report.build import making, one_run, soak
from tests.support.records import T0


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration whose store has one run and some hours."""
    path = tmp_path / "config.yaml"
    body = {
        "data_dir": str(tmp_path / "data"),
        "deployment": {"name": "shop", "endpoint": {"url": "http://127.0.0.1:1", "model": "m"}},
        "probes": [{"name": "chat"}],
    }
    path.write_text(json.dumps(body), encoding="utf-8")
    return str(path)


@pytest.fixture
def filled(tmp_path: Path) -> str:
    """The store of the configuration, filled; returns the run's id."""
    (tmp_path / "data").mkdir()
    store = Store(f"sqlite:///{tmp_path / 'data' / 'aftershock.db'}")
    run = one_run(store)
    soak(store, hours=3)
    store.close()
    return run.id


@pytest.fixture
def served(stub: Stub, tmp_path: Path) -> Stub:
    """A service that answers with reports."""
    store = Store(f"sqlite:///{tmp_path / 'served.db'}")
    run = one_run(store)
    soak(store, hours=3)
    for path, made in (
        ("/api/v1/runs/r1/report", run_report(store, run, making())),
        ("/api/v1/report", soak_report(store, T0, making().now_ns, making())),
    ):
        stub.answers["GET", path] = (200, made.model_dump(mode="json"))
    store.close()
    return stub


def test_html_of_a_run_from_the_service(served: Stub, cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "run.html"
    done = cli("report", "r1", "-o", str(target))
    assert done.code == 0, done.all
    assert done.out == ""
    assert f"wrote {target}" in done.err
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_json_reads_back(served: Stub, cli: Cli, tmp_path: Path) -> None:
    assert cli("report", "--all", "-o", str(tmp_path / "all.json")).code == 0
    made = SoakReport.model_validate_json((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert len(made.runs) == 4
    assert RunReport.model_validate(json.loads(cli("report", "r1", "--json").out)).bad_total >= 8


def test_without_a_file_it_prints_markdown(served: Stub, cli: Cli) -> None:
    assert cli("report", "r1").out.startswith("# worker: recovered")


def test_the_period_is_what_the_service_is_asked_for(served: Stub, cli: Cli) -> None:
    assert cli("report", "--since", "2026-11-01", "--until", "2026-11-02", "--fault", "worker").code == 0
    assert served.asked[-1][2] == {
        "since_ns": "1793491200000000000",
        "until_ns": "1793577600000000000",
        "fault": "worker",
    }
    cli("report", "--all")
    assert served.asked[-1][2] == {}


def test_two_periods_are_compared(served: Stub, cli: Cli) -> None:
    done = cli("report", "--since", "7d", "--compare", "14d..7d", "--json")
    assert done.code == 0, done.all
    found = SoakReport.model_validate(json.loads(done.out)).comparison
    assert found is not None
    first, second = (asked[2] for asked in served.asked[-2:])
    assert int(first["until_ns"]) == int(second["since_ns"])


def test_a_kept_report_is_compared_with(served: Stub, cli: Cli, tmp_path: Path) -> None:
    kept = tmp_path / "old..version.json"
    assert cli("report", "--all", "-o", str(kept)).code == 0
    done = cli("report", "--all", "--compare", str(kept))
    assert done.code == 0, done.all
    assert "## Compared" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say what to report on"),
        (["r1", "--all"], "say what to report on"),
        (["r1", "--fault", "worker"], "are for periods"),
        (["--since", "yesterday"], "is no instant; write 7d"),
        (["--since", "7d", "--until", "8d"], "ends before it begins"),
        (["--all", "--compare", "7d..9d"], "ends before it begins"),
        (["--all", "--compare", "nothing.json"], "neither a period such as 14d..7d nor a file"),
        (["--all", "--compare", "{kept}"], "is no JSON report of a period"),
        (["--all", "-o", "x.doc"], "must end in .html, .md, .json or .pdf"),
        (["--all", "-o", "{folder}/no/x.html"], "there is no folder"),
        (["r9"], "no run is called 'r9'"),
    ],
)
def test_bad_usage_is_one_line(served: Stub, cli: Cli, tmp_path: Path, arguments: list[str], words: str) -> None:
    served.answers["GET", "/api/v1/runs/r9/report"] = (404, {"detail": "no run is called 'r9'"})
    kept = tmp_path / "kept.json"
    kept.write_text("{}", encoding="utf-8")
    done = cli("report", *(a.format(kept=kept, folder=tmp_path) for a in arguments))
    assert done.code == 2, done.all
    assert words in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_no_browser_is_said_before_the_work(
    served: Stub, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise PdfError("a PDF is printed by chromium, which is not installed")

    monkeypatch.setattr(pdf, "find_browser", none)
    done = cli("report", "r1", "-o", str(tmp_path / "x.pdf"))
    assert done.code == 1
    assert "chromium" in done.err
    assert served.asked == []


def test_a_file_that_cannot_be_written(served: Stub, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "taken.html").mkdir()
    done = cli("report", "r1", "-o", str(tmp_path / "taken.html"))
    assert done.code == 1
    assert "taken.html" in done.err


# --- without a service ----------------------------------------------------------------------------


def test_without_service_and_configuration_it_says_so(nobody: str, cli: Cli) -> None:
    done = cli("report", "--all")
    assert done.code == 3
    assert nobody in done.err


def test_from_the_store(nobody: str, cli: Cli, config: str, filled: str, tmp_path: Path) -> None:
    target = tmp_path / "run.md"
    done = cli("report", filled[:-1], "-c", config, "-o", str(target))
    assert done.code == 0, done.all
    assert f"no service at {nobody}; reading the store itself" in done.err
    assert "connection\\_refused" in target.read_text(encoding="utf-8")


def test_a_period_from_the_store_compared_within_it(nobody: str, cli: Cli, config: str, filled: str) -> None:
    done = cli("report", "--all", "--compare", "2023-11-14..2023-11-15", "-c", config, "--json")
    assert done.code == 0, done.all
    body: dict[str, Any] = json.loads(done.out)
    assert body["deployment"] == "shop"
    assert len(body["runs"]) == 4
    assert body["comparison"]["first"].startswith("shop, 2023-11-14")
    assert done.err.count("no service at") == 1


def test_a_service_at_work_does_not_stop_the_reading(
    nobody: str, cli: Cli, config: str, filled: str, tmp_path: Path
) -> None:
    with lock_data_dir(tmp_path / "data"):
        assert cli("report", filled, "-c", config).code == 0


@pytest.mark.parametrize(("run", "words"), [("r9", "no run is called 'r9'"), ("r", "fits several runs")])
@pytest.mark.usefixtures("nobody", "filled")
def test_an_unknown_run_in_the_store(cli: Cli, config: str, run: str, words: str) -> None:
    done = cli("report", run, "-c", config)
    assert done.code == 2
    assert words in done.err


def test_no_store_is_left_behind_where_there_was_none(nobody: str, cli: Cli, config: str, tmp_path: Path) -> None:
    done = cli("report", "--all", "-c", config)
    assert done.code == 1
    assert "there is no store at" in done.err
    assert not (tmp_path / "data").exists()


def test_a_damaged_store_is_one_line(nobody: str, cli: Cli, config: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "aftershock.db").write_bytes(b"no database" * 100)
    done = cli("report", "--all", "-c", config)
    assert done.code == 1
    assert "is damaged" in done.err
