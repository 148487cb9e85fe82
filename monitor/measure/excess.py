"""Which bad requests go beyond the errors that were there before the fault.

p0 is the bad ratio of the baseline.
p0 == 0: every bad request counts as harm.
p0 > 0: background errors go on during the run and must become neither impact nor a relapse. A bad
request counts only as part of an excess: k bad ones within m consecutive requests (the first and the
last of them bad), where even the pessimistic background ratio q would give k or more among m with a
probability of at most `LEVEL`. q is the upper end of the one-sided 95 % Wilson interval of p0, so that
a short baseline makes the rule more careful. k runs through `BURSTS`, small ones first, which finds
bursts as well as a small but lasting rise.
The edges of an excess are then trimmed by likelihood: a bad request at the edge stays only where
"ratio of the excess" explains it, with the good ones behind it, better than q does. Else one stray
background error shortly before an outage would move its beginning.
False alarms: a run with B background errors has at most B * len(BURSTS) windows, so if errors are
independent and their ratio is at most q, the chance that any becomes impact is below
B * len(BURSTS) * LEVEL (20 errors: 0.04 %). The price is sensitivity: `smallest_burst` says how many
bad requests in a row it takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from monitor.measure.baseline import Baseline
from monitor.measure.columns import Bool, Int64

LEVEL = 1e-6
BURSTS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 23, 32, 64, 128, 256, 512, 1024)
WILSON_Z = 1.645
LONGEST_WINDOW = 1 << 20


def in_excess(bad: Bool, baseline: Baseline) -> Bool:
    """Which bad requests count as harm, given all ended requests of a probe after the injection, by start."""
    if baseline.bad == 0:
        return bad
    where: Int64 = np.flatnonzero(bad).astype(np.int64)
    q = wilson_upper(baseline.bad, baseline.requests)
    marked = np.zeros(len(where), np.bool_)
    for burst in BURSTS:
        if burst > len(where):
            break
        for first, last in list(_clusters(where, marked, burst, longest_window(burst, q))):
            begin, end = _trimmed(where[first : last + 1], q)
            marked[first + begin : first + end] = True
    mask = np.zeros(len(bad), np.bool_)
    mask[where[marked]] = True
    return mask


def _clusters(where: Int64, marked: Bool, burst: int, longest: int) -> Iterator[tuple[int, int]]:
    """Unions of overlapping windows of `burst` unmarked bad requests no longer than `longest`, as positions in `where`."""
    spans = where[burst - 1 :] - where[: len(where) - burst + 1] + 1
    counted = np.concatenate(([0], np.cumsum(marked)))
    free = counted[burst:] == counted[: len(counted) - burst]
    firsts = np.flatnonzero((spans <= longest) & free)
    if len(firsts):
        breaks = np.flatnonzero(np.diff(firsts) >= burst)
        for a, b in zip((0, *(breaks + 1)), (*breaks, len(firsts) - 1), strict=True):
            yield int(firsts[a]), int(firsts[b]) + burst - 1


def _trimmed(where: Int64, q: float) -> tuple[int, int]:
    """The part (begin, end) of a cluster's bad requests that is left after its edges were trimmed."""
    ratio = min(len(where) / int(where[-1] - where[0] + 1), 1 - 1e-9)
    for_bad, for_good = math.log(ratio / q), math.log((1 - ratio) / (1 - q))
    steps = for_bad + for_good * (np.diff(where) - 1)
    before = np.concatenate(([0.0], np.cumsum(steps)))  # score of everything before each bad request
    begin = len(before) - 1 - int(np.argmin(before[::-1]))
    after = np.concatenate(([0.0], np.cumsum(steps[begin:][::-1])))[::-1]
    end = begin + int(np.argmin(after)) + 1
    return begin, end


def smallest_burst(baseline: Baseline) -> int:
    """How many bad requests in a row it takes to be told from the background."""
    if baseline.bad == 0:
        return 1
    q = wilson_upper(baseline.bad, baseline.requests)
    return next((k for k in BURSTS if longest_window(k, q) >= k), BURSTS[-1])


def wilson_upper(bad: int, requests: int) -> float:
    """Upper end of the one-sided 95 % Wilson score interval of a ratio."""
    p, z2 = bad / requests, WILSON_Z**2
    middle = p + z2 / (2 * requests)
    half = WILSON_Z * math.sqrt(p * (1 - p) / requests + z2 / (4 * requests**2))
    return min(1.0, (middle + half) / (1 + z2 / requests))


@lru_cache(maxsize=4096)
def longest_window(burst: int, ratio: float) -> int:
    """The largest m for which `burst` or more bad among m at that ratio is as rare as `LEVEL`; 0 when there is none."""
    low, high = burst - 1, LONGEST_WINDOW
    while low < high:
        middle = (low + high + 1) // 2
        if binomial_tail(burst, middle, ratio) <= LEVEL:
            low = middle
        else:
            high = middle - 1
    return low if low >= burst else 0


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(X >= k) for X binomial(n, p), or 1.0 where k is not above the mean (nothing rare there)."""
    if k <= 0 or p >= 1.0 or k <= n * p:
        return 1.0
    if p <= 0.0 or k > n:
        return 0.0
    log_term = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    term = math.exp(log_term + k * math.log(p) + (n - k) * math.log1p(-p))
    total, odds = term, p / (1 - p)
    for i in range(k, n):  # above the mean the terms fall at least geometrically
        term *= (n - i) / (i + 1) * odds
        total += term
        if term < total * 1e-12:
            break
    return min(1.0, total)
