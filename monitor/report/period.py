"""Periods as people write them: `7d`, `2026-11-01`, `14d..7d`. Pure: now is given."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,6}(?:\.\d+)?)([mhdw])")
RIGHT = "write 7d, 36h, 90m or 2w (so long ago), or an instant such as 2026-11-01 or 2026-11-01T08:30 (UTC)"


class BadPeriod(ValueError):
    """One line for a person."""


def parse_instant(text: str, now_ns: int) -> int:
    """UTC nanoseconds. Instants without a zone are UTC. Raises BadPeriod."""
    given = text.strip()
    ago = _AGO.fullmatch(given)
    try:
        if ago is not None:
            back = timedelta(**{_UNITS[ago[2]]: float(ago[1])})
            found = now_ns - round(back.total_seconds() * 1e9)
        else:
            at = datetime.fromisoformat(given)
            at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
            found = round(at.timestamp()) * 10**9
    except (ValueError, OverflowError):
        found = -1
    if found < 0:
        raise BadPeriod(f"{text!r} is no instant; {RIGHT}")
    return found


def parse_period(text: str, now_ns: int) -> tuple[int, int]:
    """`A..B`; an empty B is now. Raises BadPeriod."""
    first, dots, second = text.partition("..")
    if not dots or not first.strip():
        raise BadPeriod(f"{text!r} is no period; write A..B, such as 14d..7d; for A and B {RIGHT}")
    begin = parse_instant(first, now_ns)
    return checked(begin, parse_instant(second, now_ns) if second.strip() else now_ns, text)


def checked(begin_ns: int, end_ns: int, text: str) -> tuple[int, int]:
    """The period, if it is one. Raises BadPeriod."""
    if begin_ns >= end_ns:
        raise BadPeriod(f"{text}: the period ends before it begins")
    return begin_ns, end_ns
