"""Fewer requests, and yet every failure and every extreme."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.measure.columns import MISSING, OUTCOMES, Columns
from monitor.report.thin import thin
from probes.record import Outcome

SPAN = 10_000


def drawn(seed: int, size: int, range_of: int) -> list[tuple[int, ...]]:
    """Many rows; a small range makes ties."""
    rng = random.Random(seed)  # noqa: S311 - hypothesis chooses the seed
    return [
        (
            rng.randrange(SPAN),
            rng.randrange(range_of),
            rng.choice((MISSING, rng.randrange(range_of))),
            rng.choice((0, 0, 0, *range(len(OUTCOMES)))),
            rng.randrange(2),
        )
        for _ in range(size)
    ]


# hypothesis's own lists are too short to lose an extreme
rows_of = st.builds(drawn, st.integers(0, 10**6), st.integers(0, 400), st.sampled_from((2, 10, 5000)))


def columns(rows: list[tuple[int, ...]]) -> Columns:
    starts, lives, ttfts, outcomes, probes = zip(*rows, strict=True) if rows else ((),) * 5
    rest: dict[str, Any] = {
        name: [MISSING] * len(rows)
        for name in ("inter_token_ns", "max_gap_ns", "input_tokens", "output_tokens", "expected_tokens")
    }
    ends = [s + n for s, n in zip(starts, lives, strict=True)]
    return Columns.build(
        ("a", "b"),
        rest
        | {
            "start_ns": starts,
            "end_ns": ends,
            "outcome": outcomes,
            "error": [0] * len(rows),
            "probe": probes,
            "ttft_ns": ttfts,
        },
    )


@given(rows=rows_of, buckets=st.integers(1, 50))
@settings(max_examples=200, deadline=None)
def test_every_failure_and_every_extreme_stays(rows: list[tuple[int, ...]], buckets: int) -> None:
    given_rows = columns(rows)
    kept = thin(given_rows, 0, SPAN, buckets)
    assert list(kept) == sorted(set(kept.tolist()))
    bad = np.flatnonzero(~given_rows.has(Outcome.GOOD))
    assert set(bad.tolist()) <= set(kept.tolist())

    width = -(-SPAN // buckets)
    picture = given_rows.where(np.isin(np.arange(len(given_rows)), kept))
    for probe in (0, 1):
        for bucket in range(buckets):
            full, thinned = (
                r.where(r.has(Outcome.GOOD) & (r.probe == probe) & (r.start_ns // width == bucket))
                for r in (given_rows, picture)
            )
            assert bool(len(full)) == bool(len(thinned))
            if not len(full):
                continue
            for read in (lambda r: r.start_ns, lambda r: r.end_ns - r.start_ns, lambda r: r.ttft_ns):
                values, left = (v[v != MISSING] for v in (read(full), read(thinned)))
                assert bool(len(values)) == bool(len(left))
                if len(values):
                    assert (values.min(), values.max()) == (left.min(), left.max())


@given(rows=rows_of, buckets=st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_good_ones_have_a_bound(rows: list[tuple[int, ...]], buckets: int) -> None:
    given_rows = columns(rows)
    kept = thin(given_rows, 0, SPAN, buckets)
    assert np.count_nonzero(given_rows.has(Outcome.GOOD)[kept]) <= 6 * buckets * 2


def test_no_bucket_is_no_picture() -> None:
    with pytest.raises(ValueError, match="at least one bucket"):
        thin(Columns.empty(), 0, SPAN, 0)
