"""Bodies within bounds: nothing that a sender does makes us hold more than the limit."""

from __future__ import annotations

import zlib

from monitor.trace.refusal import Reason, Refused

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31


def too_large(limit: int) -> Refused:
    """The refusal of a body beyond the limit."""
    return Refused(
        Reason.TOO_LARGE, f"the body is larger than {limit} bytes (traces.max_body_bytes); send smaller batches"
    )


def is_gzip(data: bytes) -> bool:
    """Whether it begins as gzip does; no OTLP request in protobuf does (its first byte is 0x0a)."""
    return data.startswith(_GZIP_MAGIC)


def gunzip(data: bytes, limit: int) -> bytes:
    """The unpacked body, which is never more than `limit` bytes in memory. Raises Refused."""
    parts: list[bytes] = []
    size = 0
    while data:  # gzip allows several members one after the other
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            part = member.decompress(data, limit - size + 1)
        except zlib.error as error:
            raise Refused(Reason.GZIP, f"the body is not gzip: {error}") from None
        size += len(part)
        if size > limit:
            raise too_large(limit)
        if not member.eof:
            raise Refused(Reason.GZIP, "the gzip body is cut off")
        parts.append(part)
        data = member.unused_data
    return b"".join(parts)
