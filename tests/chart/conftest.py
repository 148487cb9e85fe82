"""helm from PATH, or as the rig fetched it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chart.helm import Helm
from tests.cluster.rig.clients import find, provide_clients
from tests.cluster.rig.places import Places


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    """Without helm these tests are left out; in CI it is fetched, and they never are."""
    places = Places.usual()
    found = find("helm", places)
    if found is None and os.environ.get("CI"):
        found = provide_clients(places, print)["helm"]
    if found is None:
        pytest.skip("helm is neither on PATH nor fetched; `python -m tests.cluster.rig clients` fetches it")
    return Helm(found, tmp_path)
