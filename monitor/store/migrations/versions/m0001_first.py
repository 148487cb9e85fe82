"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables."""
    _runs()
    _records()
    _books()
    op.create_table(
        "incidents",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("start_ns", sa.BigInteger, nullable=False),
        sa.Column("end_ns", sa.BigInteger),
        sa.Column("bad_requests", sa.Integer, nullable=False),
        sa.Column("first_error", sa.Text, nullable=False),
    )
    op.create_index("incidents_by_time", "incidents", ["start_ns"])
    op.create_table(
        "flags",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("deployment", sa.String(40), nullable=False),
        sa.Column("fault_name", sa.String(80), nullable=False),
        sa.Column("verdict", sa.String(20)),
        sa.Column("phase", sa.String(20), nullable=False),
        sa.Column("t_requested", sa.BigInteger, nullable=False),
        sa.Column("t_finished", sa.BigInteger),
        sa.Column("receipt_open", sa.Boolean, nullable=False),
        sa.Column("met", sa.Boolean),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("runs_by_time", "runs", ["t_requested", "id"])
    op.create_index("runs_by_fault", "runs", ["fault_name", "t_requested"])
    op.create_index("runs_by_verdict", "runs", ["verdict", "t_requested"])
    op.create_index("runs_by_phase", "runs", ["phase"])
    op.create_index("runs_by_receipt", "runs", ["receipt_open"])


def _records() -> None:
    op.create_table(
        "probes",
        sa.Column("code", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(40), nullable=False, unique=True),
        sa.Column("longest_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "records",
        sa.Column("start_ns", sa.BigInteger, primary_key=True),
        sa.Column("probe", sa.SmallInteger, primary_key=True),
        sa.Column("segment", sa.Integer, primary_key=True),
        sa.Column("session_num", sa.Integer, primary_key=True),
        sa.Column("life_ns", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.SmallInteger, nullable=False),
        sa.Column("error", sa.SmallInteger, nullable=False),
        sa.Column("end_exact", sa.Boolean, nullable=False),
        sa.Column("request_id", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.SmallInteger),
        sa.Column("ttft_ns", sa.BigInteger),
        sa.Column("inter_token_ns", sa.BigInteger),
        sa.Column("max_gap_ns", sa.BigInteger),
        sa.Column("input_tokens", sa.Integer),
        sa.Column("output_tokens", sa.Integer),
        sa.Column("expected_tokens", sa.Integer),
        sa.Column("message", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "minutes",
        sa.Column("minute_ns", sa.BigInteger, primary_key=True),
        sa.Column("probe", sa.SmallInteger, primary_key=True),
        sa.Column("good", sa.Integer, nullable=False),
        sa.Column("life_ns", sa.BigInteger, nullable=False),
        sa.Column("ttft_count", sa.Integer, nullable=False),
        sa.Column("ttft_ns", sa.BigInteger, nullable=False),
        sa.Column("inter_token_count", sa.Integer, nullable=False),
        sa.Column("inter_token_ns", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("life_histogram", sa.Text, nullable=False),
        sa.Column("ttft_histogram", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )


def _books() -> None:
    op.create_table(
        "gaps",
        sa.Column("probe", sa.String(40), primary_key=True),
        sa.Column("start_ns", sa.BigInteger, primary_key=True),
        sa.Column("end_ns", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("gaps_by_time", "gaps", ["start_ns"])
    op.create_table(
        "segments",
        sa.Column("probe", sa.String(40), primary_key=True),
        sa.Column("started_ns", sa.BigInteger, primary_key=True),
        sa.Column("segment", sa.Integer, primary_key=True),
        sa.Column("ended_ns", sa.BigInteger, nullable=False),
        sa.Column("sent", sa.Integer, nullable=False),
        sa.Column("recorded", sa.Integer, nullable=False),
        sa.Column("lost", sa.Integer, nullable=False),
        sa.Column("unsent", sa.Integer, nullable=False),
        sa.Column("exit_code", sa.Integer),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("segments_by_time", "segments", ["ended_ns"])
