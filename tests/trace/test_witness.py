"""The trace witness on hand-made spans: one test a trap. The shapes are those that Dynamo 1.4.2 was seen to send."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from monitor.measure.times import RunTimes
from monitor.measure.trace import Source, measure_trace
from monitor.model import Verdict, WitnessReport
from monitor.trace.span import Span
from probes.plugin.trace import sampled
from probes.record import ErrorClass, Outcome, Record
from tests.measure.build import INJECT, MS, Judge, S, at, load, measure, outage, times

DEAD, ALIVE, PREFILL = "111", "222", "333"
WAY = 30 * MS
"""From the client's start to the frontend's."""
SPREAD = 0x9E3779B97F4A7C15F39CC0605CEDC835
"""Odd and large: ids that differ in all digits, as real ones do."""
Spans = list[Span]
Shape = Callable[[Record], Spans]
_ids = iter(range(1, 10**9))


def one(record: Record, name: str, start: int, end: int, *, root: bool = False, **facts: Any) -> Span:
    trace = uuid.UUID(record.request_id).bytes
    parent = trace[8:] if root else b"12345678"
    service = {DEAD: "worker-0", ALIVE: "worker-1"}.get(facts.get("instance", ""), "frontend-0")
    return Span(trace, next(_ids).to_bytes(8), parent, service, name, start, end, **facts)


def http(record: Record, **facts: Any) -> Span:
    facts = {"completed": "success", "output_tokens": 32} | facts
    return one(record, "http-request", record.start_ns + WAY, record.end_ns, root=True, **facts)


def route(record: Record, target: str, after: int = 2 * MS) -> Span:
    start = record.start_ns + WAY + after
    return one(record, "router.route_request", start, start + MS, target=target)


def work(record: Record, instance: str, component: str = "backend", **facts: Any) -> Span:
    start = record.start_ns + WAY + 3 * MS
    return one(record, "handle_payload", start, record.end_ns - MS, instance=instance, component=component, **facts)


def healthy(record: Record) -> Spans:
    # Round-robin: every other request goes to the instance that will be killed.
    target = DEAD if record.session_num % 2 and record.start_ns < INJECT else ALIVE
    return [http(record), route(record, target), work(record, target)]


def refused_by_dead(record: Record) -> Spans:
    error = "Internal server error: Failed to generate completions: Connection refused (os error 111)"
    return [http(record, status=2, completed="error", output_tokens=0, error=error), route(record, DEAD)]


def cut_on_dead(record: Record) -> Spans:
    error = "Streaming error: Stream ended before generation completed"
    root = http(record, status=2, completed="error", error=error, output_tokens=12, moved_on=1)
    return [root, route(record, DEAD)]


def migrated(record: Record) -> Spans:
    return [http(record, status=2, moved_on=1), route(record, DEAD), route(record, ALIVE, 20 * MS), work(record, ALIVE)]


def requests(outcome: Callable[[float], Outcome], begin: float = -30, end: float = 40, **kind: Any) -> list[Record]:
    """A load whose request ids are real UUIDs."""
    made = load(begin, end, outcome, **kind)
    return [replace(r, request_id=str(uuid.UUID(int=(i + 1) * SPREAD % 2**128, version=4))) for i, r in enumerate(made)]


def judge(
    records: Iterable[Record],
    shape: Shape,
    run: RunTimes | None = None,
    *,
    ratio: float = 1.0,
    received: int = 10_000,
    clock_step_ns: int = 0,
    moved_ns: int = 0,
    source_hint: str = "HINT",
) -> WitnessReport:
    """The witness's report of the requests' spans, which are `moved_ns` ahead."""
    records = list(records)
    traces: Mapping[bytes, Spans] = {uuid.UUID(r.request_id).bytes: shape(r) for r in records}
    for spans in traces.values():
        for span in spans:
            span.start_ns += moved_ns
            span.end_ns += moved_ns
    return measure_trace(
        records,
        {trace: spans for trace, spans in traces.items() if spans},
        times=run or times(40),
        intervals_ns={"p": 100 * MS},
        ratios={"p": ratio},
        settings=Judge(),
        source=Source(received, source_hint),
        clock_step_ns=clock_step_ns,
    )


def killed(record: Record) -> Spans:
    """A worker is killed: streams in flight are cut, new requests are sent to it in vain, others go well."""
    if record.outcome is Outcome.TRUNCATED:
        return cut_on_dead(record)
    return healthy(record) if record.outcome is Outcome.GOOD else refused_by_dead(record)


def kill_outcome(t: float) -> Outcome:
    if -0.4 <= t < 0:
        return Outcome.TRUNCATED
    return Outcome.FAILED if 0 <= t < 9 and round(t * 10) % 2 else Outcome.GOOD


# --- what goes as it should --------------------------------------------------------------------------


def test_a_quiet_run_is_no_impact() -> None:
    report = judge(requests(lambda _: Outcome.GOOD), healthy)
    assert (report.status, report.verdict) == ("ok", Verdict.NO_IMPACT)
    assert (report.failed_requests, report.migrated_requests, report.lost_requests, report.died_in) == (0, 0, 0, {})
    assert report.error_window_seconds == 0
    assert report.notes == ()


def test_a_kill_without_migration() -> None:
    records = requests(kill_outcome, latency=500 * MS)
    report = judge(records, killed)
    client = measure(records, times(40))[0]
    assert (report.status, report.verdict) == ("ok", Verdict.RECOVERED)
    assert report.failed_requests == client.failed_requests == 49
    assert report.truncated_requests == client.truncated_requests == 4
    assert report.died_in == {"decode": 4, "route": 45}
    assert report.died_on == {f"worker-0 {DEAD}": 49}, "named by what it sent while it lived"
    assert report.migrated_requests == 0
    assert len(report.failed_traces) == 49
    assert report.failed_traces[0] == min(
        (r for r in records if r.outcome is not Outcome.GOOD), key=lambda r: r.start_ns
    ).request_id.replace("-", "")
    assert "4 attempts to go on elsewhere; 0 of 0 migrated" in " ".join(report.notes)
    assert report.tokens_lost is None
    assert report.t_impact == client.t_impact == INJECT
    assert client.t_recovered is not None
    assert report.t_recovered == client.t_recovered + WAY, "a window of its own, from the spans"
    assert report.resolution.at_recovery_seconds == pytest.approx(0.1)


# --- traps -------------------------------------------------------------------------------------------


def test_a_migrated_request_with_an_error_status_was_answered() -> None:
    records = requests(lambda _: Outcome.GOOD, latency=500 * MS)

    def shape(record: Record) -> Spans:
        return migrated(record) if at(-0.4) <= record.start_ns < INJECT else healthy(record)

    report = judge(records, shape)
    assert (report.verdict, report.failed_requests) == (Verdict.NO_IMPACT, 0)
    assert (report.migrated_requests, report.retried_requests) == (4, 0)
    assert "4 attempts to go on elsewhere; 4 of 4 migrated requests were answered in full" in " ".join(report.notes)
    assert any("4 requests carry an error status though the client got the whole answer" in n for n in report.notes)


def test_a_retry_before_the_answer_is_told_from_a_migration_within_it() -> None:
    def shape(record: Record) -> Spans:
        spans = migrated(record) if at(0) <= record.start_ns < at(0.5) else healthy(record)
        if len(spans) == 4:
            spans[0] = http(record, tried_again=1)
        return spans

    report = judge(requests(lambda _: Outcome.GOOD), shape)
    assert (report.migrated_requests, report.retried_requests) == (5, 5)


def test_two_routes_are_usual_where_prefill_is_apart() -> None:
    def disagg(record: Record) -> Spans:
        prefill = [route(record, PREFILL), work(record, PREFILL, "prefill")]
        decode = [route(record, ALIVE, 10 * MS), work(record, ALIVE)]
        if record.outcome is Outcome.GOOD:
            again = (
                [*prefill, route(record, ALIVE, 30 * MS), work(record, ALIVE)]
                if at(-0.3) <= record.start_ns < INJECT
                else []
            )
            return [http(record), *prefill, *decode, *again]
        if record.start_ns < at(1):
            return [http(record, status=2, completed="error", output_tokens=0), *prefill, route(record, DEAD, 10 * MS)]
        return [
            http(record, status=2, completed="error", error="Stream ended", output_tokens=0),
            route(record, PREFILL),
        ]

    report = judge(requests(outage(0, 2), latency=500 * MS), disagg)
    assert report.migrated_requests == 3
    assert report.died_in == {"prefill": 10, "route": 10}
    assert report.died_on == {DEAD: 10, f"frontend-0 {PREFILL}": 10}


def test_an_instance_that_never_sent_a_span_is_known_by_its_turn() -> None:
    """A worker that is killed before its first batch leaves nothing but the frontend's word that it was chosen."""

    def disagg(record: Record) -> Spans:
        prefill = [route(record, PREFILL), work(record, PREFILL, "prefill")]
        if record.outcome is Outcome.GOOD:
            return [http(record), *prefill, route(record, ALIVE, 10 * MS), work(record, ALIVE)]
        failed = http(record, status=2, completed="error", error="Stream ended", output_tokens=0)
        first = record.start_ns < at(1)
        return [failed, route(record, DEAD)] if first else [failed, *prefill, route(record, DEAD, 10 * MS)]

    assert judge(requests(outage(0, 2), latency=500 * MS), disagg).died_in == {"decode": 10, "prefill": 10}

    def agg(record: Record) -> Spans:
        if record.outcome is Outcome.GOOD:
            return [http(record), route(record, ALIVE), work(record, ALIVE)]
        return [http(record, status=2, completed="error", error="Stream ended", output_tokens=0), route(record, DEAD)]

    assert judge(requests(outage(0, 2), latency=500 * MS), agg).died_in == {"decode": 20}


