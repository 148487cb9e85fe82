"""How many requests of a run ended how, what they cost, and how quick the answered ones were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.measure.baseline import Baseline
from monitor.measure.columns import ERRORS, MISSING, Columns, Int64
from monitor.measure.times import SECOND
from probes.record import BAD, FAILURES, ErrorClass, Outcome


@dataclass(frozen=True, slots=True)
class Counts:
    """Of all requests whose life touched the observation and that had ended (or were lost) in it."""

    requests: int
    failed: int
    """Failed or truncated."""
    truncated: int
    slow: int
    lost: int
    tokens_lost: int | None
    """None where no failed request tells how much it lost."""
    tokens_unknown: int
    """Failed requests that do not tell."""
    errors: dict[str, int]
    longest_bad_ns: int | None = None
    """Longest time that a bad request took."""


def count(ended: Columns, baseline: Baseline) -> Counts:
    """The counts of one probe."""
    failed = ended.where(ended.has(*FAILURES))
    lost_tokens, unknown = _tokens_lost(failed, baseline)
    return Counts(
        requests=len(ended),
        failed=len(failed),
        truncated=int(np.count_nonzero(ended.has(Outcome.TRUNCATED))),
        slow=int(np.count_nonzero(ended.has(Outcome.SLOW))),
        lost=int(np.count_nonzero(ended.has(Outcome.LOST))),
        tokens_lost=lost_tokens,
        tokens_unknown=unknown,
        errors=_errors(ended),
        longest_bad_ns=_longest(ended.where(ended.has(*BAD))),
    )


def total(parts: Sequence[Counts]) -> Counts:
    """The sum over several probes."""
    errors: dict[str, int] = {}
    for part in parts:
        for name, number in part.errors.items():
            errors[name] = errors.get(name, 0) + number
    tokens = sum(p.tokens_lost for p in parts if p.tokens_lost is not None)
    told = tokens > 0 or all(p.tokens_lost is not None for p in parts)
    return Counts(
        requests=sum(p.requests for p in parts),
        failed=sum(p.failed for p in parts),
        truncated=sum(p.truncated for p in parts),
        slow=sum(p.slow for p in parts),
        lost=sum(p.lost for p in parts),
        tokens_lost=tokens if told else None,
        tokens_unknown=sum(p.tokens_unknown for p in parts),
        errors=dict(sorted(errors.items())),
        longest_bad_ns=max((p.longest_bad_ns for p in parts if p.longest_bad_ns is not None), default=None),
    )


def _errors(ended: Columns) -> dict[str, int]:
    codes = np.bincount(ended.error[ended.has(*BAD)], minlength=len(ERRORS))
    return {ERRORS[i].value: int(codes[i]) for i in np.argsort(ERRORS) if codes[i] and ERRORS[i] is not ErrorClass.NONE}


def _longest(rows: Columns) -> int | None:
    return int((rows.end_ns - rows.start_ns).max()) if len(rows) else None


def _tokens_lost(failed: Columns, baseline: Baseline) -> tuple[int | None, int]:
    """Expected (or usual in the baseline) minus received. A failed request without a count received nothing;
    a truncated one without a count received an unknown part."""
    if not len(failed):
        return 0, 0
    usual = MISSING if baseline.output_tokens is None else baseline.output_tokens
    expected = np.where(failed.expected_tokens == MISSING, usual, failed.expected_tokens)
    nothing = (failed.output_tokens == MISSING) & failed.has(Outcome.FAILED)
    received = np.where(nothing, 0, failed.output_tokens)
    known = (expected != MISSING) & (received != MISSING)
    unknown = int(np.count_nonzero(~known))
    if not np.any(known):
        return None, unknown
    return int(np.maximum(expected[known] - received[known], 0).sum(dtype=np.int64)), unknown


def speed(rows: Columns, begin: int, end: int) -> tuple[int | None, float | None]:
    """Of [begin, end): median duration (ns) of the requests that started there and were answered in full, and
    good answers completed per second."""
    if end <= begin:
        return None, None
    answered = rows.started(begin, end)
    answered = answered.where(answered.has(Outcome.GOOD, Outcome.SLOW))
    durations: Int64 = answered.end_ns - answered.start_ns
    good_ends = rows.end_ns[rows.has(Outcome.GOOD)]
    completed = int(np.count_nonzero((good_ends >= begin) & (good_ends < end)))
    return int(np.median(durations)) if len(durations) else None, completed * SECOND / (end - begin)
