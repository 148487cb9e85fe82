"""The client witness on runs whose truth is known."""

from __future__ import annotations

import pytest

from monitor.model import Verdict
from probes.record import Gap, InFlight, Outcome
from tests.measure.build import INJECT, INTERVAL, MS, Judge, S, at, load, look, measure, outage, rec, times


def test_outage_is_measured_from_first_bad_to_first_good_start() -> None:
    report = measure(load(-30, 40, outage(2, 7)), times(40, effect=0.5))[0]

    assert (report.status, report.verdict, report.censored) == ("ok", Verdict.RECOVERED, False)
    assert (report.t_impact, report.t_recovered, report.t_first_good) == (at(2), at(7), at(7))
    assert report.error_window_seconds == report.bad_seconds == 5.0
    assert report.recovery_from_effect_seconds == 6.5
    assert report.recovery_from_revert_seconds is None
    assert report.failed_requests == 50
    assert report.errors == {"http_500": 50}
    assert report.tokens_lost == 50 * 32
    assert (report.resolution.at_impact_seconds, report.resolution.at_recovery_seconds) == (0.1, 0.1)
    assert report.resolution.text == "\u00b10.1 s (10 requests/s)"
    assert (report.baseline_requests, report.baseline_bad_ratio) == (300, 0.0)
    assert report.baseline_latency_seconds == 0.05
    assert report.baseline_rate == pytest.approx(10.0)
    assert report.during_rate == pytest.approx(0.0, abs=0.3)


def test_control_run_has_no_impact_and_zero_windows() -> None:
    reports = measure(load(-30, 25), times(25, acting=0.0))

    assert len(reports) == 1
    report = reports[0]
    assert (report.status, report.verdict) == ("ok", Verdict.NO_IMPACT)
    assert report.t_impact is report.t_recovered is report.recovery_from_effect_seconds is None
    assert report.error_window_seconds == report.bad_seconds == 0.0
    assert report.resolution.text == "\u00b10.1 s (10 requests/s)"
    assert report.during_rate == pytest.approx(10.0, abs=0.1)


def test_requests_in_flight_at_the_injection_count_from_the_injection() -> None:
    cut = [rec(at(-2), Outcome.TRUNCATED, latency=3 * S, output=20), rec(at(-1), latency=3 * S)]
    report = measure([*load(-30, 30), *cut], times(30), judge=Judge())[0]

    assert report.verdict is Verdict.RECOVERED
    assert report.t_impact == INJECT
    assert report.t_recovered == at(0.1), "a good request from before the fault proves no recovery"
    assert (report.failed_requests, report.truncated_requests) == (1, 1)
    assert report.requests_in_flight_at_injection == 2
    assert report.tokens_lost == 12
    assert report.resolution.at_impact_seconds == 0.1


def test_half_outage_behind_round_robin_is_one_stretch() -> None:
    records = load(-30, 40, lambda t: Outcome.FAILED if 0 <= t < 9 and round(t * 10) % 2 == 0 else Outcome.GOOD)
    report = measure(records, times(40))[0]

    assert report.failed_requests == 45
    assert report.error_window_seconds == 8.9
    assert report.bad_seconds == 8.9
    assert len(report.stretches) == 1
    assert report.t_first_good == at(0.1)
    assert report.t_recovered == at(8.9)
    assert report.during_rate == pytest.approx(5.0, abs=0.2)


def test_relapse_moves_recovery_and_shows_both_stretches() -> None:
    records = load(-30, 50, lambda t: Outcome.FAILED if 1 <= t < 2 or 20 <= t < 21 else Outcome.GOOD)
    report = measure(records, times(50))[0]

    assert report.t_recovered == at(21)
    assert report.t_first_good == at(2)
    assert report.error_window_seconds == 20.0
    assert report.bad_seconds == 2.0
    assert [(s.start_ns, s.end_ns) for s in report.stretches] == [(at(1), at(2)), (at(20), at(21))]


def test_never_recovered_is_censored_with_a_lower_bound() -> None:
    report = measure(load(-30, 60, outage(1, 999)), times(60))[0]

    assert (report.status, report.verdict, report.censored) == ("ok", Verdict.NOT_RECOVERED, True)
    assert report.t_recovered is None
    assert report.error_window_seconds == pytest.approx(59.0 - 0.0, abs=0.11)
    assert report.error_window_seconds is not None
    assert report.error_window_seconds <= 59.0
    assert report.recovered_while_acting is None


def test_good_again_but_not_held_is_not_recovered() -> None:
    report = measure(load(-30, 12, outage(1, 5)), times(12))[0]

    assert (report.verdict, report.censored) == (Verdict.NOT_RECOVERED, True)
    assert report.error_window_seconds == 4.0


def test_hold_needs_time_and_requests() -> None:
    slow_probe = load(-60, 60, outage(2, 6), interval=2 * S)
    judge = Judge(baseline_seconds=60)

    assert measure(slow_probe, times(23), judge=judge)[0].verdict is Verdict.NOT_RECOVERED
    assert measure(slow_probe, times(25), judge=judge)[0].verdict is Verdict.RECOVERED
    assert measure(load(-30, 60, outage(2, 6)), times(15.9))[0].verdict is Verdict.NOT_RECOVERED
    assert measure(load(-30, 60, outage(2, 6)), times(16.1))[0].verdict is Verdict.RECOVERED