def frontend_killed(record: Record) -> Spans:
    if record.error is ErrorClass.CONNECTION_REFUSED:
        return []
    # The frontend's last spans go with it: 4 s of healthy requests and the ones in flight are orphans.
    return healthy(record) if not at(-4) <= record.start_ns < INJECT else healthy(record)[2:]


def test_a_killed_frontend_leaves_orphans_and_refused_requests_leave_nothing() -> None:
    def outcome(t: float) -> Outcome:
        return Outcome.TRUNCATED if -0.4 <= t < 0 else Outcome.FAILED if 0 <= t < 3 else Outcome.GOOD

    records = [
        replace(r, error=ErrorClass.CONNECTION_REFUSED) if r.outcome is Outcome.FAILED else r
        for r in requests(outcome, latency=500 * MS)
    ]
    report = judge(records, frontend_killed)
    assert (report.status, report.verdict) == ("ok", Verdict.RECOVERED), report.reason
    assert report.died_in == {"frontend": 4}
    assert report.died_on == {}
    assert report.lost_requests == 0
    notes = " ".join(report.notes)
    assert "30 refused connections left no trace" in notes
    # Of the orphans the four in flight and the one that ended at the injection belong to the run.
    assert "5 traces lack the frontend's span" in notes
    assert report.t_recovered == at(3) + WAY


