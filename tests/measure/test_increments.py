"""What was counted between two scrapes, and what the server witness makes of it, without a Prometheus."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from monitor.config.settings import PrometheusSpec
from monitor.measure.client import RunTimes
from monitor.measure.increments import TargetCounts, holes, targets_of
from monitor.measure.presets import BAD, CALLER, DYNAMO, GOOD, PRESETS, SGLANG, VLLM, Preset
from monitor.measure.prometheus import Series
from monitor.measure.server_report import judge_counts
from monitor.model import Verdict, WitnessReport

S = 1_000_000_000
T0 = 1_700_000_000
NAME = "dynamo_frontend_requests_total"
SPEC = PrometheusSpec(url="http://127.0.0.1:1", scrape_interval_seconds=1.0)


def series(values: Sequence[float | None], name: str = NAME, instance: str = "i", **labels: str) -> Series:
    """One value a second from T0 on; None where the scrape had no such series."""
    kept = [(T0 + i, v) for i, v in enumerate(values) if v is not None]
    return Series(
        name=name,
        labels={"job": "j", "instance": instance, **labels},
        times=np.array([t * S for t, _ in kept], np.int64),
        values=np.array([v for _, v in kept], np.float64),
    )


def good(values: Sequence[float | None], **more: str) -> Series:
    return series(values, status="success", error_type="", **more)


def bad(values: Sequence[float | None], kind: str = "internal", **more: str) -> Series:
    return series(values, status="error", error_type=kind, **more)


def up(values: Sequence[float | None], **more: str) -> Series:
    return series(values, name="up", **more)


def one(*parts: Series, scraped: Sequence[Series] = (), preset: Preset = DYNAMO) -> TargetCounts:
    (target,) = targets_of(parts, scraped, preset)
    return target


def test_a_series_that_appears_began_at_zero() -> None:
    target = one(good([5, 6, 7, 8]), bad([None, None, 4, 6]))

    assert target.good.tolist() == [1, 1, 1]
    assert target.bad.tolist() == [0, 4, 2]
    assert target.kinds["internal"].tolist() == [0, 4, 2]
    assert target.resets == ()


def test_what_a_target_had_counted_before_its_first_scrape_is_not_of_the_run() -> None:
    assert one(good([None, None, 900, 901])).good.tolist() == [1]


def test_a_fall_and_a_disappearance_are_resets() -> None:
    target = one(good([50, 60, 3, 5]), bad([7, 9, None, 2]))

    assert target.good.tolist() == [10, 3, 2]
    assert target.bad.tolist() == [2, 0, 2]
    assert target.resets == ((T0 + 2) * S,)


def test_a_disappearance_alone_is_a_reset() -> None:
    """A restarted process that already counts more good ones than before shows it by what it lacks."""
    assert one(good([5, 6, 7, 8]), bad([7, 9, None, None])).resets == ((T0 + 2) * S,)


def test_callers_doing_is_neither_good_nor_bad() -> None:
    target = one(good([1, 1]), bad([0, 3], kind="cancelled"), bad([0, 2], kind="validation"))

    assert (target.caller.tolist(), target.bad.tolist()) == ([5], [0])


def test_the_newest_name_that_exists_is_used() -> None:
    old = series([0, 7], name="nv_llm_http_service_requests_total", status="success")
    assert one(old).good.tolist() == [7]
    assert one(old, good([0, 2])).good.tolist() == [2]


def test_targets_are_kept_apart() -> None:
    first, second = targets_of([good([1, 2], instance="a"), good([9, 5], instance="b")], [], DYNAMO)
    assert (first.instance, first.resets, second.instance, len(second.resets)) == ("a", (), "b", 1)


def test_a_target_without_requests_is_no_witness() -> None:
    assert targets_of([series([1, 2], name="dynamo_frontend_inflight_requests")], [], DYNAMO) == []


def test_holes() -> None:
    scraped = up([1, 1, 0, 0, 1, 1])
    target = one(good([1, 2, None, None, 5, 6]), scraped=[scraped])
    assert holes(target, T0 * S, (T0 + 5) * S, 1.0) == [((T0 + 1) * S, (T0 + 4) * S)]
    assert holes(target, (T0 + 4) * S, (T0 + 5) * S, 1.0) == []
    assert holes(target, (T0 + 4) * S, (T0 + 9) * S, 1.0) == [((T0 + 5) * S, (T0 + 9) * S)]

    gone = one(good([1, 2, None, None, None, None, 7]))
    assert holes(gone, T0 * S, (T0 + 6) * S, 1.0) == [((T0 + 1) * S, (T0 + 6) * S)]


@pytest.mark.parametrize(
    ("preset", "labels", "ended"),
    [
        (DYNAMO, {"status": "success", "error_type": ""}, GOOD),
        (DYNAMO, {"status": "error", "error_type": "overload"}, BAD),
        (DYNAMO, {"status": "error", "error_type": "not_found"}, CALLER),
        (DYNAMO, {"status": "error"}, BAD),
        (VLLM, {"handler": "/v1/chat/completions", "status": "2xx"}, GOOD),
        (VLLM, {"handler": "/v1/completions", "status": "5xx"}, BAD),
        (VLLM, {"handler": "/v1/completions", "status": "4xx"}, CALLER),
        (VLLM, {"handler": "/v1/models", "status": "2xx"}, None),
        (SGLANG, {"endpoint": "/v1/chat/completions", "status_code": "200"}, GOOD),
        (SGLANG, {"endpoint": "http", "exported_endpoint": "/generate", "status_code": "503"}, BAD),
        (SGLANG, {"endpoint": "/metrics", "status_code": "200"}, None),
    ],
)
def test_how_each_server_says_it(preset: Preset, labels: dict[str, str], ended: str | None) -> None:
    finished = preset.finished
    assert (finished.ended(labels) if finished.counts(labels) else None) == ended


def test_every_preset_of_the_settings_exists() -> None:
    for name, preset in PRESETS.items():
        assert PrometheusSpec(url="http://127.0.0.1:1", preset=name).preset == name
        assert set(preset.finished.names) < set(preset.names)


# --- the report ------------------------------------------------------------------------------

INJECT = (T0 + 10) * S + S // 2
RUN = RunTimes(INJECT, INJECT + S // 10, None, None, (T0 + 30) * S, horizon_ended=True)


def judged(*parts: Series, run: RunTimes = RUN, scraped: Sequence[Series] = ()) -> WitnessReport:
    return judge_counts(targets_of(parts, scraped, DYNAMO), T0 * S, run, SPEC, DYNAMO)


def steady(rate: int = 10, pause: range = range(0)) -> list[float | None]:
    """Counts up each second but for those of the pause."""
    values: list[float | None] = []
    total = 0
    for i in range(31):
        total += 0 if i in pause else rate
        values.append(total)
    return values


def appearing(at: int, *values: float) -> list[float | None]:
    return [None] * at + [*values] + [values[-1]] * (31 - at - len(values))


def test_window_runs_from_scrape_to_scrape_around_the_errors() -> None:
    report = judged(good(steady(pause=range(13, 15))), bad(appearing(13, 5, 9)))

    assert (report.status, report.verdict, report.failed_requests) == ("ok", Verdict.RECOVERED, 9), report.reason
    assert (report.t_impact, report.t_recovered) == ((T0 + 12) * S, (T0 + 14) * S)
    assert report.error_window_seconds == report.bad_seconds == 2.0
    assert report.recovery_from_effect_seconds == pytest.approx(3.4)
    assert (report.resolution.at_impact_seconds, report.resolution.at_recovery_seconds) == (1.0, 1.0)
    assert report.baseline_rate == 10.0


def test_errors_of_the_interval_of_the_injection_do_not_begin_before_it() -> None:
    report = judged(good(steady()), bad(appearing(11, 3)))
    assert report.t_impact == INJECT


def test_errors_to_the_end_are_censored() -> None:
    errors = appearing(12, *range(10, 200, 10))
    report = judged(good(steady(pause=range(12, 31))), bad(errors))
    assert (report.verdict, report.censored, report.t_recovered) == (Verdict.NOT_RECOVERED, True, None)
    going_on = RunTimes(INJECT, None, None, None, (T0 + 30) * S, horizon_ended=False)
    assert judged(good(steady(pause=range(12, 31))), bad(errors), run=going_on).verdict is Verdict.INCONCLUSIVE


def test_a_stall_without_errors_is_not_good_news() -> None:
    report = judged(good(steady(pause=range(13, 20))))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason == "no finished request was counted for 7.0 s, where 70 are usual"
    assert judged(good(steady(rate=1, pause=range(13, 20)))).verdict is Verdict.NO_IMPACT


def test_a_failed_scrape_in_the_run_is_not_good_news_and_one_before_it_is_no_matter() -> None:
    for failed, verdict in ((15, Verdict.INCONCLUSIVE), (5, Verdict.NO_IMPACT)):
        values = steady()
        values[failed] = None
        scraped = up([0.0 if i == failed else 1.0 for i in range(31)])
        assert judged(good(values), scraped=[scraped]).verdict is verdict


def test_no_traffic_before_the_fault_is_no_baseline() -> None:
    report = judged(good(steady(pause=range(1, 11))))
    assert "no request was counted before the fault" in report.reason


def test_more_errors_than_usual_are_told_from_the_usual_ones() -> None:
    usual = [float(2 * (i // 4)) for i in range(31)]
    quiet = judged(good(steady(20)), bad(usual))
    assert (quiet.verdict, quiet.failed_requests) == (Verdict.NO_IMPACT, 10)

    burst = [v + 40.0 * max(0, min(i - 14, 3)) for i, v in enumerate(usual)]
    report = judged(good(steady(20)), bad(burst))
    assert report.verdict is Verdict.RECOVERED
    assert report.t_impact == (T0 + 14) * S
    assert report.t_recovered is not None
    assert (T0 + 17) * S <= report.t_recovered <= (T0 + 21) * S
    assert report.resolution.text == "\u00b15 s (scrape every 1 s, rate window 4 s)"
    assert report.resolution.at_recovery_seconds == 5.0


def test_resolution_is_the_real_distance_of_the_scrapes_where_that_is_longer() -> None:
    errors, values = appearing(13, 5), steady()
    errors[12] = values[12] = errors[14] = values[14] = None
    report = judged(good(values), bad(errors))
    assert report.status == "ok", "a late scrape is no hole"
    assert report.resolution.at_impact_seconds == 2.0
