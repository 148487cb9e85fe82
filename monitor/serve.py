"""`aftershock serve`: the service as a process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable

from faults.base import FaultError
from monitor.api.app import make_app
from monitor.config.settings import Settings
from monitor.http import Http
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
    http = Http(settings.api.listen)
    told = asyncio.create_task(_told())
    try:
        if settings.leader.enabled:
            return await _take_turns(settings, http, told, announce)
        return await _serve_alone(settings, http, told, announce)
    finally:
        told.cancel()


async def _told() -> str:
    """Why to end, once a signal says so."""
    wanted = asyncio.Event()
    received: list[str] = []

    def on_signal(number: int) -> None:
        received.append(signal.Signals(number).name)
        wanted.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    await wanted.wait()
    return f"the monitor was told to stop ({received[0]})"


async def _serve_alone(settings: Settings, http: Http, told: asyncio.Task[str], announce: Callable[[str], None]) -> int:
    service = Service(settings)
    app = make_app(service)
    await service.start()
    ended = http.start(app)
    announce(http.url)
    await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
    reason = told.result() if told.done() else "the HTTP server ended"
    log.info("%s; reverting and flushing", reason)
    try:
        whole = await service.stopped(reason, STOP_SECONDS)
    finally:
        await http.stop()
    return 0 if whole and told.done() else 1


async def _take_turns(settings: Settings, http: Http, told: asyncio.Task[str], announce: Callable[[str], None]) -> int:
    from monitor.leader.replica import Replica  # noqa: PLC0415 - few run more than one

    replica = Replica(settings, http, STOP_SECONDS)
    announce(http.url)
    return await replica.live(told)
