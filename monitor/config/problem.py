"""Mistakes in a configuration: where, what is wrong, what would be right."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from monitor.config.yamlfile import Location


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake by its location in the data. `uses` are other values that it was judged by."""

    location: Location
    what: str
    right: str = ""
    uses: tuple[Location, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake as people see it. `where` is `FILE:LINE`, or the environment variable that made it."""

    where: str
    path: str
    what: str
    right: str

    def __str__(self) -> str:
        place = f"{self.where}: {self.path}: " if self.path else f"{self.where}: "
        return f"{place}{self.what}; {self.right}" if self.right else f"{place}{self.what}"


def path_text(location: Location) -> str:
    """`schedules[0].timing.cron`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def shown(value: object) -> str:
    """A value as it might stand in the file, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def near(name: str, known: Iterable[str], *, most: int = 12) -> str:
    """A hint at the names that were probably meant, or at all there are."""
    listed = list(dict.fromkeys(known))
    close = difflib.get_close_matches(str(name), listed, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return f"there are {', '.join(sorted(listed)[:most])}{more}" if listed else "there are none"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one name that was probably meant."""
    return next(iter(difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)), None)
