"""The server witness against a real Prometheus, and against things that only look like one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.config.settings import PrometheusSpec
from monitor.measure.client import RunTimes
from monitor.measure.prometheus import Trouble
from monitor.measure.server import ServerWitness
from monitor.model import Verdict, WitnessReport
from tests.measure.prometheus_process import SCRAPE_SECONDS, Exporter, Prometheus, free_port, prometheus

S = 1_000_000_000
BASELINE_SECONDS = 4.0
WORKERS = ("killed", "gone", "same")
EXPORTERS = ("burst", "quiet", "down", "reset", "restart", "stopped", "background", "never", "silent", *WORKERS)


def spec(url: str, selector: str = "", timeout: float = 5.0) -> PrometheusSpec:
    return PrometheusSpec(url=url, selector=selector, scrape_interval_seconds=SCRAPE_SECONDS, timeout_seconds=timeout)


@dataclass
class Played:
    """One timeline in which every exporter lived through its own trouble at the same time."""

    prometheus: Prometheus
    exporters: dict[str, Exporter]
    inject: int
    """Between two scrapes, errors began after it."""
    last_error: int
    until: int

    def times(self, *, ended: bool = True) -> RunTimes:
        return RunTimes(self.inject, self.inject, None, None, self.until, horizon_ended=ended)

    def report(self, name: str, *more: str) -> WitnessReport:
        instances = "|".join(self.exporters[n].instance for n in (name, *more))
        witness = ServerWitness(
            spec(self.prometheus.url, f'instance=~"{instances}"'), baseline_seconds=BASELINE_SECONDS
        )
        return asyncio.run(witness.measure(self.times()))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    exporters = {name: Exporter() for name in EXPORTERS}
    folder = tmp_path_factory.mktemp("prometheus")
    with prometheus(folder, [e.instance for e in exporters.values()]) as server:
        yield asyncio.run(_play(server, exporters))


async def _play(server: Prometheus, exporters: dict[str, Exporter]) -> Played:
    for name, exporter in exporters.items():
        exporter.silent = name == "silent"
        exporter.workers = {"a": 100.0} if name in WORKERS else None
        if name != "never":
            await exporter.open()
    stopped: set[str] = set()

    async def traffic() -> None:
        for tick in range(10_000):
            for name in set(exporters) - stopped:
                exporters[name].good += 1
            if tick % 10 == 0:
                exporters["background"].errors["internal"] = exporters["background"].errors.get("internal", 0) + 1
            await asyncio.sleep(0.02)

    moving = asyncio.create_task(traffic())
    try:
        await _scrapes(server, round((BASELINE_SECONDS + 1) / SCRAPE_SECONDS))
        inject = time.time_ns()
        stopped |= {"burst", "stopped"}
        await exporters["down"].close()
        await exporters["killed"].close()
        exporters["gone"].workers = {}
        exporters["same"].workers = {"a": 1.0}
        exporters["reset"].good = 0
        exporters["restart"].errors = {"internal": 4}
        exporters["restart"].good = 0
        for _ in range(15):
            exporters["burst"].errors["internal"] = exporters["burst"].errors.get("internal", 0) + 7
            exporters["burst"].errors["cancelled"] = 5
            await asyncio.sleep(0.1)
        last_error = time.time_ns()
        stopped.discard("burst")
        await exporters["down"].open()
        exporters["killed"].workers = {"b": 1.0}
        await exporters["killed"].open()
        before = await asyncio.to_thread(server.ask, COUNT)
        await _scrapes(server, round(before) + 6)
        until = time.time_ns()
    finally:
        moving.cancel()
        for exporter in exporters.values():
            await exporter.close()
    return Played(server, exporters, inject, last_error, until)


COUNT = "min(count_over_time(up[1h]))"


async def _scrapes(server: Prometheus, number: int) -> None:
    """Until every target has been scraped that often, well or not."""
    deadline = time.monotonic() + 30
    while await asyncio.to_thread(server.ask, COUNT) < number:
        assert time.monotonic() < deadline, f"no {number} scrapes within 30 s"
        await asyncio.sleep(0.05)


def test_first_burst_of_errors_is_counted_in_whole(played: Played) -> None:
    """The error series does not exist before the fault, so rate() would begin after the first scrape of it."""
    report = played.report("burst")

    assert (report.status, report.verdict) == ("ok", Verdict.RECOVERED), report.reason
    assert report.failed_requests == 105
    assert report.errors == {"internal": 105}
    assert report.t_impact is not None
    assert report.t_recovered is not None
    assert played.inject <= report.t_impact <= played.inject + SCRAPE_SECONDS * 1.5 * S
    assert played.last_error - SCRAPE_SECONDS * S <= report.t_recovered <= played.last_error + SCRAPE_SECONDS * 1.5 * S
    assert report.resolution.at_impact_seconds is not None
    assert report.resolution.at_impact_seconds >= SCRAPE_SECONDS
    assert report.resolution.text == "\u00b11 s (scrape every 1 s)"
    assert report.baseline_bad_ratio == 0.0
    assert report.baseline_rate is not None
    assert report.baseline_rate > 5
    assert report.baseline_latency_seconds == pytest.approx(0.25)
    assert any("5 requests ended by the caller's doing" in note for note in report.notes)
    assert any("started" in note for note in report.notes)
    assert report.t_first_good is report.tokens_lost is report.slow_requests is report.truncated_requests is None


def test_error_series_that_never_appeared_is_zero_beside_its_sibling(played: Played) -> None:
    report = played.report("quiet")

    assert (report.status, report.verdict, report.failed_requests) == ("ok", Verdict.NO_IMPACT, 0)
    assert report.error_window_seconds == 0.0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("down", "was not scraped for"),
        ("reset", "began again at 0"),
        ("stopped", "no finished request was counted for"),
        ("never", "no samples of dynamo_frontend_requests_total"),
        ("silent", "no samples of dynamo_frontend_requests_total"),
    ],
)
def test_missing_data_is_told_apart_and_never_good_news(played: Played, name: str, reason: str) -> None:
    report = played.report(name)

    assert (report.status, report.verdict) == ("inconclusive", Verdict.INCONCLUSIVE)
    assert reason in report.reason
    assert "\n" not in report.reason
    assert report.error_window_seconds is None


def test_one_blind_target_of_several_makes_all_inconclusive(played: Played) -> None:
    report = played.report("quiet", "down")

    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason.startswith(played.exporters["down"].instance)


def test_errors_after_a_restart_are_counted_and_the_loss_is_said(played: Played) -> None:
    report = played.report("restart")

    assert report.failed_requests == 4
    assert report.t_impact is not None
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "began again at 0" in report.reason


def test_steady_background_errors_are_no_impact(played: Played) -> None:
    report = played.report("background")

    assert report.verdict is Verdict.NO_IMPACT
    assert report.baseline_bad_ratio is not None
    assert 0.03 < report.baseline_bad_ratio < 0.2
    assert report.failed_requests is not None
    assert report.failed_requests > 3


@pytest.mark.parametrize(
    ("name", "happened", "after"),
    [
        ("killed", [("down", ""), ("vanished", "a"), ("appeared", "b")], 1),
        ("gone", [("vanished", "a")], 0),
        ("same", [("restarted", "a")], 1),
    ],
)
def test_what_became_of_a_worker(played: Played, name: str, happened: list[tuple[str, str]], after: int) -> None:
    report = played.report("quiet", name)
    figures = report.figures

    assert report.status == "ok", "a worker that is gone takes nothing from what the frontend counted"
    assert figures is not None
    assert [(e.what, e.worker_id) for e in figures.worker_events] == happened
    assert {e.instance for e in figures.worker_events} == {played.exporters[name].instance}
    assert (figures.workers_before, figures.workers_after) == (1, after)
    for event in figures.worker_events:
        assert played.inject < event.at_ns <= played.last_error + 4 * SCRAPE_SECONDS * S
        assert event.since_ns is not None
        assert event.since_ns < event.at_ns


def test_gauges_and_absent_figures(played: Played) -> None:
    figures = played.report("quiet", "background").figures

    assert figures is not None
    assert figures.in_flight_peak == 6.0, "3 on each of the two"
    assert (figures.queue_peak, figures.migrations) == (None, None)
    assert {"queue_peak", "migrations", "workers"} <= set(figures.absent)


def test_a_selector_that_is_not_promql_is_refused_in_one_line(played: Played) -> None:
    witness = ServerWitness(spec(played.prometheus.url, 'namespace="'))
    report = asyncio.run(witness.measure(played.times()))

    assert report.status == "inconclusive"
    assert report.reason.startswith("prometheus.selector: Prometheus at ")
    assert "refused the query: HTTP 400" in report.reason
    assert "\n" not in report.reason


def test_a_selector_that_matches_nothing(played: Played) -> None:
    report = asyncio.run(ServerWitness(spec(played.prometheus.url, 'job="x"')).measure(played.times()))

    assert "is the deployment scraped" in report.reason


def test_killed_prometheus_is_inconclusive(tmp_path: Path) -> None:
    with prometheus(tmp_path, [f"127.0.0.1:{free_port()}"]) as server:
        witness = ServerWitness(spec(server.url))
        assert asyncio.run(witness.up()) == (True, "")
        server.kill()
        up, reason = asyncio.run(witness.up())
        now = time.time_ns()
        report = asyncio.run(witness.measure(RunTimes(now - S, None, None, None, now, horizon_ended=True)))
    assert up is False
    assert "refused the connection: is it running?" in reason
    assert (report.status, report.reason) == ("inconclusive", reason)


# --- what only looks like a Prometheus ---------------------------------------------------------

HTML = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><body>Sign in</body></html>"
REFUSED = (
    "HTTP/1.1 422 Unprocessable Entity\r\nContent-Type: application/json\r\n\r\n"
    '{"status":"error","errorType":"execution","error":"query processing would load too many samples"}'
)
PROXY = "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<html>\n<h1>502\nBad Gateway</h1></html>"
BROKEN = "HTTP/1.1 500 Internal Server Error\r\n\r\n"
MOVED = "HTTP/1.1 302 Found\r\nLocation: https://me:hidden@login.example/sign-in?back=secret\r\n\r\n"
JSON = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
ANSWER = '{"status":"success","data":{"resultType":"matrix","result":[%s]}}'
NAME = "dynamo_frontend_requests_total"
NOW = 1_700_000_010


def answer(*series: str, more: str = "") -> str:
    """A whole answer of Prometheus."""
    body = ANSWER % ",".join(series)
    return JSON + (body[:-1] + more + "}" if more else body)


def one(values: str, labels: str = "") -> str:
    """One series of good requests."""
    return f'{{"metric":{{"__name__":"{NAME}","status":"success","job":"j","instance":"i"{labels}}},{values}}}'


def counting(*values: str, last: int = NOW) -> str:
    """A value a second up to the last."""
    begin = last - len(values) + 1
    samples = ",".join(f'[{begin + i},"{v}"]' for i, v in enumerate(values))
    return f'"values":[{samples}]'


FINE = [str(i) for i in range(10)]
TWICE = one(counting(*FINE))


@pytest.mark.parametrize(
    ("given", "reason", "kind"),
    [
        (HTML, "did not answer as a Prometheus does", Trouble.NOT_PROMETHEUS),
        (REFUSED, "refused the query: HTTP 422: query processing would load too many samples", Trouble.BAD_QUERY),
        (PROXY, "refused the query: HTTP 502: 502 Bad Gateway", Trouble.HTTP_ERROR),
        (BROKEN, "refused the query: HTTP 500: ", Trouble.HTTP_ERROR),
        (MOVED, "redirects to https://login.example/sign-in: give the address", Trouble.REDIRECT),
        (JSON + '{"status":"success"}', "did not answer as a Prometheus does", Trouble.NOT_PROMETHEUS),
        (JSON + '{"status":"success","data":{"result":"soon"}}', "not a list of series", Trouble.BAD_SAMPLES),
        (JSON + '{"status":"succ', "did not answer as a Prometheus does", Trouble.NOT_PROMETHEUS),
        (answer(TWICE)[:-40], "did not answer as a Prometheus does", Trouble.NOT_PROMETHEUS),
        (JSON + "[]", "did not answer as a Prometheus does", Trouble.NOT_PROMETHEUS),
        (JSON + '{"status":"success","data":{"result":[1,2]}}', "not a range of samples", Trouble.BAD_SAMPLES),
        (answer('{"metric":{},"value":[1,"2"]}'), "not a range of samples", Trouble.BAD_SAMPLES),
        (answer('{"metric":{},"values":[[1,"many"]]}'), "not a range of samples", Trouble.BAD_SAMPLES),
        (answer(one('"values":[[1e400,"1"]]')), "not a range of samples", Trouble.BAD_SAMPLES),
        (answer(one('"values":[[1e30,"1"]]')), "samples of other times than asked for", Trouble.BAD_SAMPLES),
        (answer(one(counting(*FINE, last=NOW - 3600))), "samples of other times than asked for", Trouble.BAD_SAMPLES),
        (answer(one(f'"values":[[{NOW},"1"],[{NOW},"2"]]')), "samples of other times", Trouble.BAD_SAMPLES),
        (answer(TWICE, TWICE), "gave one series twice", Trouble.BAD_SAMPLES),
        (answer(TWICE, more=',"warnings":["store b: gone"]'), "gave a part only: store b: gone", Trouble.PARTIAL),
        (answer(), f"no samples of {NAME}", None),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{", "cannot be asked", Trouble.UNREACHABLE),
        ("", "cannot be asked", Trouble.UNREACHABLE),
    ],
)
def test_nonsense_is_inconclusive_in_one_line(given: str, reason: str, kind: Trouble | None) -> None:
    report, troubles = asyncio.run(_asked(given.encode()))

    assert (report.status, report.verdict) == ("inconclusive", Verdict.INCONCLUSIVE)
    assert reason in report.reason
    assert "\n" not in report.reason
    assert "hidden" not in report.reason
    assert (report.requests, report.failed_requests, report.error_window_seconds) == (None, None, None)
    assert troubles == ([kind] if kind else [])


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e308"])
def test_a_value_that_is_no_number_is_unknown_and_not_a_restart(value: str) -> None:
    """A series that is gone for a scrape began again at 0; one whose value is not known did not."""
    counts = [str(10 * i + 900) for i in range(31)]
    counts[28] = value
    report, troubles = asyncio.run(_asked(answer(one(counting(*counts))).encode()))

    assert (report.status, report.verdict) == ("inconclusive", Verdict.INCONCLUSIVE)
    assert "1 counts of i are not numbers" in report.reason
    assert "began again" not in report.reason
    assert report.requests == 50
    assert set(troubles) == {Trouble.NOT_A_NUMBER}


def test_nothing_but_values_that_are_no_numbers() -> None:
    report, _ = asyncio.run(_asked(answer(one(counting(*["NaN"] * 31))).encode()))
    assert (report.status, report.verdict) == ("inconclusive", Verdict.INCONCLUSIVE)
    assert report.baseline_requests in {None, 0}


def test_half_of_the_targets_end_early() -> None:
    """An answer in which one target lacks its last samples is a hole, not a quiet server."""
    counts = [str(10 * i) for i in range(31)]
    parts = one(counting(*counts)), one(counting(*counts[:20], last=NOW - 11)).replace('"i"', '"half"')
    report, _ = asyncio.run(_asked(answer(*parts).encode()))
    assert (report.status, report.verdict) == ("inconclusive", Verdict.INCONCLUSIVE)
    assert "half was not scraped for" in report.reason


@pytest.mark.parametrize("drip", [False, True])
def test_a_slow_prometheus_is_given_up_in_time(drip: bool) -> None:
    """Also one that sends a byte now and then, which no socket timeout ends."""
    report, troubles = asyncio.run(_asked(JSON.encode(), drip=drip, hang=True, patience=0.5))

    assert troubles == [Trouble.TIMEOUT]
    assert report.status == "inconclusive"
    assert "did not answer within 0.5 s" in report.reason


def test_a_body_that_stops_coming_is_a_timeout_whoever_notices_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the socket's timeout comes before our own, in other words."""
    monkeypatch.setattr("monitor.measure.prometheus.asyncio.wait_for", lambda future, _seconds: future)
    report, troubles = asyncio.run(_asked(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", hang=True, patience=0.3))
    assert troubles == [Trouble.TIMEOUT]
    assert "did not answer within 0.3 s" in report.reason


async def _asked(
    answer: bytes, *, hang: bool = False, drip: bool = False, patience: float = 5.0
) -> tuple[WitnessReport, list[Trouble]]:
    troubles: list[Trouble] = []
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        while hang and not done.is_set():
            if drip:
                writer.write(b" ")
            await asyncio.sleep(0.05)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        where = spec(f"http://user:secret@127.0.0.1:{port}", timeout=patience)
        witness = ServerWitness(where, on_trouble=troubles.append)
        now = NOW * S
        report = await witness.measure(RunTimes(now - 5 * S, None, None, None, now, horizon_ended=True))
        assert "secret" not in report.reason
        return report, troubles
    finally:
        done.set()
        server.close()
