"""Names of runs."""

from __future__ import annotations

import random
import secrets
import threading

_EPOCH_NS = 1_577_836_800 * 10**9
"""2020-01-01 UTC: ten hex digits of milliseconds from there last until 2054."""


class RunIds:
    """Makes `r` and twelve hex digits: ten of milliseconds, two of chance; always above the one before.

    Chance alone would not do: two requests in one millisecond are usual, and a name given twice would put
    a refused run in the place of the one that is alive.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng
        self._last = 0
        self._lock = threading.Lock()

    def __call__(self, now_ns: int) -> str:
        milliseconds = max(0, now_ns - _EPOCH_NS) // 1_000_000
        salt = self._rng.getrandbits(8) if self._rng is not None else secrets.randbits(8)
        with self._lock:
            self._last = max(milliseconds << 8 | salt, self._last + 1) & 0xFFFF_FFFF_FFFF
            return f"r{self._last:012x}"


new_run_id = RunIds()
"""The ids of this process."""
