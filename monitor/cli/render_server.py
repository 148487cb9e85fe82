"""What was whole again when, and what the server's metrics say beside errors, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitor.cli.figures import NOTHING, number, offset, percent, seconds, words
from monitor.cli.render import heading, pairs
from monitor.model import Run, ServerFigures, WorkerEvent

_WHAT = {
    "down": "could not be scraped",
    "not_scraped": "was not scraped any more",
    "vanished": "is gone, its address is scraped",
    "appeared": "is new",
    "restarted": "counts from 0 again",
}


def recovery_rows(run: Run) -> Iterator[tuple[str, str]]:
    """Replacement, Ready, first success and baseline apart; nothing when none of them is known."""
    found, client = run.recovery, run.witness("client")
    if found is None or not found.model_dump(exclude_none=True):
        return
    sharp = client.resolution.at_recovery_seconds if client is not None else None
    yield "replaced", seconds(found.replaced_seconds)
    yield "ready", seconds(found.ready_seconds)
    yield "first success", seconds(found.first_success_seconds)
    at_least = client is not None and client.censored
    baseline = client.recovery_from_effect_seconds if client is not None and at_least else found.baseline_seconds
    yield "baseline", seconds(baseline, resolution=sharp, at_least=at_least)


def show_server(run: Run) -> None:
    """Print the server witness's figures beside errors, if it has any."""
    report = run.witness("server")
    if report is None or report.figures is None:
        return
    heading("Server, beside errors")
    pairs((name, text) for name, text in _rows(report.figures) if text != NOTHING)
    pairs(_event(one, run.t_inject) for one in report.figures.worker_events)


def _rows(found: ServerFigures) -> Iterator[tuple[str, str]]:
    yield "migrations", _split(found.migrations, found.migrations_by)
    yield "cancellations", number(found.cancellations)
    yield "rejections", _split(found.rejections, found.rejections_by)
    yield "preemptions", number(found.preemptions)
    yield "waiting, at most", number(found.queue_peak)
    yield "in flight, at most", number(found.in_flight_peak)
    yield "KV cache use, at most", percent(found.kv_cache_peak)
    if found.tokens_per_second_before is not None or found.tokens_per_second_during is not None:
        yield (
            "tokens per second",
            f"{_rounded(found.tokens_per_second_before)} before, {_rounded(found.tokens_per_second_during)} during",
        )
    if found.workers_before is not None or found.workers_after is not None:
        yield "workers", f"{number(found.workers_before)} before, {number(found.workers_after)} after"
    yield "no series of", words(found.absent)


def _split(total: int | None, parts: Mapping[str, int]) -> str:
    told = f" ({words(f'{name} {count}' for name, count in parts.items())})" if parts else ""
    return NOTHING if total is None else f"{total}{told}"


def _rounded(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _event(one: WorkerEvent, origin_ns: int | None) -> tuple[str, str]:
    who = words([one.instance, one.worker_id]).replace(",", "")
    until = ""
    if one.what in {"down", "not_scraped"}:
        until = f" until {offset(one.until_ns, origin_ns)}" if one.until_ns is not None else ", to the end"
    return f"{offset(one.at_ns, origin_ns)}:", f"{who} {_WHAT[one.what]}{until}"
