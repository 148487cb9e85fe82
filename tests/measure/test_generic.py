"""A server that the configuration describes by selectors, against a real Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from monitor.config.settings import PrometheusSpec
from monitor.measure.client import RunTimes
from monitor.measure.prometheus import Trouble
from monitor.measure.server import ServerWitness
from monitor.model import Verdict, WitnessReport
from tests.measure.prometheus_process import SCRAPE_SECONDS, Exporter, Prometheus, prometheus

QUERIES = {"good_requests": 'my_requests_total{code=~"2.."}', "bad_requests": 'my_requests_total{code=~"5.."}'}


class Server(Exporter):
    """Counters with names that no preset knows."""

    def page(self) -> str:
        lines = [f'my_requests_total{{code="200"}} {self.good}', f"my_seconds_sum {self.good * 0.5}"]
        lines += [f'my_requests_total{{code="{code}"}} {n}' for code, n in self.errors.items()]
        lines += [f"my_seconds_count {self.good}", "my_waiting 4", f"my_tokens_total {self.good * 10}"]
        return "\n".join(lines) + "\n"


@dataclass
class Played:
    """A burst of errors that Prometheus has seen."""

    prometheus: Prometheus
    times: RunTimes
    troubles: list[Trouble]

    def report(self, **queries: Any) -> WitnessReport:
        spec = PrometheusSpec(
            url=self.prometheus.url,
            preset="generic",
            queries=QUERIES | queries,  # type: ignore[arg-type]
            scrape_interval_seconds=SCRAPE_SECONDS,
        )
        self.troubles.clear()
        witness = ServerWitness(spec, baseline_seconds=4, on_trouble=self.troubles.append)
        return asyncio.run(witness.measure(self.times))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    server = Server()
    with prometheus(tmp_path_factory.mktemp("prometheus"), [server.instance]) as source:
        yield Played(source, asyncio.run(_play(source, server)), [])


async def _play(source: Prometheus, server: Server) -> RunTimes:
    async def traffic() -> None:
        while True:
            server.good += 1
            await asyncio.sleep(0.05)

    async def scrapes(number: float) -> None:
        deadline = time.monotonic() + 30
        while await asyncio.to_thread(source.ask, "count_over_time(up[1h])") < number:
            assert time.monotonic() < deadline, f"no {number} scrapes within 30 s"
            await asyncio.sleep(0.1)

    await server.open()
    moving = asyncio.create_task(traffic())
    try:
        await scrapes(6)
        inject = time.time_ns()
        server.errors = {"500": 11, "404": 2}
        await scrapes(await asyncio.to_thread(source.ask, "count_over_time(up[1h])") + 4)
        return RunTimes(inject, inject, None, None, time.time_ns(), horizon_ended=True)
    finally:
        moving.cancel()
        await server.close()


def test_raw_counters_are_differenced(played: Played) -> None:
    """The series with 500 appears with its first error; rate() would have seen nothing of it."""
    report = played.report(
        caller_requests='my_requests_total{code=~"4.."}',
        latency_sum="my_seconds_sum",
        latency_count="my_seconds_count",
        queue="my_waiting",
        output_tokens="my_tokens_total",
    )
    assert (report.status, report.verdict) == ("ok", Verdict.RECOVERED), report.reason
    assert (report.failed_requests, report.errors) == (11, {"bad": 11})
    assert any("2 requests ended by the caller's doing" in note for note in report.notes)
    assert report.baseline_latency_seconds == pytest.approx(0.5)
    assert report.figures is not None
    assert report.figures.queue_peak == 4.0
    assert report.figures.tokens_per_second_before is not None
    assert report.figures.tokens_per_second_before == pytest.approx(10 * (report.baseline_rate or 0))
    assert played.troubles == []


def test_only_what_is_needed_is_needed(played: Played) -> None:
    report = played.report()
    assert report.failed_requests == 11
    assert report.figures is not None
    assert report.figures.queue_peak is None
    assert "queue_peak" in report.figures.absent


@pytest.mark.parametrize(
    ("queries", "words"),
    [
        ({"bad_requests": "my_requests_total{code=}"}, "prometheus.queries.bad_requests: Prometheus at "),
        ({"queue": 'my_waiting{pod="a}'}, "prometheus.queries.queue: Prometheus at "),
    ],
)
def test_a_query_that_is_not_promql_names_its_setting(played: Played, queries: dict[str, str], words: str) -> None:
    report = played.report(**queries)
    assert (report.status, report.verdict) == ("inconclusive", Verdict.INCONCLUSIVE)
    assert report.reason.startswith(words)
    assert "refused the query: HTTP 400: " in report.reason
    assert "parse error" in report.reason, "Prometheus' own words"
    assert "\n" not in report.reason
    assert played.troubles == [Trouble.BAD_QUERY]


def test_one_series_that_is_good_and_bad_is_refused(played: Played) -> None:
    report = played.report(bad_requests='my_requests_total{code!="404"}')
    assert report.status == "inconclusive"
    assert "is counted as good and as bad; the selectors overlap" in report.reason
    assert report.failed_requests is None


def test_queries_that_match_nothing(played: Played) -> None:
    report = played.report(good_requests="no_such_total", bad_requests='no_such_total{code="5"}')
    assert report.reason.startswith('no samples of no_such_total or no_such_total{code="5"}')
