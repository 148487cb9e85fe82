"""`aftershock serve`: the service as a process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from faults.base import FaultError
from monitor.api.app import make_app
from monitor.config.settings import Settings
from monitor.service import Service
from monitor.store.errors import StoreError
from monitor.wiring import AlreadyRunningError, lock_data_dir

log = logging.getLogger(__name__)

STOP_SECONDS = 14.0
"""Ctrl-C to exit, at most; the kubelet's default grace is 30 s."""


class CannotServeError(Exception):
    """The service cannot start; one line."""


def serve(settings: Settings, *, announce: Callable[[str], None] | None = None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code. `announce` is told the service's address once it listens."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "apscheduler", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # `check` says it too; here it must hold whoever made the settings, for without a token everything is open.
    if settings.api.token_env and not os.environ.get(settings.api.token_env):
        raise CannotServeError(f"api.token_env names {settings.api.token_env}, which is not set or empty")
    try:
        lock = lock_data_dir(settings.data_dir)
    except (AlreadyRunningError, OSError) as error:
        raise CannotServeError(str(error)) from None
    with lock:
        try:
            return asyncio.run(_serve(settings, announce or (lambda url: log.info("listening on %s", url))))
        except (StoreError, FaultError, OSError) as error:
            raise CannotServeError(str(error)) from None


async def _serve(settings: Settings, announce: Callable[[str], None]) -> int:
    listener = _listen(settings.api.listen)
    service = Service(settings)
    wanted = asyncio.Event()
    received: list[str] = []

    def on_signal(number: int) -> None:
        received.append(signal.Signals(number).name)
        wanted.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    server = _Quiet(uvicorn.Config(make_app(service), log_level="warning", access_log=False, lifespan="off"))
    await service.start()
    http = asyncio.create_task(server.serve(sockets=[listener]))
    host, port = listener.getsockname()[:2]
    announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    ended = asyncio.create_task(wanted.wait())
    await asyncio.wait({http, ended}, return_when=asyncio.FIRST_COMPLETED)
    reason = f"the monitor was told to stop ({received[0]})" if received else "the HTTP server ended"
    log.info("%s; reverting and flushing", reason)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await service.stop(reason)
    finally:
        server.should_exit = True
        server.force_exit = True
        await asyncio.gather(http, return_exceptions=True)
        ended.cancel()
    return 0 if received else 1


class _Quiet(uvicorn.Server):
    """uvicorn without its own signal handlers: a fault has to be reverted before the process may end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), int(port)))
    except OSError as error:
        listener.close()
        raise CannotServeError(f"api.listen: cannot listen on {address}: {error.strerror}") from None
    return listener
