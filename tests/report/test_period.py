"""Periods as people write them."""

from __future__ import annotations

import pytest

from monitor.report.period import BadPeriod, parse_instant, parse_period
from tests.support.records import SECOND, T0

DAY = 86_400 * SECOND


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("7d", T0 - 7 * DAY),
        ("2w", T0 - 14 * DAY),
        ("36h", T0 - 36 * 3600 * SECOND),
        ("1.5h", T0 - 5400 * SECOND),
        ("90m", T0 - 5400 * SECOND),
        ("2023-11-14", 1_699_920_000 * SECOND),
        ("2023-11-14T01:00", 1_699_923_600 * SECOND),
        ("2023-11-14T01:00+01:00", 1_699_920_000 * SECOND),
    ],
)
def test_instants(text: str, wanted: int) -> None:
    assert parse_instant(text, T0) == wanted


@pytest.mark.parametrize("text", ["", "7", "7y", "-7d", "yesterday", "2023-13-01", "999999w", "7d7d"])
def test_what_is_no_instant_is_one_line(text: str) -> None:
    with pytest.raises(BadPeriod, match="is no instant; write 7d") as caught:
        parse_instant(text, T0)
    assert "\n" not in str(caught.value)


def test_periods() -> None:
    assert parse_period("14d..7d", T0) == (T0 - 14 * DAY, T0 - 7 * DAY)
    assert parse_period("2d..", T0) == (T0 - 2 * DAY, T0)
    for wrong in ("7d..14d", "7d", "..7d"):
        with pytest.raises(BadPeriod):
            parse_period(wrong, T0)
