"""Records as rows and back."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row

from monitor.measure.columns import ERROR_CODE, ERRORS, OUTCOME_CODE, OUTCOMES
from probes.record import ErrorClass, Outcome, Record

MESSAGE_LENGTH = 500
"""Longer error texts are cut; the first lines say it."""

SMALL, WHOLE = 2**15 - 1, 2**31 - 1
"""Largest numbers of SmallInteger and Integer columns."""

_TEXT = b"\x01"
_TEXT_OF_15 = b"\x02\x02"


def pack_id(request_id: str) -> bytes:
    """16 bytes for a UUID in its usual spelling, a marked text for anything else."""
    try:
        parsed = uuid.UUID(request_id)
    except ValueError:
        parsed = None
    if parsed is not None and str(parsed) == request_id:
        return parsed.bytes
    text = request_id.encode(errors="surrogatepass")
    return (_TEXT_OF_15 if len(text) == 15 else _TEXT) + text


def unpack_id(packed: bytes) -> str:
    """The inverse of `pack_id`."""
    if len(packed) == 16:
        return str(uuid.UUID(bytes=packed))
    return packed.removeprefix(_TEXT_OF_15 if packed.startswith(_TEXT_OF_15) else _TEXT).decode(errors="surrogatepass")


def storable(text: str) -> str:
    """Without the characters that a database refuses; one bad word of a server must not hold back a whole batch."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _within(value: int | None, most: int) -> int | None:
    """What a server claims may be any number."""
    return None if value is None else max(-most, min(value, most))


def to_row(record: Record, probe: int) -> dict[str, Any]:
    """A row of the records table. A request cannot end before it began: such an end becomes its start."""
    return {
        "start_ns": record.start_ns,
        "probe": probe,
        "segment": record.segment,
        "session_num": record.session_num,
        "life_ns": max(0, record.end_ns - record.start_ns),
        "outcome": OUTCOME_CODE[record.outcome],
        "error": ERROR_CODE[record.error],
        "end_exact": record.end_exact,
        "request_id": pack_id(record.request_id),
        "status": _within(record.status, SMALL),
        "ttft_ns": record.ttft_ns,
        "inter_token_ns": record.inter_token_ns,
        "max_gap_ns": record.max_gap_ns,
        "input_tokens": _within(record.input_tokens, WHOLE),
        "output_tokens": _within(record.output_tokens, WHOLE),
        "expected_tokens": _within(record.expected_tokens, WHOLE),
        "message": storable(record.message[:MESSAGE_LENGTH]) or None,
    }


def from_row(row: Row[Any], probes: Mapping[int, str]) -> Record:
    """The record of a row."""
    return Record(
        probe=probes[row.probe],
        segment=row.segment,
        session_num=row.session_num,
        request_id=unpack_id(row.request_id),
        start_ns=row.start_ns,
        end_ns=row.start_ns + row.life_ns,
        outcome=_outcome(row.outcome),
        error=_error(row.error),
        end_exact=bool(row.end_exact),
        message=row.message or "",
        status=row.status,
        ttft_ns=row.ttft_ns,
        inter_token_ns=row.inter_token_ns,
        max_gap_ns=row.max_gap_ns,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        expected_tokens=row.expected_tokens,
    )


def _outcome(code: int) -> Outcome:
    return OUTCOMES[code]


def _error(code: int) -> ErrorClass:
    """A newer version may have stored a class that this one does not know."""
    return ERRORS[code] if 0 <= code < len(ERRORS) else ErrorClass.OTHER
