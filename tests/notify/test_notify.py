"""Who is told of which run, in whose words, and what a receiver that is slow, gone or angry costs."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from monitor.config.notify import NotifySpec
from monitor.model import ObjectiveResult, Phase, Run, Verdict, WitnessReport
from monitor.notify.message import BODIES, wanted
from monitor.notify.notifier import QUEUE, Notifier
from tests.support.load import until

T0 = 1_700_000_000_000_000_000


def run(verdict: Verdict = Verdict.NOT_RECOVERED, *, number: int = 1, **more: Any) -> Run:
    fields: dict[str, Any] = {
        "id": f"r{number}",
        "fault_name": "worker",
        "fault": {"kind": "process_kill"},
        "deployment": "prod",
        "requested_by": "cli",
        "seed": 1,
        "phase": Phase.FINISHED,
        "t_requested": T0,
        "t_finished": T0,
        "verdict": verdict,
        "witnesses": (WitnessReport(witness="client", status="ok", requests=90, failed_requests=7),),
    }
    return Run(**(fields | more))


MISSED = {"objective_results": (ObjectiveResult(objective="recovery_seconds", limit=5, value=9, met=False),)}


@pytest.mark.parametrize(
    ("ended", "trouble", "all_of_them"),
    [
        (run(Verdict.RECOVERED), False, True),
        (run(Verdict.NO_IMPACT), False, True),
        (run(Verdict.RECOVERED, **MISSED), True, True),
        (run(Verdict.NOT_RECOVERED), True, True),
        (run(Verdict.NOT_INJECTED), True, True),
        (run(Verdict.INCONCLUSIVE), True, True),
        (run(Verdict.REVERT_FAILED), True, True),
        (run(Verdict.SKIPPED), False, False),
    ],
)
def test_who_wants_to_know(*, ended: Run, trouble: bool, all_of_them: bool) -> None:
    assert (wanted(ended, "trouble"), wanted(ended, "all")) == (trouble, all_of_them)


def test_each_kind_says_it_in_its_own_words() -> None:
    ended = run(reason="pod <b>x</b> & co", **MISSED)
    ours = BODIES["webhook"](ended)
    assert (ours["verdict"], ours["failed_requests"], ours["level"]) == ("not_recovered", 7, "trouble")
    assert ours["api_path"] == "/api/v1/runs/r1"
    text = BODIES["slack"](ended)["text"]
    assert "prod: worker not_recovered, missed recovery_seconds" in text
    assert "pod &lt;b&gt;x&lt;/b&gt; &amp; co" in text
    [alert] = BODIES["alertmanager"](ended)
    assert alert["labels"] == {
        "alertname": "AftershockRun",
        "deployment": "prod",
        "fault": "worker",
        "verdict": "not_recovered",
        "severity": "ticket",
    }
    assert alert["annotations"]["description"] == "pod <b>x</b> & co"
    assert alert["endsAt"] > alert["startsAt"]
    [fine] = BODIES["alertmanager"](run(Verdict.RECOVERED))
    assert fine["labels"]["severity"] == "info", "nobody is woken by good news"
    for body in BODIES.values():
        json.dumps(body(ended))


@dataclass
class Place:
    """A receiver that answers with the given statuses, then 200."""

    statuses: list[int] = field(default_factory=list)
    headers: str = ""
    hang: bool = False
    got: list[tuple[str, str, Any]] = field(default_factory=list)
    port: int = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            named = {k.lower(): v for k, _, v in (line.partition(": ") for line in head.split("\r\n")[1:])}
            body = await reader.readexactly(int(named["content-length"]))
            self.got.append((head.split()[1], named.get("authorization", ""), json.loads(body)))
            if self.hang:
                await asyncio.sleep(60)
            status = self.statuses.pop(0) if self.statuses else 200
            writer.write(
                f"HTTP/1.1 {status} X\r\n{self.headers}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def there(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{self.port}"
        finally:
            server.close()


def notifier(address: str, counted: Counter[tuple[str, str]], **more: Any) -> Notifier:
    given = {"name": "team", "kind": "webhook", "url": address} | more
    env = {"WHERE": address, "TOKEN": "secret-1"}
    return Notifier(
        [NotifySpec(**given)], lambda name, result: counted.update([(name, result)]), env=env, pauses=(0.01, 0.02)
    )


async def told(place: Place, runs: list[Run], expect: int, **more: Any) -> Counter[tuple[str, str]]:
    counted: Counter[tuple[str, str]] = Counter()
    async with place.there() as url:
        made = notifier(url, counted, **more)
        made.start()
        for one in runs:
            made.finished(one)
        await until(lambda: counted.total() >= expect, "all are counted", seconds=20)
        await made.stop()
    return counted


def test_it_arrives_with_the_token_and_at_the_right_path() -> None:
    place = Place()
    counted = asyncio.run(told(place, [run(), run(Verdict.RECOVERED)], 1, token_env="TOKEN"))  # noqa: S106 - a variable's name
    [(path, authorization, body)] = place.got
    assert (path, authorization, body["run"]) == ("/", "Bearer secret-1", "r1")
    assert counted == {("team", "sent"): 1}, "a good run is no trouble"

    alertmanager = Place()
    asyncio.run(told(alertmanager, [run()], 1, kind="alertmanager", url=None, url_env="WHERE"))
    assert alertmanager.got[0][0] == "/api/v2/alerts"


@pytest.mark.parametrize(
    ("statuses", "result", "tries"),
    [([503, 429], "sent", 3), ([500, 500, 500], "given_up", 3), ([403], "refused", 1), ([302], "refused", 1)],
)
def test_trouble_is_tried_again_and_refusal_is_not(statuses: list[int], result: str, tries: int) -> None:
    place = Place(statuses=statuses)
    counted = asyncio.run(told(place, [run()], 1))
    assert (counted, len(place.got)) == ({("team", result): 1}, tries)


def test_nobody_there_is_given_up_and_the_next_one_still_goes(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> Counter[tuple[str, str]]:
        place, counted = Place(), Counter[tuple[str, str]]()
        async with place.there() as url:
            pass
        made = notifier(url, counted, url=None, url_env="WHERE")
        made.start()
        made.finished(run())
        await until(lambda: counted["team", "given_up"], "it is given up", seconds=20)
        async with place.there():
            made.finished(run(number=2))
            await until(lambda: counted["team", "sent"], "the next one arrives", seconds=20)
        await made.stop()
        assert str(place.port) not in caplog.text, "an address may be a secret"
        return counted

    assert asyncio.run(scenario()) == {("team", "given_up"): 1, ("team", "sent"): 1}
    assert "notify team: run r1 was given up" in caplog.text


def test_a_receiver_that_hangs_keeps_neither_runs_nor_the_end_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.notify.notifier.FLUSH_SECONDS", 0.1)
    place = Place(hang=True)

    async def scenario() -> Counter[tuple[str, str]]:
        counted: Counter[tuple[str, str]] = Counter()
        async with place.there() as url:
            made = notifier(url, counted)
            made.start()
            made.finished(run())
            await until(lambda: place.got, "the first is on its way", seconds=20)
            for number in range(QUEUE + 3):
                made.finished(run(number=number))
            assert counted == {("team", "dropped"): 3}, "the oldest go"
            await asyncio.wait_for(made.stop(), 20)
        return counted

    assert asyncio.run(scenario()) == {("team", "dropped"): QUEUE + 4}


def test_retry_after_is_heeded_and_bounded() -> None:
    place = Place(statuses=[429], headers="Retry-After: 1\r\n")
    assert asyncio.run(told(place, [run()], 1)) == {("team", "sent"): 1}
    odd = Place(statuses=[429], headers="Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n")
    assert asyncio.run(told(odd, [run()], 1)) == {("team", "sent"): 1}


@pytest.mark.parametrize("given", [{}, {"url": "http://x", "url_env": "WHERE"}])
def test_exactly_one_address(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="needs an address"):
        NotifySpec.model_validate({"name": "team", "kind": "slack"} | given)
