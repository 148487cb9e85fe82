"""Refusals in the log: the first at once, then one line a minute however many there are."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

EVERY_SECONDS = 60.0


class Complaints:
    """Keeps the log readable when a sender does the same wrong thing a thousand times a second."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._said: dict[str, float] = {}
        self._silent: dict[str, int] = {}

    def say(self, reason: str, text: str) -> None:
        """Log one line, unless the same reason was logged less than a minute ago."""
        now = self._now()
        said = self._said.get(reason)
        if said is not None and now - said < EVERY_SECONDS:
            self._silent[reason] = self._silent.get(reason, 0) + 1
            return
        more = self._silent.pop(reason, 0)
        self._said[reason] = now
        log.warning("OTLP: %s%s", text, f" ({more} more like it since the last such line)" if more else "")
