"""Prometheus and promtool for the tests of dashboards and rules."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.demo.debian import PROMETHEUS, PROMTOOL, Package, fetch_program, find_program
from monitor.demo.provision import DEFAULT_FOLDER
from tests.dashboards.world import World, world


def _program(wanted: Package) -> Path:
    folder = DEFAULT_FOLDER / "debian"
    found = find_program(wanted, folder)
    if found is not None:
        return found
    if os.environ.get("CI") != "true":
        pytest.skip(f"{wanted.program} is not there; `make tools` installs it")
    return fetch_program(wanted, folder, print)


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Debian's promtool; it comes with Prometheus."""
    return _program(PROMTOOL)


@pytest.fixture(scope="session")
def played(promtool: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A real Prometheus with an hour of every verdict in it."""
    with world(_program(PROMETHEUS), promtool, tmp_path_factory.mktemp("world")) as made:
        yield made
