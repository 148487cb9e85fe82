"""The HTTP side of the process: a socket, uvicorn on it, and an application that may be exchanged meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.listen import listening


class Http:
    """Listens from the moment it is made, answers from `start` on."""

    def __init__(self, address: str) -> None:
        """Raises `CannotListenError`."""
        self._socket = listening(address, "api.listen")
        self.app: ASGIApp | None = None
        config = uvicorn.Config(self._through, interface="asgi3", log_level="warning", access_log=False, lifespan="off")
        self._server = _Quiet(config)
        self.ended: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        host, port = self._socket.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def start(self, app: ASGIApp) -> asyncio.Task[None]:
        """Answer with an application; the task ends when the server does."""
        self.app = app
        self.ended = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        return self.ended

    async def stop(self) -> None:
        """At once: whoever still asks is cut off."""
        self._server.should_exit = True
        self._server.force_exit = True
        if self.ended is not None:
            await asyncio.gather(self.ended, return_exceptions=True)

    async def _through(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None  # noqa: S101 - uvicorn is started with one
        await self.app(scope, receive, send)


class _Quiet(uvicorn.Server):
    """uvicorn without its own signal handlers: a fault has to be reverted before the process may end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
