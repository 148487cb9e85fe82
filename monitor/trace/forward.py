"""Sends what was received on to another collector, byte for byte, when that collector can take it.

It never holds the receiver up: the queue is bounded in spans and bytes, and drops the oldest, counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from monitor.trace.complaints import Complaints

TIMEOUT_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
DRAIN_SECONDS = 2.0
MAX_BYTES = 64 * 1024 * 1024
_RETRIED = frozenset({408, 429, 502, 503, 504})
"""The specification's retryable answers, and 408."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One body as it came."""

    signal: str
    """`traces` or `logs`: the last part of the OTLP/HTTP path."""
    body: bytes
    gzip: bool
    count: int
    """Spans or log records in it."""


class Forwarder:
    """To an OTLP/HTTP collector at `url` (without /v1/traces). `start` and `stop` on one event loop."""

    def __init__(
        self,
        url: str,
        *,
        queue_spans: int,
        dropped: Callable[[int], None],
        complaints: Complaints,
        pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._url = url
        self._limit = queue_spans
        self._dropped = dropped
        self._complaints = complaints
        self._pause = pause_seconds
        self._queue: deque[Parcel] = deque()
        self._count = 0
        self._bytes = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._sending: Parcel | None = None
        self._overtaken = False
        """What is being sent had to leave the queue meanwhile; whether it is lost is not known yet."""

    @property
    def waiting(self) -> int:
        """Spans and log records that have not been sent."""
        return self._count

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._send_on())

    async def stop(self) -> None:
        """Send what is left, for at most two seconds; the rest is dropped and counted."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._idle.wait()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._sending is not None and self._overtaken:
            self._dropped(self._sending.count)
        self._sending = None
        while self._queue:
            self._drop_oldest()

    def put(self, parcel: Parcel) -> None:
        """Queue it; what is too much goes, oldest first."""
        self._queue.append(parcel)
        self._count += parcel.count
        self._bytes += len(parcel.body)
        while self._queue and (self._count > self._limit or self._bytes > MAX_BYTES):
            self._drop_oldest()
        if self._queue:
            self._idle.clear()
            self._wake.set()

    def _take_oldest(self) -> Parcel:
        parcel = self._queue.popleft()
        self._count -= parcel.count
        self._bytes -= len(parcel.body)
        return parcel

    def _drop_oldest(self) -> None:
        parcel = self._take_oldest()
        if parcel is self._sending:
            self._overtaken = True
        else:
            self._dropped(parcel.count)

    async def _send_on(self) -> None:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False) as client:
            pause = self._pause
            while True:
                if not self._queue:
                    self._idle.set()
                    self._wake.clear()
                    await self._wake.wait()
                # It stays in the queue while it is sent, where it is counted, and may be dropped as the oldest.
                parcel = self._sending = self._queue[0]
                self._overtaken = False
                done = await self._send(client, parcel)
                self._sending = None
                if self._overtaken and not done:
                    self._dropped(parcel.count)
                elif done and not self._overtaken:
                    self._take_oldest()
                if done:
                    pause = self._pause
                else:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _send(self, client: httpx.AsyncClient, parcel: Parcel) -> bool:
        """Whether the parcel is off our hands."""
        headers = {"Content-Type": "application/x-protobuf"} | ({"Content-Encoding": "gzip"} if parcel.gzip else {})
        try:
            answer = await client.post(f"{self._url}/v1/{parcel.signal}", content=parcel.body, headers=headers)
        except httpx.HTTPError as error:
            self._complaints.say(
                "forward", f"{self._url} cannot be reached ({type(error).__name__}); spans wait for it"
            )
            return False
        if answer.status_code in _RETRIED:
            self._complaints.say("forward", f"{self._url} answers {answer.status_code}; spans wait for it")
            return False
        if not answer.is_success:
            self._complaints.say(
                "forward_refused", f"{self._url} refuses with {answer.status_code}; what it refused is dropped"
            )
            self._dropped(parcel.count)
        return True
