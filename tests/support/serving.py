"""An application on a port of loopback, in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from tests.support.monitor import wait_for


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Its address."""
    with running(uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))) as url:
        yield url


@contextmanager
def running(server: uvicorn.Server) -> Iterator[str]:
    """The same for a server of the test's own making; ended and joined afterwards."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_for("the application to start", lambda: server.started, 20)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()