def test_only_refused_requests_are_no_good_news() -> None:
    records = [
        replace(r, error=ErrorClass.CONNECTION_REFUSED) if r.outcome is Outcome.FAILED else r
        for r in requests(outage(0, 3))
    ]
    report = judge(records, frontend_killed)
    assert (report.status, report.verdict) == ("inconclusive", Verdict.INCONCLUSIVE)
    assert "30 bad requests left no trace, so no harm seen says nothing" in report.reason


def test_a_404_has_a_single_span() -> None:
    def shape(record: Record) -> Spans:
        return (
            healthy(record)
            if record.outcome is Outcome.GOOD
            else [http(record, status=2, completed="", output_tokens=None)]
        )

    report = judge(requests(outage(1, 2)), shape)
    assert report.died_in == {"frontend": 10}
    assert (report.verdict, report.error_window_seconds) == (Verdict.RECOVERED, pytest.approx(1.0))


def test_a_drained_worker_takes_its_last_spans_with_it() -> None:
    def shape(record: Record) -> Spans:
        return healthy(record)[:2] if at(-2) <= record.start_ns < at(0.5) else healthy(record)

    report = judge(requests(lambda _: Outcome.GOOD), shape)
    assert (report.verdict, report.lost_requests, report.migrated_requests) == (Verdict.NO_IMPACT, 0, 0)


