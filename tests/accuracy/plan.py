"""Which outages are run, on which lanes. Pure: the same seed gives the same plan.

A lane is one scripted server, one real probe and a list of outages with quiet gaps between them; lanes run side by side.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from monitor.config.settings import RunSpec
from probes.spec import ProbeSpec, SlowLimits
from tests.support.scripted_server import Behaviour, Mode

T = TypeVar("T")

JUDGE = RunSpec(baseline_seconds=5.0, hold_seconds=2.0, hold_requests=5)
"""Small, so that 200 outages fit into 20 minutes; everything else is as the service has it."""
QUIET_SECONDS = 5.5
"""From the end of an outage to the next injection at the earliest: the baseline, clean."""
LONGEST_LEAD_SECONDS = 0.02
"""The fault strikes up to so long after `t_inject`, the last instant before it could act: a signal takes its time too."""
REQUEST_TIMEOUT_SECONDS = 4.0
SLOW_SECONDS = 2.5
WOBBLE_SECONDS = 0.3
EVERY = 3
"""Of the kind that fails every n-th request."""
TOKENS = 6
GOOD = Behaviour(token_seconds=0.02)
"""An answer takes 0.12 s, so that requests are in flight when an outage strikes."""


class Pattern(StrEnum):
    """When an outage harms requests."""

    STEADY = "steady"
    NTH = "nth"
    FLAP = "flap"


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to break. `cuts`: what is in flight when it strikes is reset. `refuses`: the listener is closed."""

    name: str
    behaviour: Behaviour = GOOD
    pattern: Pattern = Pattern.STEADY
    cuts: bool = False
    refuses: bool = False

    @property
    def slow(self) -> bool:
        """It harms by slowness alone: answers arrive in full."""
        return self.behaviour.mode in {Mode.SLOW_FIRST, Mode.SLOW_TOKENS}


def _kind(name: str, mode: Mode, *, status: int = 503, pattern: Pattern = Pattern.STEADY, cuts: bool = False) -> Kind:
    behaviour = Behaviour(mode=mode, status=status, token_seconds=GOOD.token_seconds, delay_seconds=SLOW_SECONDS)
    return Kind(name, behaviour, pattern, cuts=cuts)


KINDS: tuple[Kind, ...] = (
    Kind("refused", cuts=True, refuses=True),
    _kind("reset before the answer", Mode.RESET_BEFORE),
    _kind("reset mid-stream", Mode.RESET_MID, cuts=True),
    _kind("HTTP 500", Mode.HTTP_STATUS, status=500),
    _kind("HTTP 503", Mode.HTTP_STATUS, status=503),
    _kind("HTTP 529", Mode.HTTP_STATUS, status=529),
    _kind("error frame in a 200", Mode.ERROR_FRAME),
    _kind("stream without [DONE]", Mode.NO_DONE),
    _kind("stream without finish", Mode.NO_FINISH),
    _kind("hang until timeout", Mode.HANG),
    _kind("slow first token", Mode.SLOW_FIRST),
    _kind("slow tokens", Mode.SLOW_TOKENS),
    _kind(f"every {EVERY}rd request", Mode.HTTP_STATUS, status=500, pattern=Pattern.NTH),
    _kind("flapping", Mode.HTTP_STATUS, status=503, pattern=Pattern.FLAP),
)
KIND: Mapping[str, Kind] = {k.name: k for k in KINDS}


@dataclass(frozen=True, slots=True)
class Outage:
    """One outage as planned; what really happened is measured on the server."""

    number: int
    kind: Kind
    seconds: float
    lead_seconds: float


@dataclass(frozen=True, slots=True)
class LanePlan:
    """What one lane does: outages in their order, then controls until the end."""

    name: str
    rate: float
    outages: tuple[Outage, ...] = ()
    plain: bool = False
    """A plain aiperf runs beside the probe, against the same server."""
    rotate_seconds: float = 3600.0

    @property
    def spec(self) -> ProbeSpec:
        return ProbeSpec(
            name=self.name,
            request_rate=self.rate,
            input_tokens=16,
            output_tokens=TOKENS,
            request_timeout_seconds=REQUEST_TIMEOUT_SECONDS,
            overdue_seconds=3.0,
            slow=SlowLimits(),
            rotate_seconds=self.rotate_seconds,
        )

    @property
    def seconds(self) -> float:
        """About how long its outages take."""
        return sum(o.seconds + LONGEST_LEAD_SECONDS + QUIET_SECONDS + 0.3 for o in self.outages)


