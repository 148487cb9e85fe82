"""Real aiperf against a server that misbehaves in every way that we know: each way ends in its own class.

One aiperf process serves all streaming modes and one all unary modes; each mode is a test of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from monitor.clock import SystemClock
from probes.command import SegmentPaths, arguments, environment
from probes.record import FAILURES, ErrorClass, Outcome, Record
from probes.spec import EndpointSpec, ProbeSpec, SlowLimits
from probes.tokenizer import write_tokenizer
from tests.support.load import Load, until
from tests.support.scripted_server import Mode, ScriptedServer, Served

REFUSED = "refused"
TIMEOUT_SECONDS = 1.5
SLOW_SECONDS = 0.8
ENOUGH = 3

T, F, S, G = Outcome.TRUNCATED, Outcome.FAILED, Outcome.SLOW, Outcome.GOOD
E = ErrorClass

STREAMING: dict[str, tuple[Outcome, ErrorClass]] = {
    REFUSED: (F, E.CONNECTION_REFUSED),
    Mode.GOOD: (G, E.NONE),
    Mode.HTTP_STATUS: (F, E.HTTP_503),
    Mode.CLOSE_BEFORE: (F, E.SERVER_DISCONNECTED),
    Mode.RESET_BEFORE: (F, E.CONNECTION_RESET),
    Mode.RESET_MID: (T, E.STREAM_CUT),
    Mode.CUT_MID: (T, E.STREAM_CUT),
    Mode.ERROR_FRAME: (T, E.STREAM_ERROR),
    Mode.ERROR_FRAME_FIRST: (F, E.STREAM_ERROR),
    Mode.ERROR_EVENT: (T, E.STREAM_ERROR),
    Mode.ERROR_BODY: (F, E.INVALID_RESPONSE),
    Mode.NO_DONE: (T, E.STREAM_NO_DONE),
    Mode.NO_FINISH: (T, E.STREAM_NO_FINISH),
    Mode.NO_USAGE: (T, E.STREAM_NO_USAGE),
    Mode.EMPTY: (F, E.STREAM_EMPTY),
    Mode.WRONG_LENGTH: (T, E.WRONG_LENGTH),
    Mode.HANG: (F, E.TIMEOUT),
    Mode.HANG_MID: (T, E.TIMEOUT),
    Mode.SLOW_FIRST: (S, E.SLOW_FIRST_TOKEN),
    Mode.SLOW_TOKENS: (S, E.SLOW_GAP),
}
UNARY: dict[str, tuple[Outcome, ErrorClass]] = {
    Mode.GOOD: (G, E.NONE),
    Mode.HTTP_STATUS: (F, E.HTTP_503),
    Mode.CUT_MID: (F, E.STREAM_CUT),
    Mode.ERROR_BODY: (F, E.INVALID_RESPONSE),
    Mode.NO_FINISH: (T, E.STREAM_NO_FINISH),
    Mode.EMPTY: (F, E.STREAM_EMPTY),
    Mode.WRONG_LENGTH: (T, E.WRONG_LENGTH),
    Mode.SLOW_FIRST: (S, E.SLOW_TOTAL),
}


@dataclass
class Exchanges:
    """Records by mode, each with the server's own word where the server heard of the request."""

    clock: SystemClock
    by_mode: dict[str, list[tuple[Record, Served | None]]] = field(default_factory=dict)
    overdue_before_end: bool = False


async def run_modes(load: Load, server: ScriptedServer, modes: list[str]) -> Exchanges:
    """Each mode until a few requests that met it are recorded."""
    result = Exchanges(load.clock)
    await load.probe.start()
    try:
        if REFUSED in modes:
            await until(lambda: len(load.records) >= ENOUGH, "records while the server is down from the start")
            result.by_mode[REFUSED] = [(r, None) for r in load.records]
            await server.listen()
        for mode in modes:
            if mode != REFUSED:
                result.by_mode[mode] = await _run_mode(load, server, Mode(mode), result)
    finally:
        await load.probe.stop()
    return result


