"""The outer layers of an OTLP body, cut into its spans without unpacking them.

A body of 4 MB can name two million empty spans, which unpacked at once take hundreds of megabytes. So the
envelope is only walked, spans are counted on the way, and each is unpacked alone.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


class WireError(ValueError):
    """Not protobuf's wire format."""


def messages(data: memoryview, number: int) -> Iterator[memoryview]:
    """Contents of every length-delimited field with this number. Raises WireError, also for what lies between."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        if tag >> 3 == 0:
            raise WireError("a field has the number 0")
        if kind == _BYTES:
            length, at = _varint(data, at)
            if length > end - at:
                raise WireError("a field is longer than the message")
            if tag >> 3 == number:
                yield data[at : at + length]
            at += length
        else:
            at = _skip(data, at, kind)


def _skip(data: memoryview, at: int, kind: int) -> int:
    if kind == _VARINT:
        return _varint(data, at)[1]
    if kind not in {_FIXED64, _FIXED32}:
        raise WireError(f"wire type {kind} is not in use")
    after = at + (8 if kind == _FIXED64 else 4)
    if after > len(data):
        raise WireError("the message is cut off")
    return after


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    for position in range(at, min(at + _LONGEST_VARINT, len(data))):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
    raise WireError("a number is cut off or too long")
