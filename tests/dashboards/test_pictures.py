"""Every dashboard as a picture, from real data. Set AFTERSHOCK_PICTURES to keep them for a look."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dashboards.build import dashboards
from dashboards.pictures.picture import draw, joined_times
from tests.dashboards.world import World

BOARDS = dashboards()


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_can_be_drawn(name: str, played: World, tmp_path: Path) -> None:
    folder = Path(os.environ.get("AFTERSHOCK_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    shown = draw(BOARDS[name], played, played.chosen(".*" if name == "faults" else "worker"), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert sum(shown.values()) >= 0.9 * len(shown), [title for title, data in shown.items() if not data]


def test_regions_are_joined_as_grafana_joins_them() -> None:
    assert joined_times([0, 15, 30, 90, 200, 215], 15) == [(0, 30), (90, 90), (200, 215)]