def test_hanging_requests_hurt_before_they_fail() -> None:
    hung = [InFlight("p", 0, 1000 + i, "x", at(1) + i * INTERVAL) for i in range(100)]
    report = measure(load(-30, 1), times(11), in_flight=hung)[0]

    assert report.verdict is Verdict.NOT_RECOVERED
    assert report.t_impact == at(1)
    assert report.failed_requests == 0
    assert "in flight beyond the overdue limit" in report.notes[0]
    assert report.censored
    assert report.error_window_seconds == pytest.approx(5.0, abs=0.2), "younger ones may still be answered"


def test_long_answers_are_not_taken_for_hangs() -> None:
    records = load(-60, 40, latency=8 * S)
    report = measure(records, times(30), judge=Judge(baseline_seconds=60))[0]

    assert report.verdict is Verdict.NO_IMPACT
    assert report.notes == ()


def test_unanswered_request_keeps_no_impact_from_being_claimed() -> None:
    records = load(-30, 30)
    flying = [InFlight("p", 0, 9000, "x", at(-1))]
    report = measure(records, times(12, acting=0.0), in_flight=flying, overdue=60 * S)[0]

    assert report.verdict is Verdict.INCONCLUSIVE
    assert "1 requests have not ended yet" in report.reason


@pytest.mark.parametrize(
    ("gap", "verdict"),
    [
        (Gap("p", at(3), at(5), "aiperf died"), Verdict.INCONCLUSIVE),
        (Gap("p", at(3), None, "aiperf died"), Verdict.INCONCLUSIVE),
        (Gap("p", at(-0.05), at(0.05), "aiperf died"), Verdict.INCONCLUSIVE),
        (Gap("p", at(-9), at(-3), "aiperf died"), Verdict.NO_IMPACT),
        (Gap("p", at(31), at(32), "aiperf died"), Verdict.NO_IMPACT),
        (Gap("other", at(3), at(5), "aiperf died"), Verdict.NO_IMPACT),
    ],
)
def test_gap_in_the_run_makes_it_inconclusive(gap: Gap, verdict: Verdict) -> None:
    report = measure(load(-30, 30), times(30), gaps=[gap])[0]

    assert report.verdict is verdict
    assert (report.status == "inconclusive") == (verdict is Verdict.INCONCLUSIVE)
    assert ("aiperf died" in report.reason) == (verdict is Verdict.INCONCLUSIVE)
    if verdict is Verdict.INCONCLUSIVE:
        assert report.error_window_seconds is None, "a window of zero would be good news"


def test_bad_evidence_survives_an_inconclusive_report() -> None:
    report = measure(load(-30, 40, outage(2, 7)), times(40), gaps=[Gap("p", at(3), at(4), "died")])[0]

    assert (report.status, report.verdict) == ("inconclusive", Verdict.INCONCLUSIVE)
    assert report.failed_requests == 50
    assert (report.t_impact, report.t_recovered) == (at(2), at(7))


def test_gap_told_open_and_closed_is_told_once() -> None:
    gaps = [Gap("p", at(3), at(5), "died"), Gap("p", at(3), None, "died")]
    report = measure(load(-30, 30), times(30), gaps=gaps)[0]

    assert report.reason == "probe gap of 2.0 s (died)"


def test_silence_that_nobody_told_of_is_missing_data() -> None:
    records = [r for r in load(-30, 30) if not at(4) <= r.start_ns < at(8)]
    report = measure(records, times(30))[0]

    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason == "no request was started for 4.1 s"


def test_lost_requests_are_missing_data() -> None:
    report = measure([*load(-30, 30), rec(at(3), Outcome.LOST)], times(30))[0]

    assert (report.verdict, report.lost_requests, report.failed_requests) == (Verdict.INCONCLUSIVE, 1, 0)


def test_no_data_at_all() -> None:
    report = measure([], times(30), intervals={"p": INTERVAL})[0]

    assert (report.status, report.verdict, report.requests) == ("inconclusive", Verdict.INCONCLUSIVE, 0)
    assert "baseline too short: only 0 requests" in report.reason
    assert measure([], times(30), intervals={})[0].reason == "no probe"


def test_short_baseline_is_inconclusive_and_still_reports() -> None:
    report = measure(load(-0.5, 30, outage(1, 2)), times(30))[0]

    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.baseline_requests == 5
    assert report.failed_requests == 10


def test_slow_requests_are_bad_and_counted_apart() -> None:
    report = measure(load(-30, 40, outage(1, 4, Outcome.SLOW)), times(40))[0]

    assert (report.verdict, report.slow_requests, report.failed_requests) == (Verdict.RECOVERED, 30, 0)
    assert report.error_window_seconds == 3.0
    assert report.tokens_lost == 0


