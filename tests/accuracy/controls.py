"""Control runs on the recorded healthy stretches. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from monitor.measure.client import RunTimes, measure_client
from monitor.measure.columns import Columns
from monitor.measure.controls import tells_of_harm
from monitor.model import Verdict, WitnessReport
from tests.accuracy.lane import SECOND, Ran
from tests.accuracy.plan import JUDGE, LanePlan

SLACK_SECONDS = 0.7
"""Beyond the hold, for the last answers to end, a wobble included."""


@dataclass(frozen=True, slots=True)
class Control:
    """A run in which nothing was injected."""

    lane: str
    rate: float
    begin_ns: int
    end_ns: int
    wobble: bool
    report: WitnessReport

    @property
    def false_finding(self) -> bool:
        """It tells of harm, in whatever figure."""
        return tells_of_harm(self.report)

    @property
    def conclusive(self) -> bool:
        return self.report.verdict is not Verdict.INCONCLUSIVE


def observed_seconds(plan: LanePlan) -> float:
    """How long a control is watched: as long as the hold takes at this rate."""
    return max(JUDGE.hold_seconds, JUDGE.hold_requests / plan.rate) + SLACK_SECONDS


def control_runs(ran: Ran) -> list[Control]:
    """One after the other: the judged stretches do not overlap, each one's baseline lies in those before it."""
    return [_control(ran, begin, end) for begin, end in _stretches(ran)]


def _stretches(ran: Ran) -> Iterator[tuple[int, int]]:
    step = round(observed_seconds(ran.plan) * SECOND)
    begin = ran.quiet[0] + round(JUDGE.baseline_seconds * SECOND)
    yield from pairwise(range(begin, ran.quiet[1], step))


def _control(ran: Ran, begin: int, end: int) -> Control:
    spec = ran.plan.spec
    inside = [r for r in ran.records if r.end_ns >= begin - 2 * JUDGE.baseline_seconds * SECOND and r.start_ns < end]
    times = RunTimes(
        t_inject=begin,
        t_effect=begin,
        t_acting_until=begin,
        t_reverted=begin,
        observed_until=end,
        horizon_ended=True,
    )
    report = measure_client(
        Columns.of(inside),
        times=times,
        in_flight=[],
        gaps=ran.gaps,
        intervals_ns={spec.name: spec.interval_ns},
        overdue_ns={spec.name: round(spec.overdue_seconds * SECOND)},
        settings=JUDGE,
    )[0]
    wobble = any(a < end and b > begin for a, b in ran.wobbles)
    return Control(ran.plan.name, ran.plan.rate, begin, end, wobble, report)
