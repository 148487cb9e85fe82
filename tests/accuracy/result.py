"""The whole of a run: every target with its figure, what missed it, the JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from monitor.measure.controls import upper_bound
from monitor.model import Verdict
from tests.accuracy.controls import Control
from tests.accuracy.plan import Plan
from tests.accuracy.truth import Compared

SHARE_WANTED = 0.99


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the issue, and whether it was met."""

    what: str
    figure: str
    met: bool


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that was found out."""

    plan: Plan
    outages: tuple[Compared, ...]
    controls: tuple[Control, ...]
    strays: tuple[str, ...]
    """A line for each request that was called bad though no outage harmed it, or harmed though no outage acted."""
    alert_source: str
    machine: str

    @property
    def touched(self) -> list[Compared]:
        return [o for o in self.outages if o.touched]

    @property
    def untouched(self) -> list[Compared]:
        return [o for o in self.outages if not o.touched]


def targets(result: Result) -> list[Target]:
    """Met or not; those about the size of the run are asked only of a full one."""
    plan, touched, untouched = result.plan, result.touched, result.untouched
    equal = sum(o.counts_equal for o in result.outages)
    right = sum(o.verdict_right for o in touched)
    traced = sum(o.trace_right for o in result.outages)
    silent = sum(o.verdict_right and o.counted_failed == 0 and o.impact_error_seconds is None for o in untouched)
    conclusive = [c for c in result.controls if c.conclusive]
    false = sum(c.false_finding for c in result.controls)
    wobbled = sum(c.wobble for c in result.controls)
    bound = upper_bound(sum(c.false_finding for c in conclusive), len(conclusive))
    met = [
        _edges("impact", [o.edges_met()[0] for o in touched]),
        _edges("recovery", [o.edges_met()[1] for o in touched]),
        _edges("both edges", [all(o.edges_met()) for o in touched]),
        Target(
            "the same requests counted as failed and slow, id by id",
            f"{equal} of {len(result.outages)}",
            equal == len(result.outages),
        ),
        Target(
            "touched outages: recovered (inconclusive where the probe told of a gap)",
            f"{right} of {len(touched)}",
            right == len(touched),
        ),
        Target(
            "untouched outages: no_impact, and no figure", f"{silent} of {len(untouched)}", silent == len(untouched)
        ),
        Target(
            "the trace witness: failed requests with spans and without, and no harm called nothing",
            f"{traced} of {len(result.outages)}",
            traced == len(result.outages),
        ),
        Target(
            "requests called bad that no outage harmed",
            str(len(result.strays)),
            not result.strays,
        ),
        Target(
            "false findings in control runs",
            f"{false} of {len(result.controls)} ({wobbled} with a wobble, {len(result.controls) - len(conclusive)} inconclusive); "
            f"rate below {bound:.2%} with 95 % confidence",
            false == 0 and bool(result.controls),
        ),
    ]
    if not plan.quick:
        met.append(_enough("outages", len(result.outages), plan.least_outages))
        met.append(_enough("conclusive control runs", len(conclusive), plan.least_controls))
    return met


def _edges(what: str, good: Sequence[bool]) -> Target:
    share = sum(good) / len(good) if good else 0.0
    return Target(
        f"{what} within one probe gap + 50 ms, of touched outages",
        f"{sum(good)} of {len(good)} ({share:.1%})",
        share >= SHARE_WANTED,
    )


def _enough(what: str, number: int, least: int) -> Target:
    return Target(f"{what}, {least} wanted", str(number), number >= least)


def misses(result: Result) -> list[str]:
    """One line for each outage or control that is not as it should be."""
    lines = []
    for o in result.outages:
        wrong = []
        if o.touched and not all(o.edges_met()):
            wrong.append(
                "edges off by "
                + " and ".join(
                    "?" if e is None else f"{e:+.3f} s" for e in (o.impact_error_seconds, o.recovery_error_seconds)
                )
            )
        if not o.counts_equal:
            wrong.append(
                f"failed {o.true_failed} true, {o.counted_failed} counted; slow {o.true_slow} true, {o.counted_slow} counted"
            )
        if not o.verdict_right:
            wrong.append(f"verdict {o.verdict} ({o.reason})")
        if not o.trace_right:
            wrong.append(
                f"traces (failed with spans, without) {o.trace_true} true, {o.trace_counted} counted, {o.trace_verdict} ({o.trace_reason})"
            )
        if wrong:
            lines.append(
                f"outage {o.number} on {o.lane}, {o.kind}, {o.true_seconds:.3f} s, machine late by up to {o.late_seconds:.3f} s: "
                + "; ".join(wrong)
            )
    lines += [
        f"control on {c.lane}, {c.begin_ns / 1e9:.1f}: {c.report.reason}" for c in result.controls if c.false_finding
    ]
    lines += [
        f"control on {c.lane}, {c.begin_ns / 1e9:.1f}, inconclusive: {c.report.reason}"
        for c in result.controls
        if not c.conclusive and not c.false_finding
    ]
    return [*lines, *result.strays]


def as_json(result: Result) -> dict[str, Any]:
    """Every outage and control, one object each."""
    conclusive = [c for c in result.controls if c.conclusive]
    false = sum(c.false_finding for c in conclusive)
    return {
        "quick": result.plan.quick,
        "targets": [asdict(t) for t in targets(result)],
        "outages": [
            {
                **asdict(o),
                "touched": o.touched,
                "edge_errors_in_gaps": o.edge_errors(),
                "edges_met": o.edges_met(),
                "counts_equal": o.counts_equal,
            }
            for o in result.outages
        ],
        "controls": {
            "runs": len(result.controls),
            "with_wobble": sum(c.wobble for c in result.controls),
            "inconclusive": len(result.controls) - len(conclusive),
            "false_findings": false,
            "false_finding_rate_upper_95": upper_bound(false, len(conclusive)),
            "by_rate": {
                f"{r:g}": sum(c.rate == r for c in result.controls) for r in sorted({c.rate for c in result.controls})
            },
        },
        "untouched": {
            "runs": len(result.untouched),
            "no_impact": sum(o.verdict == Verdict.NO_IMPACT for o in result.untouched),
        },
        "strays": result.strays,
        "alert_source": result.alert_source,
        "machine": result.machine,
    }