def test_tokens_of_cut_answers() -> None:
    cut = [
        rec(at(1), Outcome.TRUNCATED, output=10),
        rec(at(1) + MS, Outcome.TRUNCATED, output=None),
        rec(at(1) + 2 * MS, Outcome.FAILED, expected=None),
    ]
    report = measure([*load(-30, 40), *cut], times(40), intervals={"p": INTERVAL})[0]

    assert report.tokens_lost == 22 + 32
    assert report.notes == ("tokens_lost leaves out 1 cut answers of unknown length",)


def test_healing_while_the_fault_acts_is_told_apart() -> None:
    records = load(-30, 60, outage(1, 6))
    early = measure(records, times(60, acting=20.0, reverted=20.0))[0]
    late = measure(records, times(60, acting=5.0, reverted=5.0))[0]
    instant = measure(records, times(60))[0]

    assert (early.recovered_while_acting, early.recovery_from_revert_seconds) == (True, -14.0)
    assert (late.recovered_while_acting, late.recovery_from_revert_seconds) == (False, 1.0)
    assert instant.recovered_while_acting is None


def test_one_hurt_probe_is_not_hidden_by_another() -> None:
    long = load(-60, 60, outage(3, 13), probe="long", interval=S)
    short = load(-60, 60, probe="short")
    together, of_long, of_short = measure([*long, *short], times(60), judge=Judge(baseline_seconds=60))

    assert (together.probe, of_long.probe, of_short.probe) == (None, "long", "short")
    assert together.error_window_seconds == of_long.error_window_seconds == together.bad_seconds == 10.0
    assert of_short.verdict is Verdict.NO_IMPACT
    assert together.resolution.at_impact_seconds == 1.0
    assert together.resolution.text == "\u00b11 s (1 requests/s)"


def test_probes_together_are_hurt_from_the_first_to_the_last() -> None:
    a = load(-30, 60, outage(1, 3), probe="a")
    b = load(-30, 60, outage(8, 11), probe="b")
    together = measure([*a, *b], times(60))[0]

    assert (together.t_impact, together.t_recovered, together.t_first_good) == (at(1), at(11), at(3))
    assert together.bad_seconds == 5.0
    assert together.failed_requests == 50


def test_an_inconclusive_probe_makes_all_inconclusive_by_name() -> None:
    a, b = load(-30, 30, probe="a"), load(-30, 30, probe="b")
    together, of_a, of_b = measure([*a, *b], times(30), gaps=[Gap("b", at(3), at(4), "died")])

    assert (together.verdict, of_a.verdict, of_b.verdict) == (
        Verdict.INCONCLUSIVE,
        Verdict.NO_IMPACT,
        Verdict.INCONCLUSIVE,
    )
    assert together.reason == "probe b: probe gap of 1.0 s (died)"


def test_progress_waits_for_the_hold() -> None:
    records = load(-30, 60, outage(2, 7))

    assert look(records, times(1)).settled is False
    during = look(records, times(5))
    assert (during.settled, during.impact_seen, during.bad_since) == (False, True, at(2))
    assert look(records, times(10)).bad_since is None
    assert look(records, times(16.9)).settled is False
    assert look(records, times(17.2)).settled is True
    assert measure(records, times(17.2))[0].t_recovered == at(7)


def test_progress_without_impact_waits_for_the_end_of_the_fault() -> None:
    records = load(-30, 60)

    assert look(records, times(12, acting=8.0, reverted=8.0)).settled is False
    done = look(records, times(18.2, acting=8.0, reverted=8.0))
    assert (done.settled, done.impact_seen, done.reason) == (True, False, "no impact")


def test_progress_waits_for_what_the_end_of_the_fault_may_bring() -> None:
    records = load(-30, 60, outage(1, 6))

    early = look(records, times(31, acting=30.0, reverted=30.0))
    assert (early.settled, early.reason) == (False, "the hold time after the fault has not passed")
    assert look(records, times(40.2, acting=30.0, reverted=30.0)).settled is True


def test_progress_sees_a_hang_long_before_its_timeout() -> None:
    records = [*load(-30, 1), *load(1, 60, latency=30 * S)]

    assert look(records, times(4)).impact_seen is False
    seen = look(records, times(6.5))
    assert (seen.impact_seen, seen.bad_since) == (True, at(1))


def test_progress_waits_until_hanging_requests_can_be_counted() -> None:
    """Overdue they are bad, and recovery can be seen behind them; whether they fail shows with their timeout."""
    hung = load(1, 2, outage(1, 2), latency=30 * S)
    records = [*load(-30, 1), *hung, *load(2, 60)]

    waiting = look(records, times(20))
    assert (waiting.settled, waiting.reason) == (False, "10 requests hang, and how they end has to be counted")
    assert look(records, times(32)).settled is True
    assert measure(records, times(32))[0].failed_requests == 10


def test_what_ended_after_the_observation_is_not_known_yet() -> None:
    records = load(-30, 60, outage(2, 7), latency=4 * S)
    early = measure(records, times(5), judge=Judge(), overdue=60 * S)[0]

    assert early.failed_requests == 0
    assert early.t_impact is None
