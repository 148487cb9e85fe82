"""What the server's metrics say beside errors, and what became of each worker, without a Prometheus."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from monitor.measure.client import RunTimes
from monitor.measure.increments import targets_of
from monitor.measure.presets import DYNAMO, SGLANG, VLLM, Preset
from monitor.measure.prometheus import Series
from monitor.measure.server_figures import with_figures
from monitor.measure.server_report import judge_counts
from monitor.model import ServerFigures, WorkerEvent
from tests.measure.test_increments import RUN, SPEC, T0, S, appearing, bad, good, series, steady, up

Values = Sequence[float | None]
FRONT, WORKER = "front:8000", "worker:9090"
UPTIME = "dynamo_component_uptime_seconds"


def figures(
    *parts: Series, scraped: Sequence[Series] = (), preset: Preset = DYNAMO, run: RunTimes = RUN
) -> ServerFigures:
    report = judge_counts(targets_of(parts, scraped, preset), T0 * S, run, SPEC, preset)
    found = with_figures(report, parts, scraped, begin=T0 * S, times=run, spec=SPEC, preset=preset).figures
    assert found is not None
    return found


def flat(value: float) -> list[float | None]:
    return [value] * 31


def uptime(values: Values, worker_id: str = "a", instance: str = WORKER) -> Series:
    return series(values, name=UPTIME, instance=instance, worker_id=worker_id)


def ticking(begin: int, end: int = 31) -> list[float | None]:
    """Alive from one second to another."""
    return [float(i - begin) if begin <= i < end else None for i in range(31)]


def events(*parts: Series, scraped: Sequence[Series] = ()) -> list[tuple[str, str, int]]:
    """What, who, and the second after T0."""
    found = figures(good(steady(), instance=FRONT), *parts, scraped=scraped).worker_events
    return [(e.what, e.worker_id, e.at_ns // S - T0) for e in found]


# --- counters and gauges ---------------------------------------------------------------------------


def test_what_never_appeared_is_none_and_said() -> None:
    found = figures(good(steady()))
    assert (found.migrations, found.rejections, found.cancellations) == (None, None, None)
    assert (found.queue_peak, found.kv_cache_peak, found.tokens_per_second_before) == (None, None, None)
    assert {"migrations", "rejections", "cancellations", "queue_peak", "tokens_per_second", "workers"} < set(
        found.absent
    )
    assert "preemptions" not in found.absent, "Dynamo has no such counter, so nothing is missing"


def test_what_is_there_and_did_not_move_is_zero() -> None:
    found = figures(good(steady()), series(flat(4), name="dynamo_frontend_model_cancellation_total"))
    assert found.cancellations == 0
    assert "cancellations" not in found.absent


def test_counters_count_from_the_injection_on_and_by_label() -> None:
    name = "dynamo_frontend_model_migration_total"
    found = figures(
        good(steady()),
        series([3.0] * 12 + [5.0] * 19, name=name, migration_type="ongoing_request"),
        series(appearing(13, 4), name=name, migration_type="new_request"),
        series([0.0] * 5 + [9.0] * 26, name="dynamo_frontend_model_rejection_total"),
    )
    assert found.migrations == 6
    assert found.migrations_by == {"new_request": 4, "ongoing_request": 2}
    assert found.rejections == 0, "all nine were before the injection"


def test_rejections_are_told_apart_by_the_servers_word() -> None:
    found = figures(
        good(steady()), bad(appearing(12, 5), "overload"), bad(appearing(12, 2), "unavailable"), bad(appearing(12, 3))
    )
    assert found.rejections_by == {"overload": 5, "unavailable": 2}
    assert found.rejections == 7

    http = series(appearing(12, 6), name="http_requests_total", handler="/v1/completions", status="503")
    fine = series(steady(), name="http_requests_total", handler="/v1/completions", status="200")
    assert figures(fine, http, preset=VLLM).rejections_by == {"503": 6}


def test_one_counter_of_several_layers_is_counted_once() -> None:
    front = series(steady(100), name="dynamo_frontend_output_tokens_total", instance=FRONT)
    older = series(steady(100), name="dynamo_frontend_output_sequence_tokens_sum", instance=FRONT)
    found = figures(good(steady(), instance=FRONT), front, older)
    assert found.tokens_per_second_before == pytest.approx(100.0)
    assert figures(good(steady(), instance=FRONT), older).tokens_per_second_before == pytest.approx(100.0)


def test_tokens_per_second_during_the_window() -> None:
    tokens = series(steady(100, pause=range(13, 15)), name="dynamo_frontend_output_tokens_total")
    found = figures(good(steady(pause=range(13, 15))), bad(appearing(13, 5, 9)), tokens)
    assert found.tokens_per_second_before == pytest.approx(100.0)
    assert found.tokens_per_second_during == 0.0


def test_peaks_are_of_the_run_and_of_all_targets_together() -> None:
    name = "dynamo_frontend_queued_requests"
    one = [50.0 if i == 4 else 7.0 if i == 20 else 1.0 for i in range(31)]
    other = [5.0 if i == 20 else 9.0 if i == 25 else 0.0 for i in range(31)]
    parts = good(steady()), series(one, name=name), series(other, name=name, instance="j2")
    assert figures(*parts).queue_peak == 12.0, "50 was before the injection; 7 and 5 were at once, 9 and 1 later"


def test_a_gauge_of_a_target_that_went_away_is_not_carried_on() -> None:
    name = "dynamo_frontend_active_requests"
    gone: list[float | None] = [*([8.0] * 13), *([None] * 18)]
    late = [0.0 if i < 25 else 3.0 for i in range(31)]
    parts = good(steady()), series(gone, name=name, instance="a"), series(late, name=name, instance="b")
    assert figures(*parts).in_flight_peak == 8.0


def test_cache_use_is_the_fullest_cache() -> None:
    name = "vllm:kv_cache_usage_perc"
    parts = good(steady()), series(flat(0.4), name=name, instance="a"), series(flat(0.7), name=name, instance="b")
    assert figures(*parts).kv_cache_peak == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("preset", "finished", "names"),
    [
        (
            VLLM,
            series(steady(), name="http_requests_total", handler="/v1/completions", status="2xx"),
            (
                "vllm:num_requests_waiting",
                "vllm:num_requests_running",
                "vllm:gpu_cache_usage_perc",
                "vllm:generation_tokens_total",
            ),
        ),
        (
            SGLANG,
            series(steady(), name="sglang:http_responses_total", endpoint="/generate", status_code="200"),
            (
                "sglang:num_queue_reqs",
                "sglang:num_running_reqs",
                "sglang:token_usage",
                "sglang:generation_tokens_total",
            ),
        ),
    ],
)
def test_other_servers_names(preset: Preset, finished: Series, names: tuple[str, ...]) -> None:
    queue, running, cache, tokens = names
    found = figures(
        finished,
        series(flat(3), name=queue),
        series(flat(4), name=running),
        series(flat(0.5), name=cache),
        series(steady(50), name=tokens),
        preset=preset,
    )
    assert (found.queue_peak, found.in_flight_peak, found.kv_cache_peak) == (3.0, 4.0, 0.5)
    assert found.tokens_per_second_before == pytest.approx(50.0)
    assert (found.workers_before, found.workers_after) == (1, 1)


def test_aborted_requests_of_vllm_are_cancellations() -> None:
    fine = series(steady(), name="http_requests_total", handler="/v1/completions", status="2xx")
    stop = series(steady(), name="vllm:request_success_total", finished_reason="stop")
    abort = series(appearing(14, 4), name="vllm:request_success_total", finished_reason="abort")
    assert figures(fine, stop, abort, preset=VLLM).cancellations == 4
    assert figures(fine, stop, preset=VLLM).cancellations is None


# --- workers ---------------------------------------------------------------------------------------


def test_workers_that_live_on_make_no_event() -> None:
    found = figures(good(steady(), instance=FRONT), uptime(ticking(0)), uptime(ticking(0), "b", "other:9090"))
    assert (found.workers_before, found.workers_after, found.worker_events) == (2, 2, ())


def test_a_frontend_is_no_worker_though_it_has_the_same_metric() -> None:
    found = figures(good(steady(), instance=FRONT), uptime(ticking(0), "f", FRONT), uptime(ticking(0)))
    assert (found.workers_before, found.workers_after) == (1, 1)


def test_a_killed_worker_and_the_one_that_took_its_place() -> None:
    scraped = up([0.0 if 14 <= i < 17 else 1.0 for i in range(31)], instance=WORKER)
    assert events(uptime(ticking(0, 14)), uptime(ticking(17), "b"), scraped=[scraped]) == [
        ("down", "", 14),
        ("vanished", "a", 17),
        ("appeared", "b", 17),
    ]


def test_a_target_that_is_down_to_the_end() -> None:
    scraped = up([0.0 if i >= 14 else 1.0 for i in range(31)], instance=WORKER)
    found = figures(good(steady(), instance=FRONT), uptime(ticking(0, 14)), scraped=[scraped])
    assert found.worker_events == (
        WorkerEvent(what="down", instance=WORKER, at_ns=(T0 + 14) * S, since_ns=(T0 + 13) * S, until_ns=None),
    )
    assert (found.workers_before, found.workers_after) == (1, 0)


def test_down_says_until_when() -> None:
    scraped = up([0.0 if 14 <= i < 17 else 1.0 for i in range(31)], instance=WORKER)
    values = [None if 14 <= i < 17 else float(i) for i in range(31)]
    (event,) = figures(good(steady(), instance=FRONT), uptime(values), scraped=[scraped]).worker_events
    assert (event.what, event.at_ns, event.until_ns) == ("down", (T0 + 14) * S, (T0 + 17) * S)


def test_a_worker_whose_series_are_gone_though_the_target_is_scraped() -> None:
    assert events(uptime(ticking(0, 16)), scraped=[up(flat(1), instance=WORKER)]) == [("vanished", "a", 16)]


def test_a_worker_that_was_not_there_before() -> None:
    assert events(uptime(ticking(0)), uptime(ticking(18), "b", "new:9090")) == [("appeared", "b", 18)]


def test_the_same_worker_that_counts_from_zero_again() -> None:
    values = [float(i) if i < 15 else float(i - 15) for i in range(31)]
    assert events(uptime(values), scraped=[up(flat(1), instance=WORKER)]) == [("restarted", "a", 15)]


def test_a_target_that_nobody_scrapes_any_more() -> None:
    scraped = up([*([1.0] * 14), *([None] * 17)], instance=WORKER)
    assert events(uptime(ticking(0, 14)), scraped=[scraped]) == [("not_scraped", "", 13)]


def test_what_happened_before_the_injection_is_not_of_the_run() -> None:
    scraped = up([0.0 if 3 <= i < 5 else 1.0 for i in range(31)], instance=WORKER)
    assert events(uptime(ticking(0, 3)), uptime(ticking(5), "b"), scraped=[scraped]) == []


def test_a_worker_that_is_down_does_not_make_the_frontends_counts_worthless() -> None:
    scraped = [up([0.0 if i >= 14 else 1.0 for i in range(31)], instance=WORKER)]
    parts = [good(steady(), instance=FRONT), uptime(ticking(0, 14))]
    assert judge_counts(targets_of(parts, scraped, DYNAMO), T0 * S, RUN, SPEC, DYNAMO).status == "ok"
