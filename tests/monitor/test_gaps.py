"""The stretch in which nobody probed: between two leaders, or while no service ran."""

from __future__ import annotations

from monitor.gaps import NEW_LEADER, NOT_RUNNING, Handover
from probes.record import Gap


def test_from_the_last_request_of_one_to_the_first_of_the_next() -> None:
    handover = Handover.after({"chat": 100, "gone": 50}, [], ["chat", "new"])
    assert handover.gaps == [Gap("chat", 100, None, NEW_LEADER)]
    assert handover.started("new", 200) == []
    assert handover.started("chat", 300) == [Gap("chat", 100, 300, NEW_LEADER)]
    assert handover.gaps == []
    assert handover.started("chat", 400) == []


def test_a_gap_that_an_earlier_leader_left_open_ends_too() -> None:
    left = [Gap("chat", 90, None, "aiperf died"), Gap("removed", 10, None, "x")]
    handover = Handover.after({"chat": 100}, left, ["chat"])
    assert {(one.start_ns, one.end_ns) for one in handover.started("chat", 300)} == {(90, 300), (100, 300)}
    assert handover.gaps == []


def test_a_service_alone_says_that_none_ran() -> None:
    left = [Gap("chat", 90, None, "aiperf died")]
    handover = Handover.after({"chat": 100}, left, ["chat"], NOT_RUNNING)
    assert {one.reason for one in handover.gaps} == {NOT_RUNNING, f"aiperf died; {NOT_RUNNING}"}


def test_a_clock_that_is_behind_gives_no_negative_gap() -> None:
    assert Handover.after({"chat": 100}, [], ["chat"]).started("chat", 80) == [Gap("chat", 100, 100, NEW_LEADER)]


def test_the_first_leader_of_all_has_no_gap() -> None:
    assert Handover.after({}, [], ["chat"]).gaps == []
