"""Exemplars: the newest traced request of each kind, in OpenMetrics and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from monitor.export.metrics import Metrics
from probes.record import ErrorClass, Outcome, Record

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
"""As Prometheus asks."""
S = 1_000_000_000
T0 = 1_700_000_000 * S


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    made = Metrics(deployment="d", probes=["chat", "dark"], trace_ratios={"chat": 1.0, "dark": 0.0}, env={})
    yield made
    made.shutdown()


def record(number: int, outcome: Outcome, error: ErrorClass, *, probe: str = "chat", seconds: float = 0.2) -> Record:
    start = T0 + number * S
    key = str(UUID(int=number, version=4))
    return Record(probe, 0, number, key, start, start + round(seconds * S), outcome, error)


def exemplars(metrics: Metrics, name: str) -> dict[tuple[str, ...], tuple[str, float]]:
    page, content_type = metrics.render(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    found = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            if sample.name == name and sample.exemplar:
                labels = tuple(v for k, v in sorted(sample.labels.items()) if k != "probe")
                found[labels] = (sample.exemplar.labels["trace_id"], sample.exemplar.value)
    return found


def test_a_failed_request_leads_to_its_trace_and_the_newest_wins(metrics: Metrics) -> None:
    metrics.record_request(record(1, Outcome.FAILED, ErrorClass.HTTP_500))
    metrics.record_request(record(2, Outcome.FAILED, ErrorClass.HTTP_500, seconds=0.5))
    metrics.record_request(record(3, Outcome.TRUNCATED, ErrorClass.STREAM_CUT))
    assert exemplars(metrics, "aftershock_probe_requests_total") == {
        ("http_500", "failed"): (UUID(int=2, version=4).hex, 0.5),
        ("stream_cut", "truncated"): (UUID(int=3, version=4).hex, 0.2),
    }
    assert exemplars(metrics, "aftershock_probe_request_duration_seconds_bucket") == {}


def test_an_answered_request_is_the_example_of_its_bucket_alone(metrics: Metrics) -> None:
    metrics.record_request(record(1, Outcome.GOOD, ErrorClass.NONE, seconds=0.05))
    metrics.record_request(record(2, Outcome.SLOW, ErrorClass.SLOW_TOTAL, seconds=1000.0))
    assert exemplars(metrics, "aftershock_probe_request_duration_seconds_bucket") == {
        ("0.05",): (UUID(int=1, version=4).hex, 0.05),
        ("+Inf",): (UUID(int=2, version=4).hex, 1000.0),
    }
    assert exemplars(metrics, "aftershock_probe_requests_total") == {
        ("slow_total", "slow"): (UUID(int=2, version=4).hex, 1000.0)
    }


def test_a_request_that_nobody_traces_is_no_example(metrics: Metrics) -> None:
    metrics.record_request(record(1, Outcome.FAILED, ErrorClass.HTTP_500, probe="dark"))
    metrics.record_request(record(2, Outcome.LOST, ErrorClass.LOST))
    assert exemplars(metrics, "aftershock_probe_requests_total") == {}, "nobody knows how a lost one went"


def test_the_plain_page_has_none(metrics: Metrics) -> None:
    metrics.record_request(record(1, Outcome.FAILED, ErrorClass.HTTP_500))
    page, content_type = metrics.render()
    assert content_type.startswith("text/plain; version=0.0.4")
    assert b"trace_id" not in page


def test_both_pages_hold_the_same_figures(metrics: Metrics) -> None:
    metrics.record_request(record(1, Outcome.FAILED, ErrorClass.HTTP_500))
    plain, _ = metrics.render()
    rich, _ = metrics.render(OPENMETRICS)

    def lines(page: bytes) -> set[str]:
        kept = (line.split(" # ")[0] for line in page.decode().splitlines() if not line.startswith("#"))
        return {name + f" {float(number)}" for name, number in (line.rsplit(" ", 1) for line in kept)}

    assert lines(rich) == lines(plain)
