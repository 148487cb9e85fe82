"""Sends what is said of runs, off the run's way: a receiver that is slow or gone costs no run anything.

Each receiver has a bounded queue and a task of its own. What cannot be delivered is tried again for some minutes, then
given up; both are counted, and no address or token is ever logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import httpx

from monitor.config.notify import NotifySpec
from monitor.model import Run
from monitor.notify.message import BODIES, wanted

log = logging.getLogger(__name__)

QUEUE = 100
TIMEOUT_SECONDS = 10.0
PAUSES_SECONDS = (1.0, 5.0, 15.0, 60.0, 180.0)
"""Before each further try; about four minutes in all."""
LONGEST_PAUSE_SECONDS = 300.0
"""Of what a receiver may ask for by Retry-After."""
FLUSH_SECONDS = 3.0
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


class Result(StrEnum):
    """What became of a notification: the closed list of a metric's label."""

    SENT = "sent"
    REFUSED = "refused"
    """By a status that says that the same again would be refused again."""
    GIVEN_UP = "given_up"
    DROPPED = "dropped"
    """The queue was full, or the service ended."""


class Notifier:
    """All receivers. `counted(name, result)` is told of each notification once."""

    def __init__(
        self,
        specs: Sequence[NotifySpec],
        counted: Callable[[str, str], None],
        *,
        env: Mapping[str, str] | None = None,
        pauses: Sequence[float] = PAUSES_SECONDS,
    ) -> None:
        environment = os.environ if env is None else env
        self._receivers = [_Receiver(spec, counted, environment, pauses) for spec in specs]

    def start(self) -> None:
        """Begin to send. On the event loop that `finished` is called on."""
        for receiver in self._receivers:
            receiver.start()

    async def stop(self) -> None:
        """Send what waits, for at most three seconds; the rest is dropped and counted."""
        await asyncio.gather(*(receiver.stop() for receiver in self._receivers))

    def finished(self, run: Run) -> None:
        """A run has ended; whoever wants to know is told."""
        for receiver in self._receivers:
            receiver.take(run)


class _Receiver:
    def __init__(
        self,
        spec: NotifySpec,
        counted: Callable[[str, str], None],
        env: Mapping[str, str],
        pauses: Sequence[float],
    ) -> None:
        self._spec = spec
        self._counted = counted
        self._pauses = pauses
        self._url = _address(spec, env)
        token = env.get(spec.token_env, "") if spec.token_env else ""
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._queue: asyncio.Queue[Run] = asyncio.Queue(QUEUE)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._queue.join()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while not self._queue.empty():
            self._queue.get_nowait()
            self._count(Result.DROPPED)

    def take(self, run: Run) -> None:
        if not wanted(run, self._spec.when):
            return
        if self._queue.full():
            self._queue.get_nowait()
            self._queue.task_done()
            self._count(Result.DROPPED)
        self._queue.put_nowait(run)

    async def _work(self) -> None:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False) as http:
            while True:
                run = await self._queue.get()
                try:
                    self._count(await self._deliver(http, run))
                except asyncio.CancelledError:
                    self._count(Result.DROPPED)
                    raise
                finally:
                    self._queue.task_done()

    async def _deliver(self, http: httpx.AsyncClient, run: Run) -> Result:
        body = BODIES[self._spec.kind](run)
        why = ""
        for pause in (*self._pauses, None):
            try:
                answer = await http.post(self._url, json=body, headers=self._headers)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                why, asked = type(error).__name__, None
            else:
                if answer.is_success:
                    return Result.SENT
                why, asked = f"HTTP {answer.status_code}", _retry_after(answer)
                if answer.status_code not in _RETRIED:
                    log.warning("notify %s: run %s was refused with %s", self._spec.name, run.id, why)
                    return Result.REFUSED
            if pause is not None:
                await asyncio.sleep(pause if asked is None else max(pause, asked))
        log.warning("notify %s: run %s was given up: %s", self._spec.name, run.id, why)
        return Result.GIVEN_UP

    def _count(self, result: Result) -> None:
        self._counted(self._spec.name, result.value)


def _address(spec: NotifySpec, env: Mapping[str, str]) -> str:
    given = env.get(spec.url_env, "") if spec.url_env else str(spec.url)
    return f"{given.rstrip('/')}/api/v2/alerts" if spec.kind == "alertmanager" else given


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds that the receiver asks for; None where it does not, or in words that are no number."""
    given = answer.headers.get("Retry-After", "")
    return min(float(given), LONGEST_PAUSE_SECONDS) if given.isascii() and given.isdigit() else None
