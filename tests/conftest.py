"""For all tests."""

from __future__ import annotations

import signal

import pytest

from tests.support.postgres import own_postgres, postgres  # noqa: F401 - fixtures


def pytest_configure(config: pytest.Config) -> None:
    """Ctrl-C must work in what the tests start: a shell that runs us in the background has it ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
