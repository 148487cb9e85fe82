"""Statistics of few and open-ended figures. Pure; chance is seeded.

- A run that did not recover took longer than anything seen: it enters a distribution as infinite, so that it pushes
  quantiles up instead of hiding behind its lower bound. A quantile that falls among such runs is None.
- Trend: the Theil-Sen slope (median of the slopes of all pairs) with Sen's distribution-free interval
  (P. K. Sen, Estimates of the regression coefficient based on Kendall's tau, 1968).
- Differences: percentile bootstrap (B. Efron, 1979), both sides resampled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.report.model import Estimate, Spread

Floats = NDArray[np.float64]

Word = Literal["higher", "lower", "no difference shown", "too little data"]

RESAMPLES = 2000
LEAST_FOR_INTERVAL = 5
"""With fewer figures a bootstrap repeats them and claims to know more than it does."""
LEAST_FOR_TREND = 6
MOST_FOR_TREND = 1500
"""Beyond this the pairs would not fit in memory; evenly spaced ones are taken."""
_Z95 = 1.959964


def finite(value: float) -> float | None:
    """None for what has no end."""
    return float(value) if math.isfinite(value) else None


def spread(values: Sequence[float], open_ended: Sequence[float] = ()) -> Spread:
    """The distribution of figures and of lower bounds."""
    count = len(values) + len(open_ended)
    if not count:
        return Spread(count=0)
    heap = np.sort(np.array([*values, *([math.inf] * len(open_ended))], np.float64))
    least = min((*values, *open_ended))
    return Spread(
        count=count,
        least=least,
        p25=finite(quantile(heap, 0.25)),
        median=finite(quantile(heap, 0.5)),
        p75=finite(quantile(heap, 0.75)),
        p90=finite(quantile(heap, 0.9)),
        most=max(values) if values and not open_ended else None,
        open_ended=len(open_ended),
    )


def quantile(heap: Floats, share: float) -> float:
    """Of sorted figures, infinite ones included: linear between two neighbours, infinite next to an infinite one."""
    place = share * (len(heap) - 1)
    low, high = math.floor(place), math.ceil(place)
    if low == high or heap[low] == heap[high]:
        return float(heap[low])
    return float(heap[low] + (place - low) * (heap[high] - heap[low]))


def trend(days: Sequence[float], values: Sequence[float]) -> Estimate:
    """Change a day, with its 95 % interval; without value where there are too few or all on one instant."""
    x, y = np.array(days, np.float64), np.array(values, np.float64)
    if len(x) > MOST_FOR_TREND:
        chosen = np.linspace(0, len(x) - 1, MOST_FOR_TREND).astype(np.intp)
        x, y = x[chosen], y[chosen]
    n = len(x)
    if n < LEAST_FOR_TREND:
        return Estimate(count=n)
    first, second = np.triu_indices(n, 1)
    apart = x[second] - x[first]
    slopes = np.sort(((y[second] - y[first])[apart != 0]) / apart[apart != 0])
    if not len(slopes):
        return Estimate(count=n)
    reach = _Z95 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = round((len(slopes) - reach) / 2)
    high = round((len(slopes) + reach) / 2)
    if low < 0 or high >= len(slopes):
        return Estimate(value=float(np.median(slopes)), count=n)
    return Estimate(value=float(np.median(slopes)), low=float(slopes[low]), high=float(slopes[high]), count=n)


class Compared(NamedTuple):
    """One figure of two samples. An end of an interval that is not finite is None; the word knows on which side it lies."""

    first: Estimate
    second: Estimate
    change: Estimate
    word: Word


Statistic = Callable[[Floats], Floats]
"""Of each row of resamples."""


def medians(rows: Floats) -> Floats:
    """Medians of rows; infinite where the middle is. numpy's own subtracts infinities."""
    ordered = np.sort(rows, axis=1)
    n = ordered.shape[1]
    upper: Floats = ordered[:, n // 2]
    if n % 2:
        return upper
    lower = ordered[:, n // 2 - 1]
    return np.where(np.isinf(upper), upper, (lower + np.where(np.isinf(upper), 0.0, upper)) / 2)


def means(rows: Floats) -> Floats:
    """Means of rows."""
    found: Floats = rows.mean(axis=1)
    return found


def bootstrap(first: Floats, second: Floats, statistic: Statistic, seed: int) -> Compared:
    """A figure of two samples, and second minus first, each with its 95 % interval. The same seed gives the same answer."""
    rng = np.random.default_rng(seed)
    one, two = (_resampled(sample, statistic, rng) for sample in (first, second))
    a, b = _estimate(first, statistic, one), _estimate(second, statistic, two)
    known = a.value is not None and b.value is not None
    change = Estimate(value=(b.value or 0.0) - (a.value or 0.0) if known else None, count=min(len(first), len(second)))
    if one is None or two is None:
        return Compared(a, b, change, "too little data")
    both = np.isinf(one) & np.isinf(two)
    low, high = _ends(np.where(both, 0.0, two) - np.where(both, 0.0, one))
    change = change.model_copy(update={"low": finite(low), "high": finite(high)})
    return Compared(a, b, change, word_of(low, high))


def word_of(low: float, high: float) -> Word:
    """What an interval of a change allows to say."""
    if low > 0:
        return "higher"
    return "lower" if high < 0 else "no difference shown"


def _resampled(sample: Floats, statistic: Statistic, rng: np.random.Generator) -> Floats | None:
    if len(sample) < LEAST_FOR_INTERVAL:
        return None
    return statistic(sample[rng.integers(0, len(sample), (RESAMPLES, len(sample)))])


def _estimate(sample: Floats, statistic: Statistic, resampled: Floats | None) -> Estimate:
    if not len(sample):
        return Estimate()
    low, high = _ends(resampled) if resampled is not None else (math.inf, math.inf)
    value = float(statistic(sample[None, :])[0])
    return Estimate(value=finite(value), low=finite(low), high=finite(high), count=len(sample))


def _ends(found: Floats) -> tuple[float, float]:
    ordered = np.sort(found)
    return quantile(ordered, 0.025), quantile(ordered, 0.975)
