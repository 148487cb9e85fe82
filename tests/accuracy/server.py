"""The scripted server with its outages: it strikes as told and knows whom it harmed."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from tests.accuracy.plan import EVERY, GOOD, WOBBLE_SECONDS, Kind, Outage, Pattern, phase_seconds
from tests.accuracy.spans import SpanSender
from tests.support.scripted_server import Behaviour, Mode, ScriptedServer, Served


@dataclass(slots=True)
class Met:
    """What one request met on the server. Instants are time.monotonic_ns()."""

    at_ns: int
    outage: int | None = None
    """The outage that harmed it, if one did."""
    whole: bool = False
    traced: bool = False
    """It left spans."""


@dataclass(slots=True)
class Struck:
    """An outage as it really was: stretches (begin, end) in which it acted, monotonic nanoseconds."""

    outage: Outage
    inject_ns: int
    acted: list[tuple[int, int]] = field(default_factory=list)
    counted_errors_ns: list[int] = field(default_factory=list)
    """When the server's own error counter rose."""

    @property
    def begin_ns(self) -> int:
        return self.acted[0][0]

    @property
    def end_ns(self) -> int:
        return self.acted[-1][1]


class TruthServer(ScriptedServer):
    """See the module. `log` gets a JSON line for each thing that the server knows of, as Dynamo's frontend writes them."""

    def __init__(self, log: Path, spans: SpanSender | None = None) -> None:
        super().__init__()
        self._spans = spans
        self.behaviour = GOOD
        self.met: dict[str, Met] = {}
        self.struck: list[Struck] = []
        self.completed = 0
        self.errors: dict[str, int] = {}
        self._path = log
        self._log: TextIO | None = None
        self._acting: Struck | None = None
        self._kind: Kind | None = None
        self._arrived: Counter[str] = Counter()
        self._open: set[str] = set()
        self._last_harmed_ns: int | None = None

    async def listen(self) -> None:
        await super().listen()
        self._say("listening")

    def close_log(self) -> None:
        """Flush and let go of the log."""
        if self._log is not None:
            self._log.close()
            self._log = None

    async def strike(self, outage: Outage, rate: float) -> Struck:
        """One whole outage; returns when it is over."""
        struck = Struck(outage, time.monotonic_ns())
        self.struck.append(struck)
        await asyncio.sleep(outage.lead_seconds)
        phase = phase_seconds(rate)
        flaps = outage.kind.pattern is Pattern.FLAP and outage.seconds >= phase
        phases = round(outage.seconds / phase) if flaps else 1
        for number in range(0, phases, 2):
            if number:
                await asyncio.sleep(phase)
            begin = await self._begin(struck)
            await self._act(phase if flaps else outage.seconds)
            struck.acted.append((begin, await self._finish(struck)))
        return struck

    async def _act(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def wobble(self, *, on: bool) -> int:
        """Every answer comes 0.3 s later: no harm. Returns the instant of the change."""
        slower = Behaviour(Mode.SLOW_FIRST, delay_seconds=WOBBLE_SECONDS, token_seconds=GOOD.token_seconds)
        self.behaviour = slower if on else GOOD
        return time.monotonic_ns()

    async def _begin(self, struck: Struck) -> int:
        kind = struck.outage.kind
        self._acting, self._kind, self._arrived, self._last_harmed_ns = struck, kind, Counter(), None
        if kind.cuts:
            for met in (self.met[key] for key in self._open):
                met.outage = struck.outage.number if met.outage is None else met.outage
        begin = time.monotonic_ns()
        if kind.refuses:
            await self.refuse()
        if kind.cuts:
            self.drop_all()
        return begin

    async def _finish(self, struck: Struck) -> int:
        """A fault that fails every n-th request acted last when its last victim came."""
        kind = struck.outage.kind
        self._acting = self._kind = None
        if kind.refuses:
            await self.listen()
        end = time.monotonic_ns()
        return self._last_harmed_ns or end if kind.pattern is Pattern.NTH else end

    def _behave(self, headers: dict[str, str]) -> Behaviour:
        if self._kind is None:
            return self.behaviour
        # Counted for each client by itself: what a plain aiperf beside the probe meets is not for the probe to see.
        client = "probe" if "traceparent" in headers else "other"
        self._arrived[client] += 1
        spared = self._kind.pattern is Pattern.NTH and self._arrived[client] % EVERY != 1
        return self.behaviour if spared else self._kind.behaviour

    def _began(self, served: Served) -> None:
        met = self.met[served.request_id] = Met(served.begin_ns)
        # Refused connections never come this far; one that was accepted just before is cut by the strike.
        if self._acting is not None and self._kind is not None and served.mode is not Mode.GOOD:
            met.outage = self._acting.outage.number
            self._last_harmed_ns = met.at_ns
        self._open.add(served.request_id)

    def _ended(self, served: Served) -> None:
        met = self.met[served.request_id]
        met.whole = served.whole
        met.traced = self._spans is not None and self._spans.ended(served)
        self._open.discard(served.request_id)
        error = _as_dynamo_counts(served)
        if error is None:
            return  # a server that dies or is cut off writes and counts nothing
        self.completed += 1
        self.errors[error] = self.errors.get(error, 0) + 1
        if error:
            struck = next((s for s in reversed(self.struck) if s.outage.number == met.outage), None)
            if struck is not None:
                struck.counted_errors_ns.append(time.monotonic_ns())
        self._say("request completed" if not error else f"request failed: {error}", request_id=served.request_id)

    def _page(self, path: str) -> str:
        if path != "/metrics":
            return super()._page(path)
        lines = ["# TYPE dynamo_frontend_requests_total counter"]
        for error, count in self.errors.items():
            status = "error" if error else "success"
            labels = f'model="{self.model}",request_type="stream",status="{status}",error_type="{error}"'
            lines.append(f"dynamo_frontend_requests_total{{{labels}}} {count}")
        return "\n".join(lines) + "\n"

    def _say(self, message: str, **more: str) -> None:
        if self._log is None:
            self._log = self._path.open("a", encoding="utf-8", buffering=1)
        line = {"time": datetime.now(UTC).isoformat(), "monotonic_ns": time.monotonic_ns(), "message": message, **more}
        self._log.write(json.dumps(line) + "\n")


def _as_dynamo_counts(served: Served) -> str | None:
    """The error label that Dynamo 1.4.2's frontend would count ("" is a success); None where it counts nothing.

    A 503 "not ready" is not in requests_total; a stream that merely lacks its end is a success to who sent it.
    """
    if served.mode in {Mode.RESET_BEFORE, Mode.RESET_MID}:
        return None
    if served.mode is Mode.HTTP_STATUS:
        return {500: "internal", 529: "overload"}.get(served.status or 0)
    if served.mode is Mode.ERROR_FRAME:
        return "internal"
    if served.mode is Mode.HANG:
        return "cancelled"
    if served.mode in {Mode.NO_DONE, Mode.NO_FINISH}:
        return ""
    return "" if served.whole else None