def test_a_resumed_worker_ends_its_span_long_after_the_request() -> None:
    def shape(record: Record) -> Spans:
        spans = migrated(record) if record.outcome is Outcome.SLOW else healthy(record)
        if record.outcome is Outcome.SLOW:
            late = replace(work(record, DEAD), status=2, end_ns=at(39))
            spans = [http(record, tried_again=1), *spans[1:], late]
        return spans

    report = judge(requests(outage(0, 1, Outcome.SLOW)), shape)
    assert (report.verdict, report.failed_requests, report.slow_requests) == (Verdict.RECOVERED, 0, 10)
    assert report.error_window_seconds == pytest.approx(1.0)
    assert report.during_latency_seconds == pytest.approx(0.02)


def test_a_request_that_the_client_gave_up() -> None:
    def shape(record: Record) -> Spans:
        if record.outcome is Outcome.GOOD:
            return healthy(record)
        return [
            http(record, status=2, completed="error", error_type="cancelled"),
            route(record, DEAD),
            work(record, DEAD),
        ]

    report = judge(requests(outage(1, 2)), shape)
    assert (report.cancelled_requests, report.died_in) == (10, {"decode": 10})


def test_the_clients_word_decides() -> None:
    report = judge(requests(outage(1, 2)), healthy)
    assert (report.failed_requests, report.verdict) == (10, Verdict.RECOVERED)
    assert report.died_in == {"unknown": 10}
    assert "10 requests that failed for the client are a success to the server" in report.notes


# --- missing and odd data ----------------------------------------------------------------------------


def test_impossible_clocks_move_no_window() -> None:
    def shape(record: Record) -> Spans:
        spans = healthy(record)
        if record.session_num == 200:
            spans += [replace(spans[2], span_id=b"x" * 8, start_ns=5, end_ns=9, odd_clock=True)]
        if record.session_num == 210:
            spans = [replace(s, start_ns=10**19, end_ns=10**19, odd_clock=True) for s in spans]
        return spans

    calm = judge(requests(lambda _: Outcome.GOOD), healthy)
    report = judge(requests(lambda _: Outcome.GOOD), shape, times(40, effect=0.0))
    assert (report.status, report.verdict, report.requests) == (calm.status, calm.verdict, calm.requests)
    hurt = judge(
        requests(outage(1, 2)),
        lambda r: (
            [replace(s, odd_clock=True, start_ns=5, end_ns=9) for s in healthy(r)]
            if r.session_num == 315
            else killed(r)
        ),
    )
    assert (hurt.t_impact, hurt.error_window_seconds) == (at(1) + WAY, pytest.approx(1.0))
    assert "1 traces have spans whose clock cannot be true; these move no window" in hurt.notes


def test_a_step_of_our_clock_and_a_wrong_one_of_theirs_are_taken_out() -> None:
    records = requests(outage(1, 2))
    straight = judge(records, killed)
    stepped = judge(records, killed, clock_step_ns=90 * S, moved_ns=90 * S)
    assert stepped == straight
    skewed = judge(records, killed, moved_ns=-7 * S)
    assert skewed.t_impact is not None
    assert straight.t_impact is not None
    assert abs(skewed.t_impact - straight.t_impact) <= 2 * WAY
    assert skewed.error_window_seconds == straight.error_window_seconds
    assert any("the deployment's clock is -6.97 s off" in n for n in skewed.notes)


