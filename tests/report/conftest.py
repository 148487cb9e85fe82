"""A store of its own for each test; histories that many tests read are made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.report.model import RunReport, SoakReport
from monitor.report.of_run import run_report
from monitor.report.of_soak import soak_report
from monitor.store.store import Store
from tests.report.build import making, one_run, soak
from tests.support.records import T0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new store."""
    made = Store(f"sqlite:///{tmp_path / 'store.db'}")
    yield made
    made.close()


@pytest.fixture(scope="session")
def one(tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    """The report of the run that `build.one_run` tells of."""
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('one') / 'store.db'}")
    report = run_report(store, one_run(store), making())
    store.close()
    return report


@pytest.fixture(scope="session")
def ten_hours(tmp_path_factory: pytest.TempPathFactory) -> SoakReport:
    """The report of the ten hours that `build.soak` tells of."""
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('soak') / 'store.db'}")
    soak(store)
    report = soak_report(store, T0, making().now_ns, making())
    store.close()
    return report
