"""Fixtures of the faults' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Real processes that end with the test."""
    made = World(tmp_path)
    try:
        yield made
    finally:
        made.close()
