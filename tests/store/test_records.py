"""Records, gaps and segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.measure.columns import ERRORS, OUTCOMES, Columns
from monitor.store.codec import pack_id, unpack_id
from monitor.store.store import Store
from probes.record import ErrorClass, Gap, Outcome, Record, SegmentClosed
from tests.support.records import SECOND, T0, failed, record


def test_a_record_comes_back_as_it_was(store: Store) -> None:
    bare = Record("b", 2, 0, "not a uuid", T0, T0 + 7, Outcome.LOST, ErrorClass.LOST, end_exact=False, message="m")
    batch = [record(1), failed(2), bare]
    store.add(batch)
    assert store.records(T0, T0 + 10 * SECOND) == [bare, record(1), failed(2)]


def test_every_outcome_and_error_has_a_code_and_codes_never_move(store: Store) -> None:
    batch = [failed(n, outcome=o, error=e) for n, (o, e) in enumerate((o, e) for o in Outcome for e in ErrorClass)]
    store.add(batch)
    assert store.records(T0, T0 + 10**6 * SECOND) == batch
    assert OUTCOMES[:5] == (Outcome.GOOD, Outcome.SLOW, Outcome.FAILED, Outcome.TRUNCATED, Outcome.LOST)
    assert " ".join(ERRORS[1:]) == (
        "connection_refused connection_reset connection_other server_disconnected timeout http_400 http_401 http_403 "
        "http_404 http_429 http_500 http_502 http_503 http_504 http_529 http_4xx http_5xx stream_error stream_cut "
        "stream_no_done stream_no_finish stream_no_usage stream_empty wrong_length invalid_response cancelled "
        "slow_first_token slow_gap slow_total lost other"
    ), "stores hold these positions: append new classes at the end, and extend this list"


@given(st.one_of(st.uuids().map(str), st.text(max_size=40), st.text(min_size=14, max_size=16, alphabet="=\x01\x02ab")))
def test_request_ids_survive_whatever_they_are(text: str) -> None:
    assert unpack_id(pack_id(text)) == text


def test_what_a_database_would_refuse_does_not_hold_back_its_batch(store: Store) -> None:
    odd = failed(1, message="a\x00b\ud800", output_tokens=10**30, status=10**9, request_id="\ud800")
    gap, closed = Gap("chat", T0, None, "no\x00"), SegmentClosed("chat", 1, T0, T0 + 9, 3, 2, 1, 0, 0, "no\x00")
    store.add([odd, record(2)], [gap], [closed])
    first, second = store.records(T0, T0 + 10 * SECOND)
    assert (first.message, first.request_id, second) == ("a\N{REPLACEMENT CHARACTER}b?", "\ud800", record(2))
    assert first.output_tokens == 2**31 - 1
    assert len(store.gaps(T0, T0 + 1)) == len(store.segments(T0)) == 1
    assert store.run("a\x00") is None
    assert store.runs(fault="a\x00") == ([], 0)


def test_a_uuid_takes_sixteen_bytes() -> None:
    assert len(pack_id(record(1).request_id)) == 16


def test_a_batch_may_be_repeated(store: Store) -> None:
    gap, segment = Gap("chat", T0, None, "died"), SegmentClosed("chat", 1, T0, T0 + 9, 3, 2, 1, 0, 0, "rotated")
    for _ in range(2):
        store.add([record(1), record(2)], [gap], [segment])
    assert len(store.records(T0, T0 + 10 * SECOND)) == 2
    assert store.gaps(T0, T0 + 1) == [gap]
    assert store.segments(T0) == [segment]


def test_a_window_finds_what_was_in_flight_however_long_ago_it_began(store: Store) -> None:
    hung = failed(0, life=300.0, error=ErrorClass.TIMEOUT)
    store.add([record(n) for n in range(1, 400)])
    store.add([hung])
    found = store.records(T0 + 200 * SECOND, T0 + 202 * SECOND)
    assert [r.session_num for r in found] == [0, 200, 201]
    again = store.records(T0 + 301 * SECOND, T0 + 302 * SECOND)
    assert [r.session_num for r in again] == [301], "it had ended by then"


def test_the_edges_of_a_window(store: Store) -> None:
    store.add([record(10, life=1.0)])
    assert store.records(T0 + 11 * SECOND, T0 + 12 * SECOND), "ended exactly at the begin: touches"
    assert not store.records(T0 + 11 * SECOND + 1, T0 + 12 * SECOND)
    assert not store.records(T0, T0 + 10 * SECOND), "began exactly at the end: does not"
    assert store.records(T0, T0 + 10 * SECOND + 1)


def test_filters_of_records(store: Store) -> None:
    store.add([record(1), failed(2), record(3, probe="long"), failed(4, probe="long")])
    window = (T0, T0 + 10 * SECOND)
    assert [r.session_num for r in store.records(*window, probe="long")] == [3, 4]
    assert [r.session_num for r in store.records(*window, bad_only=True)] == [2, 4]
    assert [r.session_num for r in store.records(*window, limit=2)] == [1, 2]
    assert store.records(*window, probe="nobody") == []


def test_columns_are_what_the_records_would_give(store: Store) -> None:
    batch = [record(1), failed(2), record(3, probe="long"), failed(4, probe="a"), record(3, start=3, probe="a")]
    store.add([record(0, probe="unrelated", start=-1000)])
    store.add(batch)
    mine = store.columns(T0, T0 + 10 * SECOND)
    theirs = Columns.of(batch)
    assert mine.probes == theirs.probes
    for name in theirs.__slots__:
        if name != "probes":
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name), err_msg=name)
    assert len(store.columns(T0 - 90 * SECOND, T0)) == 0


def test_a_gap_opens_and_closes(store: Store) -> None:
    store.add([], [Gap("chat", T0 + 10, None, "aiperf died")])
    assert store.gaps(T0 + 50, T0 + 60) == [Gap("chat", T0 + 10, None, "aiperf died")], "open: it may last for ever"
    assert store.gaps(T0, T0 + 10) == []
    store.add([], [Gap("chat", T0 + 10, T0 + 20, "aiperf died")])
    assert store.gaps(T0, T0 + 60) == [Gap("chat", T0 + 10, T0 + 20, "aiperf died")]
    assert store.gaps(T0 + 21, T0 + 60) == []


def test_segments_since(store: Store) -> None:
    books = [SegmentClosed("chat", n, T0 + n, T0 + n + 10, 5, 4, 1, 0, -9, "killed") for n in range(3)]
    store.add([], [], books)
    assert store.segments(T0 + 11) == books[1:]


def test_a_failed_batch_leaves_nothing_half_written(store: Store) -> None:
    broken = SegmentClosed("chat", 1, T0, T0, 0, 0, 0, 0, 0, None)  # type: ignore[arg-type]
    try:
        store.add([record(1)], [Gap("chat", T0, None, "x")], [broken])
    except Exception:  # noqa: BLE001 - whatever it is, nothing may be left
        assert store.records(T0, T0 + 10 * SECOND) == []
        assert store.gaps(T0, T0 + 10 * SECOND) == []
    else:
        raise AssertionError("a segment without a reason was stored")


def test_size_counts_the_log_too(sqlite_store: Store, path: Path) -> None:
    store = sqlite_store
    store.add([record(n) for n in range(2000)])
    assert store.size_bytes() >= path.stat().st_size > 0
    assert store.size_bytes() > 50_000
