"""An application on a thread of its own, for as long as a test needs it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn

from tests.support.monitor import wait_for


@contextmanager
def served(server: uvicorn.Server) -> Iterator[str]:
    """Its address, once it answers; ended and joined afterwards."""
    url = f"http://127.0.0.1:{server.config.port}"
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/static/icon.svg").status_code == 200
        except httpx.TransportError:
            return False

    wait_for(f"{url} to answer", answers, 20)
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()
