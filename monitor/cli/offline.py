"""Reports straight from the store of a configuration. Reading needs no lock: a service may be at work on it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.cli.errors import BadUsage, CliError
from monitor.config.settings import Settings
from monitor.report.making import of_period, of_run
from monitor.report.model import RunReport, SoakReport
from monitor.store import address
from monitor.store.errors import StoreError
from monitor.store.store import Store
from monitor.wiring import store_url


def run_from_store(settings: Settings, run_id: str) -> RunReport:
    """Raises BadUsage for an unknown run, CliError for a store that refuses."""
    with _store(settings) as store:
        try:
            run = store.run(run_id)
        except LookupError as error:
            raise BadUsage(str(error.args[0])) from None
        if run is None:
            raise BadUsage(f"no run is called {run_id!r}")
        return of_run(store, run, settings, time.time_ns())


def period_from_store(settings: Settings, since_ns: int | None, until_ns: int | None, fault: str | None) -> SoakReport:
    """Raises CliError."""
    with _store(settings) as store:
        try:
            return of_period(store, settings, time.time_ns(), since_ns=since_ns, until_ns=until_ns, fault=fault)
        except ValueError as error:
            raise BadUsage(str(error)) from None


@contextmanager
def _store(settings: Settings) -> Iterator[Store]:
    """Only one that is there: a report must not leave an empty store behind."""
    _check_exists(settings)
    try:
        store = Store(store_url(settings))
        try:
            yield store
        finally:
            store.close()
    except StoreError as error:
        raise CliError(str(error)) from None


def _check_exists(settings: Settings) -> None:
    path: Path | None = settings.data_dir / "aftershock.db"
    if settings.store.url:
        try:
            url = address.parse(settings.store.url)
        except StoreError:
            return  # the store itself says it best
        path = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    if path is not None and not path.exists():
        raise CliError(f"there is no store at {path}; no service has run with this configuration yet")
