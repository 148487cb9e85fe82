"""The incident state machine, on plain numbers."""

from __future__ import annotations

from typing import Any

from monitor.incidents import IncidentWatch, RecentStats
from monitor.model import Incident
from tests.support.records import SECOND, T0


def stats(requests: int, bad: int, **more: Any) -> RecentStats:
    fields: dict[str, Any] = {"window_seconds": 5.0, "requests": requests, "bad": bad, "bad_total": bad}
    if bad:
        fields |= {"first_bad_ns": T0, "last_bad_ns": T0 + SECOND, "first_error": "timeout"}
    return RecentStats(**(fields | more))


GOOD = stats(50, 0)
BAD = stats(50, 40)


class Steps:
    """A watch whose caller stores everything at once."""

    def __init__(self, watch: IncidentWatch | None = None) -> None:
        self.watch = watch or IncidentWatch()
        self.now = T0
        self.changes: list[Incident] = []

    def run(self, seconds: int, given: RecentStats, **more: Any) -> Steps:
        for _ in range(seconds):
            self.now += SECOND
            change = self.watch.step(self.now, given, **more)
            if change is not None:
                self.watch.current = change.model_copy(update={"id": 1})
                self.changes.append(change)
        return self


def test_errors_open_one_incident_and_ten_good_seconds_close_it() -> None:
    steps = Steps().run(5, GOOD).run(4, BAD)
    (opened,) = steps.changes
    assert opened == Incident(start_ns=T0, bad_requests=40, first_error="timeout")
    quiet_begins = steps.now + SECOND
    steps.run(10, stats(50, 0, bad_total=95))
    assert len(steps.changes) == 1
    steps.run(5, stats(50, 0, bad_total=95))
    assert [c.end_ns for c in steps.changes] == [None, quiet_begins]
    assert steps.changes[1].id == 1
    assert steps.changes[1].bad_requests == 95
    assert steps.watch.opened == 1
    steps.run(3, BAD)
    assert steps.watch.opened == 2


def test_a_few_errors_among_many_are_no_incident() -> None:
    assert not Steps().run(20, stats(50, 10)).changes, "20 % is the limit"
    assert Steps().run(1, stats(50, 11)).changes
    assert not Steps().run(1, stats(2, 2)).changes, "two in a window are not three"


def test_requests_that_hang_are_an_incident() -> None:
    (opened,) = Steps().run(1, stats(0, 0), overdue=3).changes
    assert opened.first_error == "requests hang"
    assert opened.start_ns == T0 + SECOND


def test_a_slow_probe_of_a_deployment_that_is_down_is_an_incident() -> None:
    steps = Steps()
    for n in range(3):
        assert not steps.changes
        steps.run(5, stats(1, 1, last_bad_ns=T0 + n * 60 * SECOND)).run(55, stats(0, 0))
    assert len(steps.changes) == 1


def test_a_slow_probe_with_a_good_answer_between_is_none() -> None:
    steps = Steps()
    for n in range(6):
        steps.run(5, stats(1, 1, last_bad_ns=T0 + n * 60 * SECOND)).run(5, stats(1, 0))
    assert not steps.changes


def test_silence_neither_opens_nor_closes() -> None:
    steps = Steps().run(60, stats(0, 0))
    assert not steps.changes
    steps.run(2, BAD).run(60, stats(0, 0))
    assert len(steps.changes) == 1, "nobody said that it is well again"
    back = steps.now + SECOND
    steps.run(15, GOOD)
    assert steps.changes[-1].end_ns == back


def test_a_relapse_within_the_hold_time_keeps_it_open() -> None:
    steps = Steps().run(2, BAD).run(9, GOOD).run(1, stats(50, 5)).run(9, GOOD)
    assert len(steps.changes) == 1
    steps.run(2, GOOD)
    assert len(steps.changes) == 2


def test_a_little_background_noise_does_not_keep_it_open() -> None:
    assert len(Steps().run(2, BAD).run(15, stats(50, 2)).changes) == 2


def test_errors_of_a_run_and_of_its_last_seconds_are_no_incident() -> None:
    steps = Steps().run(60, BAD, run_active=True).run(14, BAD)
    assert not steps.changes
    steps.run(2, BAD)
    assert len(steps.changes) == 1, "still broken 15 s after the run: that is one"


def test_a_run_does_not_close_an_open_incident() -> None:
    steps = Steps().run(2, BAD).run(60, GOOD, run_active=True)
    assert len(steps.changes) == 1
    steps.run(11, GOOD)
    assert len(steps.changes) == 2


def test_a_change_that_was_not_stored_is_told_again_and_counted_once() -> None:
    watch = IncidentWatch()
    told = [watch.step(T0 + n * SECOND, BAD) for n in range(3)]
    assert told[0] is not None
    assert told == [told[0]] * 3
    assert watch.opened == 1
    watch.current = told[0].model_copy(update={"id": 4})
    assert watch.step(T0 + 4 * SECOND, BAD) is None


def test_an_incident_of_an_earlier_process_goes_on() -> None:
    old = Incident(id=9, start_ns=T0 - 100 * SECOND, bad_requests=7, first_error="timeout")
    steps = Steps(IncidentWatch(old)).run(15, stats(50, 0, bad_total=0))
    (closed,) = steps.changes
    assert closed.id == 9
    assert closed.bad_requests == 7
    assert steps.watch.opened == 0
    assert IncidentWatch(closed).current is None