def test_lost_spans_are_counted_and_too_many_are_inconclusive() -> None:
    def losing(share: int) -> Shape:
        return lambda r: [] if r.session_num % share == 0 and INJECT < r.start_ns < at(20) else healthy(r)

    few = judge(requests(lambda _: Outcome.GOOD), losing(50))
    assert (few.status, few.lost_requests) == ("ok", 3)
    many = judge(requests(lambda _: Outcome.GOOD), losing(5))
    assert (many.status, many.verdict) == ("inconclusive", Verdict.INCONCLUSIVE)
    assert "good requests left no trace: does the deployment sample, or lose, its spans?" in many.reason


def test_late_spans_are_not_lost() -> None:
    report = judge(requests(kill_outcome, latency=500 * MS), lambda r: [] if r.end_ns > at(36) else killed(r))
    assert (report.status, report.verdict, report.lost_requests) == ("ok", Verdict.RECOVERED, 0)
    assert any("the last 44 requests have no whole trace yet" in n for n in report.notes)
    gone = judge(requests(kill_outcome, latency=500 * MS), lambda r: [] if r.end_ns > at(15) else killed(r))
    # Ends from 15.1 to 24.9 s: later ones may still be on their way.
    assert (gone.status, gone.lost_requests) == ("inconclusive", 99)


def test_a_run_that_ends_with_the_clients_hold_is_long_enough() -> None:
    records = [r for r in requests(kill_outcome) if r.end_ns < at(19.01)]
    assert measure(records, times(19.01))[0].verdict is Verdict.RECOVERED
    assert judge(records, killed, times(19.01)).verdict is Verdict.RECOVERED
    late = judge(records, lambda r: [] if r.start_ns > at(14) else killed(r), times(19.01))
    assert (late.status, late.verdict) == ("ok", Verdict.RECOVERED)
    early = [r for r in records if r.end_ns < at(12)]
    assert judge(early, killed, times(12)).verdict is Verdict.NOT_RECOVERED


def test_only_sampled_requests_are_expected() -> None:
    records = requests(kill_outcome, latency=500 * MS)

    def shape(record: Record) -> Spans:
        return killed(record) if sampled(uuid.UUID(record.request_id), 0.5) else []

    report = judge(records, shape, ratio=0.5)
    assert (report.status, report.lost_requests) == ("ok", 0)
    asked = [r for r in records if sampled(uuid.UUID(r.request_id), 0.5)]
    assert report.failed_requests == sum(r.outcome is not Outcome.GOOD for r in asked)
    assert 0 < report.failed_requests < 49
    assert report.resolution.text.startswith("\u00b10.2 s")
    nothing = judge(records, shape, ratio=0.0)
    assert (nothing.status, nothing.reason) == ("absent", "trace_sample_ratio is 0 for every probe")


def test_nothing_received_says_what_to_look_at() -> None:
    silent = judge(requests(lambda _: Outcome.GOOD), lambda _: [], received=0)
    assert (silent.status, silent.reason) == ("inconclusive", "no span was received; HINT")
    others = judge(requests(lambda _: Outcome.GOOD), lambda _: [], received=77)
    assert others.status == "inconclusive"
    assert "77 spans were received, but none of the traces of the 700 requests" in others.reason


def test_a_short_or_bad_baseline_is_inconclusive() -> None:
    short = judge(requests(kill_outcome, begin=-0.5), killed)
    assert (short.status, short.verdict) == ("inconclusive", Verdict.INCONCLUSIVE)
    assert "traced requests in the 30 s before the fault" in short.reason
    bad = judge(requests(lambda t: Outcome.FAILED if round(t * 10) % 3 == 0 else Outcome.GOOD), killed)
    assert "were bad before the fault" in bad.reason


def test_the_order_of_records_and_spans_changes_nothing() -> None:
    records = requests(kill_outcome, latency=500 * MS)
    forwards = judge(records, killed)
    backwards = judge(records[::-1], lambda r: killed(r)[::-1])
    assert forwards == backwards


def test_another_server_is_told_less_about() -> None:
    """vLLM sends one span a request, below ours."""

    def shape(record: Record) -> Spans:
        return [one(record, "llm_request", record.start_ns + WAY, record.end_ns, root=True)]

    report = judge(requests(outage(1, 2)), shape)
    assert (report.verdict, report.died_in) == (Verdict.RECOVERED, {"unknown": 10})
