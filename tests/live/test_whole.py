"""Whole, hurt, or unknown: what is not known is never good news."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.live.whole import State, WholeWatch, judge
from monitor.run.guard import ProbeView
from tests.support.records import SECOND

FINE = ProbeView("chat", up=True, reason="", window_seconds=10, requests=100, bad=0, overdue=0)


@pytest.mark.parametrize(
    ("probes", "incident", "trouble", "state", "words"),
    [
        ((FINE,), None, None, State.WHOLE, "0 of 100 requests bad"),
        ((replace(FINE, bad=5),), None, None, State.WHOLE, "5 of 100"),
        ((replace(FINE, bad=6),), None, None, State.HURT, "6 of 100 requests were bad in the last 10 s"),
        ((replace(FINE, overdue=1),), None, None, State.HURT, "1 get no answer"),
        ((FINE,), "timeout", None, State.HURT, "an incident is not over yet: timeout"),
        ((), None, None, State.UNKNOWN, "no probe"),
        ((replace(FINE, up=False, reason="aiperf ended"),), None, None, State.UNKNOWN, "not sending: aiperf ended"),
        ((replace(FINE, requests=0),), None, None, State.UNKNOWN, "no request ended"),
        ((FINE,), None, "disk full", State.UNKNOWN, "cannot be stored: disk full"),
        ((FINE, replace(FINE, name="long", up=False)), None, None, State.UNKNOWN, "long is not sending"),
        ((replace(FINE, bad=50), replace(FINE, name="long", up=False)), None, None, State.HURT, "chat: 50 of 100"),
        ((replace(FINE, up=False, reason="x"),), "timeout", None, State.UNKNOWN, "not sending"),
        ((replace(FINE, bad=1, requests=0, up=False),), None, None, State.HURT, "1 of 0"),
    ],
)
def test_what_is_said(
    probes: tuple[ProbeView, ...], incident: str | None, trouble: str | None, state: State, words: str
) -> None:
    found, reason = judge(probes, incident=incident, store_trouble=trouble, max_bad_ratio=0.05)
    assert found is state, reason
    assert words in reason


def test_it_remembers_since_when() -> None:
    watch = WholeWatch()
    assert watch.as_data(1)["state"] == "unknown"
    assert watch.as_data(1)["since_ns"] is None
    watch.step(5, State.WHOLE, "a")
    watch.step(9, State.WHOLE, "b")
    assert watch.as_data(9) == {"state": "whole", "since_ns": 5, "reason": "b"}
    watch.step(11, State.HURT, "c")
    assert watch.as_data(11)["since_ns"] == 11


def test_a_judgement_that_nobody_renews_is_none_any_more() -> None:
    watch = WholeWatch()
    watch.step(SECOND, State.WHOLE, "a")
    watch.step(5 * SECOND, State.WHOLE, "a")
    assert watch.as_data(15 * SECOND)["state"] == "whole"
    told = watch.as_data(17 * SECOND)
    assert (told["state"], told["since_ns"]) == ("unknown", 5 * SECOND)
    assert "nobody has looked for 12 s; until then: whole" in told["reason"]