async def _run_mode(
    load: Load, server: ScriptedServer, mode: Mode, result: Exchanges
) -> list[tuple[Record, Served | None]]:
    # A clean slate: no request of the mode before may still be under way.
    await until(lambda: not load.probe.state().in_flight, f"quiet before {mode}")
    server.set(mode, delay_seconds=SLOW_SECONDS)

    def met() -> list[tuple[Record, Served | None]]:
        recorded = load.by_id()
        return [(recorded[s.request_id], s) for s in server.requests if s.mode is mode and s.request_id in recorded]

    def seen() -> bool:
        if mode is Mode.HANG:
            result.overdue_before_end |= bool(load.probe.state().overdue) and not met()
        return len(met()) >= ENOUGH

    await until(seen, f"{ENOUGH} records of {mode}")
    server.set(Mode.GOOD)
    return met()


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchanges]:
    async def scenario() -> Exchanges:
        async with ScriptedServer() as server:
            await server.refuse()
            load = Load(
                server.url,
                tmp_path_factory.mktemp("streaming"),
                request_rate=20.0,
                output_tokens=8,
                request_timeout_seconds=TIMEOUT_SECONDS,
                overdue_seconds=0.5,
                slow=SlowLimits(first_token_seconds=SLOW_SECONDS / 2, gap_seconds=SLOW_SECONDS / 2),
            )
            return await run_modes(load, server, list(STREAMING))

    yield asyncio.run(scenario())


@pytest.fixture(scope="module")
def unary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchanges]:
    async def scenario() -> Exchanges:
        async with ScriptedServer() as server:
            load = Load(
                server.url,
                tmp_path_factory.mktemp("unary"),
                endpoint="completions",
                streaming=False,
                request_rate=20.0,
                output_tokens=8,
                request_timeout_seconds=TIMEOUT_SECONDS,
                slow=SlowLimits(total_seconds=SLOW_SECONDS / 2),
                headers={"X-Custom": "probe"},
            )
            return await run_modes(load, server, list(UNARY))

    yield asyncio.run(scenario())


@pytest.mark.parametrize("mode", STREAMING)
def test_streaming(streaming: Exchanges, mode: str) -> None:
    records = [r for r, _ in streaming.by_mode[mode]]
    assert {(r.outcome, r.error) for r in records} == {STREAMING[mode]}
    assert all(r.end_exact for r in records)


@pytest.mark.parametrize("mode", UNARY)
def test_unary(unary: Exchanges, mode: str) -> None:
    assert {(r.outcome, r.error) for r, _ in unary.by_mode[mode]} == {UNARY[mode]}


@pytest.mark.parametrize("mode", [Mode.HTTP_STATUS, Mode.RESET_MID, Mode.CUT_MID, Mode.ERROR_FRAME, Mode.SLOW_FIRST])
def test_a_request_starts_before_and_ends_after_what_the_server_did(streaming: Exchanges, mode: str) -> None:
    """aiperf's own export has an HTTP error end when it starts, and a cut stream end with its last chunk."""
    for record, served in streaming.by_mode[mode]:
        assert served is not None
        assert record.start_ns < streaming.clock.from_monotonic(served.begin_ns) < record.end_ns


@pytest.mark.parametrize("mode", [Mode.HANG, Mode.HANG_MID])
def test_a_hanging_request_ends_with_its_timeout_not_with_its_last_chunk(streaming: Exchanges, mode: str) -> None:
    for record, _ in streaming.by_mode[mode]:
        assert record.end_ns - record.start_ns >= (TIMEOUT_SECONDS - 0.05) * 1e9


def test_a_hanging_request_is_overdue_before_its_timeout(streaming: Exchanges) -> None:
    assert streaming.overdue_before_end


def test_figures_of_good_and_of_cut_answers(streaming: Exchanges) -> None:
    for record, served in streaming.by_mode[Mode.GOOD]:
        assert served is not None
        assert (record.input_tokens, record.output_tokens, record.expected_tokens) == (7, 8, 8)
        assert record.ttft_ns is not None
        assert record.inter_token_ns is not None
        assert 0 < record.ttft_ns < record.end_ns - record.start_ns
        assert served.headers["traceparent"].split("-")[1] == record.request_id.replace("-", "")
        assert served.body["ignore_eos"] is True
    for record, _ in streaming.by_mode[Mode.RESET_MID]:
        assert (record.output_tokens, record.status) == (3, 200)
    for record, _ in streaming.by_mode[Mode.SLOW_TOKENS]:
        assert record.max_gap_ns is not None
        assert record.max_gap_ns >= SLOW_SECONDS * 1e9
    assert {r.status for r, _ in streaming.by_mode[Mode.HTTP_STATUS]} == {503}


