"""Waiting for a condition with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(reached: Callable[[], bool], seconds: float, poll_seconds: float = 0.01) -> bool:
    """Look again and again until it is so (True) or the time is over (False)."""
    deadline = time.monotonic() + seconds
    while True:
        if reached():
            return True
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(poll_seconds)
