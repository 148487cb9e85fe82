"""The server that the proof stands on: it harms whom it says, and says whom it harms."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.accuracy.beside import Poll, poll_health, read_log
from tests.accuracy.plan import GOOD, KINDS, TOKENS, Kind, Outage, Pattern, phase_seconds
from tests.accuracy.server import Struck, TruthServer
from tests.support.load import until
from tests.support.scripted_server import Behaviour, Mode

OUTAGE_SECONDS = 0.3
PATIENCE_SECONDS = 0.5
LONG_ANSWER = Behaviour(token_seconds=0.1)


@dataclass
class Told:
    """What a client saw of a request, by its id."""

    whole: dict[str, bool] = field(default_factory=dict)


async def ask(server: TruthServer, key: str, told: Told) -> None:
    """A request that gives up after half a second of silence."""
    body = {"model": "scripted", "stream": True, "max_tokens": TOKENS, "stream_options": {"include_usage": True}}
    headers = {"X-Request-ID": key, "Connection": "close"}
    told.whole[key] = False
    try:
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False) as client:
            answer = await client.post(f"{server.url}/v1/chat/completions", json=body, headers=headers)
    except httpx.TransportError:
        return
    text = answer.text
    told.whole[key] = (
        answer.status_code == 200 and "[DONE]" in text and '"finish_reason": "length"' in text and "error" not in text
    )


class Patient(TruthServer):
    """Its outages last until they are told to end: a busy machine must not decide whom they meet."""

    def __init__(self, log: Path) -> None:
        super().__init__(log)
        self.enough = asyncio.Event()

    async def _act(self, seconds: float) -> None:
        await asyncio.wait_for(self.enough.wait(), 60)


async def one_outage(kind: Kind, folder: Path) -> tuple[TruthServer, Struck, Told]:
    """A request in flight when it strikes, three while it acts, one after it."""
    told = Told()
    async with Patient(folder / "log") as server:
        server.behaviour = LONG_ANSWER
        before = asyncio.create_task(ask(server, "before", told))
        while "before" not in server.met:
            await asyncio.sleep(0.01)
        server.behaviour = GOOD
        strike = asyncio.create_task(server.strike(Outage(3, kind, OUTAGE_SECONDS, 0.05), rate=10.0))
        while not (server.struck and server._acting):
            await asyncio.sleep(0.005)
        await asyncio.gather(*(ask(server, f"during{i}", told) for i in range(3)))
        server.enough.set()
        struck = await strike
        await asyncio.gather(before, ask(server, "after", told))
        await asyncio.sleep(0.05)
    server.close_log()
    return server, struck, told


@pytest.mark.parametrize("kind", KINDS, ids=[k.name for k in KINDS])
def test_it_harms_whom_it_says(kind: Kind, tmp_path: Path) -> None:
    server, struck, told = asyncio.run(one_outage(kind, tmp_path))
    during = [f"during{i}" for i in range(3)]
    harmed = {key for key, met in server.met.items() if met.outage == 3}
    harmed |= {key for key in during if key not in server.met}

    expected = set(during[:1] if kind.pattern is Pattern.NTH else during)
    assert harmed == expected | ({"before"} if kind.cuts else set())
    assert {key for key, met in server.met.items() if not met.whole} == harmed & set(server.met)
    if kind.slow:
        assert not any(told.whole[key] for key in harmed), "the client did not wait for it"
    else:
        assert {key for key, whole in told.whole.items() if not whole} == harmed
    assert told.whole["after"]
    assert struck.inject_ns + 40_000_000 <= struck.begin_ns < struck.end_ns
    assert ("before" in server.met, "during0" in server.met) == (True, not kind.refuses)


def test_a_patient_client_gets_slow_answers_in_whole(tmp_path: Path) -> None:
    async def scenario() -> TruthServer:
        async with TruthServer(tmp_path / "log") as server:
            server.behaviour = Behaviour(Mode.SLOW_FIRST, delay_seconds=0.1)
            await ask(server, "x", told)
            await asyncio.sleep(0.01)
            server.close_log()
            return server

    told = Told()
    server = asyncio.run(scenario())
    assert told.whole["x"]
    assert server.met["x"].whole
    assert server.met["x"].outage is None


def test_flapping_is_on_and_off_and_on(tmp_path: Path) -> None:
    async def scenario() -> Struck:
        async with TruthServer(tmp_path / "log") as server:
            kind = next(k for k in KINDS if k.pattern is Pattern.FLAP)
            struck = await server.strike(Outage(1, kind, 3 * phase_seconds(50.0), 0.0), rate=50.0)
            server.close_log()
            return struck

    struck = asyncio.run(scenario())
    (first, second) = struck.acted
    assert first[1] - first[0] == pytest.approx(0.25e9, rel=0.5)
    assert second[0] - first[1] == pytest.approx(0.25e9, rel=0.5)
    assert (struck.begin_ns, struck.end_ns) == (first[0], second[1])


def test_metrics_log_and_health(tmp_path: Path) -> None:
    async def scenario() -> str:
        told = Told()
        async with TruthServer(tmp_path / "log") as server:
            polling = asyncio.create_task(poll_health(server.port, polls))
            await ask(server, "a", told)
            server.behaviour = Behaviour(Mode.HTTP_STATUS, status=500)
            await ask(server, "b", told)
            server.behaviour = Behaviour(Mode.HTTP_STATUS, status=503)
            await ask(server, "c", told)
            async with httpx.AsyncClient(trust_env=False) as client:
                page = (await client.get(f"{server.url}/metrics")).text
            await server.refuse()
            server.drop_all()
            while len(polls) < 2:
                await asyncio.sleep(0.02)
            polling.cancel()
            server.close_log()
            return page

    polls: list[Poll] = []
    page = asyncio.run(scenario())
    assert 'status="success",error_type=""} 1' in page
    assert 'status="error",error_type="internal"} 1' in page
    assert page.count("} ") == 2, "Dynamo does not count a 503 that says not ready"
    assert [p.ready for p in polls] == [True, False]
    lines = read_log(tmp_path / "log")
    assert lines == sorted(lines)
    texts = [json.loads(line)["message"] for line in (tmp_path / "log").read_text().splitlines()]
    assert texts == ["listening", "request completed", "request failed: internal"]


def test_every_nth_request_is_counted_for_each_client(tmp_path: Path) -> None:
    async def scenario() -> list[bool]:
        kind = next(k for k in KINDS if k.pattern is Pattern.NTH)
        async with TruthServer(tmp_path / "log") as server, httpx.AsyncClient(trust_env=False) as client:
            striking = asyncio.create_task(server.strike(Outage(1, kind, 5.0, 0.0), rate=50.0))
            await until(lambda: server._kind is not None, "the outage acts")
            codes = []
            for headers in ({}, {"traceparent": "00-0-0-01"}, {}, {}, {"traceparent": "00-0-0-01"}, {}):
                answer = await client.post(f"{server.url}/v1/chat/completions", json={"max_tokens": 1}, headers=headers)
                codes.append(answer.status_code == 500)
            striking.cancel()
            await asyncio.gather(striking, return_exceptions=True)
            server.close_log()
            return codes

    assert asyncio.run(scenario()) == [True, True, False, False, False, True]
