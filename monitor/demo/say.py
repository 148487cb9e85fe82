"""Progress lines."""

from __future__ import annotations

import datetime

from rich.console import Console

_CONSOLE = Console(highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """One line of progress, with the local time of day."""
    _CONSOLE.print(f"{datetime.datetime.now().astimezone():%H:%M:%S} {line}", markup=False)
