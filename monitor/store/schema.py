"""The tables. A change here needs a migration beside it; a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("deployment", String(40), nullable=False),
    Column("fault_name", String(80), nullable=False),
    Column("verdict", String(20)),
    Column("phase", String(20), nullable=False),
    Column("t_requested", BigInteger, nullable=False),
    Column("t_finished", BigInteger),
    Column("receipt_open", Boolean, nullable=False),
    Column("met", Boolean),
    Column("body", Text, nullable=False),
    Index("runs_by_time", "t_requested", "id"),
    Index("runs_by_fault", "fault_name", "t_requested"),
    Index("runs_by_verdict", "verdict", "t_requested"),
    Index("runs_by_phase", "phase"),
    Index("runs_by_receipt", "receipt_open"),
)
"""The columns are what one filters by; `body` is the whole Run as JSON and the only truth."""

probes = Table(
    "probes",
    metadata,
    Column("code", Integer, primary_key=True),
    Column("name", String(40), nullable=False, unique=True),
    Column("longest_ns", BigInteger, nullable=False),
)
"""Small codes for names, and how far back a query has to look for requests that were in flight."""

records = Table(
    "records",
    metadata,
    Column("start_ns", BigInteger, primary_key=True),
    Column("probe", SmallInteger, primary_key=True),
    Column("segment", Integer, primary_key=True),
    Column("session_num", Integer, primary_key=True),
    Column("life_ns", BigInteger, nullable=False),
    Column("outcome", SmallInteger, nullable=False),
    Column("error", SmallInteger, nullable=False),
    Column("end_exact", Boolean, nullable=False),
    Column("request_id", LargeBinary, nullable=False),
    Column("status", SmallInteger),
    Column("ttft_ns", BigInteger),
    Column("inter_token_ns", BigInteger),
    Column("max_gap_ns", BigInteger),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("expected_tokens", Integer),
    Column("message", Text),
    sqlite_with_rowid=False,
)
"""Clustered by time (WITHOUT ROWID), so that a window of time is one stretch of the file.

`life_ns` is end minus start: an integer of SQLite takes as many bytes as its value needs.
"""

minutes = Table(
    "minutes",
    metadata,
    Column("minute_ns", BigInteger, primary_key=True),
    Column("probe", SmallInteger, primary_key=True),
    Column("good", Integer, nullable=False),
    Column("life_ns", BigInteger, nullable=False),
    Column("ttft_count", Integer, nullable=False),
    Column("ttft_ns", BigInteger, nullable=False),
    Column("inter_token_count", Integer, nullable=False),
    Column("inter_token_ns", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("life_histogram", Text, nullable=False),
    Column("ttft_histogram", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""Folded good requests: counts and sums, and histograms (JSON lists, see `retention.BOUNDS_NS`)."""

gaps = Table(
    "gaps",
    metadata,
    Column("probe", String(40), primary_key=True),
    Column("start_ns", BigInteger, primary_key=True),
    Column("end_ns", BigInteger),
    Column("reason", Text, nullable=False),
    Index("gaps_by_time", "start_ns"),
)

segments = Table(
    "segments",
    metadata,
    Column("probe", String(40), primary_key=True),
    Column("started_ns", BigInteger, primary_key=True),
    Column("segment", Integer, primary_key=True),
    Column("ended_ns", BigInteger, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("recorded", Integer, nullable=False),
    Column("lost", Integer, nullable=False),
    Column("unsent", Integer, nullable=False),
    Column("exit_code", Integer),
    Column("reason", Text, nullable=False),
    Index("segments_by_time", "ended_ns"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("start_ns", BigInteger, nullable=False),
    Column("end_ns", BigInteger),
    Column("bad_requests", Integer, nullable=False),
    Column("first_error", Text, nullable=False),
    Index("incidents_by_time", "start_ns"),
)

flags = Table(
    "flags",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("value", Text, nullable=False),
)
"""Small things that outlive a process: the emergency stop, how far records are folded."""