def test_headers_of_the_spec_are_sent(unary: Exchanges) -> None:
    assert {s.headers.get("x-custom") for _, s in unary.by_mode[Mode.GOOD] if s} == {"probe"}


# --- the trap -------------------------------------------------------------------------------------


def run_aiperf(server: ScriptedServer, folder: Path, endpoint_type: str, journal: str) -> list[dict[str, object]]:
    """aiperf by itself, 12 requests; its own export lines."""
    paths = SegmentPaths(folder)
    paths.temporary.mkdir(parents=True)
    tokenizer = str(write_tokenizer(folder / "tokenizer"))
    spec = ProbeSpec(name="plain", request_rate=20, output_tokens=8, request_timeout_seconds=2)
    endpoint = EndpointSpec(url=server.url, model="scripted")
    command = arguments(spec, endpoint, paths, tokenizer)
    command[command.index("--endpoint-type") + 1] = endpoint_type
    command[command.index("--benchmark-duration")] = "--request-count"
    command[command.index("--request-count") + 1] = "12"
    at = command.index("--benchmark-grace-period")
    del command[at : at + 2]
    env = environment(spec, endpoint, paths)
    env["AFTERSHOCK_PROBE"] = json.dumps({"journal": journal})
    subprocess.run(command, env=env, cwd=folder, check=False, capture_output=True, timeout=200)
    return [json.loads(line) for line in paths.export.read_text().splitlines()]


def run_against(mode: Mode, folder: Path, endpoint_type: str, journal: str) -> list[dict[str, object]]:
    async def scenario() -> list[dict[str, object]]:
        async with ScriptedServer() as server:
            server.set(mode)
            return await asyncio.to_thread(run_aiperf, server, folder, endpoint_type, journal)

    return asyncio.run(scenario())


def test_plain_aiperf_counts_cut_answers_as_successes(tmp_path: Path, streaming: Exchanges) -> None:
    """The trap that the strict endpoints exist for. When this fails, aiperf has learned to see it by itself."""
    lines = run_against(Mode.ERROR_FRAME, tmp_path, "chat", str(tmp_path / "journal"))
    plain = sum("error" not in line for line in lines)
    ours = sum(r.outcome not in FAILURES for r, _ in streaming.by_mode[Mode.ERROR_FRAME])
    assert (len(lines), plain, ours) == (12, 12, 0)
    assert not (tmp_path / "journal").exists()  # for other endpoints our transport does nothing


def test_a_journal_that_cannot_be_written_does_not_touch_the_load(tmp_path: Path) -> None:
    missing = os.fspath(tmp_path / "missing" / "journal")
    lines = run_against(Mode.GOOD, tmp_path, "aftershock_chat", missing)
    assert len(lines) == 12
    assert not any("error" in line for line in lines)


def test_the_plugins_are_found_by_aiperf() -> None:
    code = (
        "from aiperf.plugin import plugins; from aiperf.plugin.enums import PluginType as P;"
        "assert not plugins.get_service_metadata('worker').disable_gc;"
        "print(plugins.get_class(P.TRANSPORT, 'http').__name__, plugins.get_class(P.ENDPOINT, 'aftershock_chat').__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stdout.split() == ["JournalTransport", "StrictChatEndpoint"], done.stderr


def test_the_worker_collects_its_garbage_but_not_what_it_imported() -> None:
    """Without the freeze a full collection stops all requests for a fifth of a second, every ten seconds or so."""
    code = (
        "import gc; from types import SimpleNamespace as N; from probes.plugin import transport as t\n"
        "t.AioHttpTransport.__init__ = lambda self, model_endpoint: setattr(self, 'model_endpoint', model_endpoint)\n"
        "make = lambda kind: t.JournalTransport(N(endpoint=N(type=kind)))\n"
        "make('chat'); before = gc.get_freeze_count(); make('aftershock_chat')\n"
        "print(before == 0, gc.get_freeze_count() > 100_000, gc.isenabled())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True", "True"], done.stderr
