"""Columns hold what the records hold, in one order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.measure.columns import ERRORS, MISSING, OUTCOMES, Columns
from probes.record import ErrorClass, Outcome, Record
from tests.measure.build import INJECT, load, rec


def rows(columns: Columns) -> list[tuple[int | str, ...]]:
    return [
        (
            columns.probes[columns.probe[i]],
            int(columns.start_ns[i]),
            int(columns.end_ns[i]),
            OUTCOMES[columns.outcome[i]],
            ERRORS[columns.error[i]],
            int(columns.ttft_ns[i]),
            int(columns.inter_token_ns[i]),
            int(columns.max_gap_ns[i]),
            int(columns.input_tokens[i]),
            int(columns.output_tokens[i]),
            int(columns.expected_tokens[i]),
        )
        for i in range(len(columns))
    ]


def test_every_field_arrives() -> None:
    record = replace(
        rec(INJECT, Outcome.TRUNCATED, probe="b", output=7),
        ttft_ns=11,
        inter_token_ns=12,
        max_gap_ns=13,
        input_tokens=14,
        error=ErrorClass.OTHER,
    )
    other = replace(rec(INJECT - 5, probe="a"), output_tokens=None, expected_tokens=None)

    columns = Columns.of([record, other])

    assert columns.probes == ("a", "b")
    missing = (MISSING,) * 6
    assert rows(columns) == [
        ("a", other.start_ns, other.end_ns, Outcome.GOOD, ErrorClass.NONE, *missing),
        ("b", record.start_ns, record.end_ns, Outcome.TRUNCATED, ErrorClass.OTHER, 11, 12, 13, 14, 7, 32),
    ]


records = st.builds(
    rec,
    st.integers(0, 50),
    st.sampled_from(Outcome),
    probe=st.sampled_from("cab"),
    latency=st.integers(0, 40),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(records), st.randoms())
def test_batches_and_orders_do_not_matter(requests: list[Record], random: object) -> None:
    whole = Columns.of(requests)
    shuffled = list(requests)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    cut = len(shuffled) // 3
    parts = Columns.concat([Columns.of(shuffled[:cut]), Columns.of(shuffled[cut:])])

    assert rows(parts) == rows(whole)
    assert parts.probes == whole.probes
    assert np.all(np.diff(whole.start_ns) >= 0)


@settings(max_examples=100, deadline=None)
@given(st.lists(records), st.integers(-5, 60), st.integers(-5, 60))
def test_selections(requests: list[Record], begin: int, end: int) -> None:
    columns = Columns.of(requests)

    overlapping = [r for r in requests if r.end_ns >= begin and r.start_ns < end]
    assert rows(columns.overlapping(begin, end)) == rows(Columns.of(overlapping))
    if begin <= end:
        started = [r for r in requests if begin <= r.start_ns < end]
        assert rows(columns.started(begin, end)) == rows(Columns.of(started))
    for name in "abcx":
        assert rows(columns.of_probe(name)) == rows(Columns.of([r for r in requests if r.probe == name]))


def test_empty() -> None:
    assert len(Columns.empty()) == 0
    assert len(Columns.concat([])) == 0
    assert rows(Columns.concat([Columns.empty(), Columns.of(load(0, 1))])) == rows(Columns.of(load(0, 1)))


def test_sql_rows_may_name_probes_in_any_order() -> None:
    names = [f for f in Columns.__slots__ if f not in {"probes", "probe"}]
    columns = Columns.build(("z", "a"), {"probe": [0, 1], **{n: [i, i] for i, n in enumerate(names)}})

    assert columns.probes == ("a", "z")
    assert [columns.probes[p] for p in columns.probe] == ["a", "z"]


def test_columns_of_unequal_length_are_refused() -> None:
    names = [f for f in Columns.__slots__ if f != "probes"]
    with pytest.raises(ValueError, match="end_ns=0"):
        Columns.build(("a",), {n: [] if n == "end_ns" else [0] for n in names})
