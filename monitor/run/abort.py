"""How a running run is told to end early."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Aborted(Exception):
    """The run was told to end; the text is the reason."""


class AbortSignal:
    """Set once with a reason; everything that waits inside a run waits through it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.reason = ""

    def set(self, reason: str) -> None:
        """Abort; the first reason stays."""
        if not self._event.is_set():
            self.reason = reason
            self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    async def race(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, or `Aborted` at once if the signal comes first (work is cancelled)."""
        task = asyncio.ensure_future(work)
        signal = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({task, signal}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Aborted(self.reason)
            return task.result()
        finally:
            signal.cancel()
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def sleep(self, seconds: float) -> None:
        """Sleep, or raise `Aborted`."""
        if seconds > 0:
            await self.race(asyncio.sleep(seconds))
