"""`aftershock check` on a store of a real PostgreSQL: one line for each thing that can be wrong with it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli.app import app
from monitor.config.check import problems
from monitor.store.store import Store
from tests.support.monitor import free_port
from tests.support.postgres import PASSWORD, Server

CONFIG = """\
deployment:
  endpoint: {url: http://127.0.0.1:8000, model: m}
probes: [{name: chat}]
"""
VARIABLE = "AFTERSHOCK_STORE__URL"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def asked(config: Path, url: str) -> str:
    """What `check` says of a store, whose address the environment gives."""
    found = [str(problem) for problem in problems(config, {VARIABLE: url}, ask=True)]
    assert len(found) <= 1, found
    for line in found:
        assert line.startswith(f"environment {VARIABLE}: store.url: ")
        assert "\n" not in line
        assert PASSWORD not in line
        assert "wrong-secret" not in line
    return found[0] if found else ""


def test_a_store_that_can_be_used_is_left_as_it_was(config: Path, postgres: Server) -> None:
    url = postgres.new()
    assert asked(config, url) == ""
    assert postgres.ask("select count(*) from pg_tables where schemaname = 'public'", url) == [(0,)]
    Store(url).close()
    assert asked(config, url) == ""


def test_a_service_at_work_on_it_is_no_mistake(config: Path, postgres: Server) -> None:
    with closing(Store(postgres.new())) as store:
        store.hold()
        assert asked(config, store._database.url.render_as_string(hide_password=False)) == ""


def test_addresses_that_cannot_work(config: Path, postgres: Server) -> None:
    port = postgres.port
    for url, says in {
        f"postgresql://u:{PASSWORD}@127.0.0.1:{free_port()}/x": "cannot be reached",
        f"postgresql://u:{PASSWORD}@nowhere.invalid/x": "cannot be reached",
        f"postgresql://tester:wrong-secret@127.0.0.1:{port}/postgres": "refuses the user or the password",
        f"postgresql://tester@127.0.0.1:{port}/postgres": "refuses the user or the password",
        postgres.url("nowhere"): "has no such database; make it",
        postgres.url("postgres") + "?options=-csearch_path%3Dnowhere": "has no such schema; make it",
        postgres.url("postgres") + "?sslmode=require": "cannot be reached",
        postgres.url("postgres") + "?colour=blue": "colour",
        "postgresql://u:wrong-secret@h:x/y": "the port is not a number",
        "mysql://u:wrong-secret@h/y": "unknown kind of database 'mysql'",
        "postgresql+asyncpg://u:wrong-secret@h/y": "the driver 'asyncpg' is not supported",
    }.items():
        assert says in asked(config, url), url


def test_rights_that_are_missing(config: Path, postgres: Server) -> None:
    url = postgres.new()
    postgres.ask(f"create user visitor password '{PASSWORD}'")
    theirs = url.replace("tester", "visitor", 1)
    assert "this user may make no tables; grant create" in asked(config, theirs)
    Store(url).close()
    assert "lacks rights" in asked(config, theirs)
    postgres.ask("grant select, insert, update on all tables in schema public to visitor", url)
    assert "may not DELETE in runs" in asked(config, theirs)
    postgres.ask("grant delete on all tables in schema public to visitor", url)
    assert asked(config, theirs) == ""


def test_a_store_that_only_reads_and_one_of_a_newer_version(config: Path, postgres: Server) -> None:
    url = postgres.new()
    Store(url).close()
    postgres.ask("update alembic_version set version_num = '9999'", url)
    assert "newer aftershock" in asked(config, url)
    postgres.ask(f"alter database {url.rpartition('/')[2]} set default_transaction_read_only = on")
    assert "must name the primary" in asked(config, url)


def test_the_command_says_it_and_a_load_does_not_ask(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"postgresql://u:{PASSWORD}@127.0.0.1:{free_port()}/x")
    done = CliRunner().invoke(app, ["check", str(config)])
    assert done.exit_code == 2
    assert "cannot be reached" in done.stderr
    assert PASSWORD not in done.output + done.stderr
    assert problems(config) == []