@dataclass(frozen=True, slots=True)
class Plan:
    """All lanes and how long the load runs."""

    lanes: tuple[LanePlan, ...]
    load_seconds: float
    least_outages: int = 0
    least_controls: int = 0
    quick: bool = field(default=False)


STRATA: tuple[tuple[float, float], ...] = ((0.05, 0.2), (0.2, 0.8), (0.8, 3.0), (3.0, 10.0), (10.0, 60.0))
"""Lengths are log-uniform within each of these; every kind has one of each at every rate."""
ENDS = (0.05, 60.0)
"""The shortest and the longest are run at every rate."""


def full_plan(seed: int) -> Plan:
    """210 outages at three rates, then at least 500 controls: at most 20 minutes."""
    draw = random.Random(seed)  # noqa: S311 - a plan, not a secret
    slow = _outages(draw, 0, 2.0)
    medium = _outages(draw, 100, 10.0)
    fast = _outages(draw, 200, 50.0, long_kinds=5)
    lanes = (
        LanePlan("r50", 50.0, tuple(fast)),
        LanePlan("r10a", 10.0, tuple(medium[0::2]), plain=True),
        LanePlan("r10b", 10.0, tuple(medium[1::2]), rotate_seconds=240.0),
        LanePlan("r2a", 2.0, tuple(slow[0::2])),
        LanePlan("r2b", 2.0, tuple(slow[1::2])),
    )
    return Plan(lanes, load_seconds=1020.0, least_outages=200, least_controls=500)


def quick_plan(seed: int) -> Plan:
    """The same checks on one short outage of each kind and rate: at most 3 minutes."""
    draw = random.Random(seed)  # noqa: S311 - a plan, not a secret
    lanes = []
    for number, (name, rate) in enumerate((("r50", 50.0), ("r10a", 10.0), ("r2a", 2.0))):
        outages = [
            Outage(
                number * 100 + i,
                kind,
                _whole_phases(kind, _length(draw, 0.05, 2.0), rate),
                draw.uniform(0, LONGEST_LEAD_SECONDS),
            )
            for i, kind in enumerate(_shuffled(draw, KINDS))
        ]
        lanes.append(LanePlan(name, rate, tuple(outages), plain=name == "r10a"))
    return Plan(tuple(lanes), load_seconds=155.0, quick=True)


def _outages(draw: random.Random, first: int, rate: float, *, long_kinds: int = len(KINDS)) -> list[Outage]:
    """Every kind in every stratum; only some kinds in the longest one where `long_kinds` says so."""
    long = set(_shuffled(draw, range(len(KINDS)))[:long_kinds])
    wanted: list[tuple[Kind, float]] = []
    for position, kind in enumerate(KINDS):
        for low, high in STRATA:
            cut = high == STRATA[-1][1] and position not in long
            wanted.append((kind, _length(draw, STRATA[0][0], STRATA[2][1]) if cut else _length(draw, low, high)))
    lengths = [seconds for _, seconds in wanted]
    for end, at in zip(ENDS, (lengths.index(min(lengths)), lengths.index(max(lengths))), strict=True):
        wanted[at] = (wanted[at][0], end)
    return [
        Outage(first + i, kind, _whole_phases(kind, seconds, rate), draw.uniform(0, LONGEST_LEAD_SECONDS))
        for i, (kind, seconds) in enumerate(_shuffled(draw, wanted))
    ]


def phase_seconds(rate: float) -> float:
    """Length of one phase of a flapping outage: longer than a probe gap, so that a probe can see each."""
    return max(0.25, 1.5 / rate)


def _whole_phases(kind: Kind, seconds: float, rate: float) -> float:
    """A flapping outage begins and ends with an acting phase: an odd number of them. A shorter one is a single phase."""
    if kind.pattern is not Pattern.FLAP:
        return seconds
    phase = phase_seconds(rate)
    phases = int(seconds / phase)
    return seconds if phases < 1 else (phases - 1 + phases % 2) * phase


def _length(draw: random.Random, low: float, high: float) -> float:
    return math.exp(draw.uniform(math.log(low), math.log(high)))


def _shuffled(draw: random.Random, items: Sequence[T]) -> list[T]:
    return draw.sample(list(items), len(items))
