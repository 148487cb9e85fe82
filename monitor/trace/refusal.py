"""Why something that was sent to the receiver is not taken. The reasons are a closed list: they are metric labels."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Of a whole request that is refused."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    GZIP = "gzip"
    """Not gzip, or cut off, though it says that it is."""
    CONTENT_TYPE = "content_type"
    ENCODING = "encoding"
    UNAUTHORIZED = "unauthorized"
    BUSY = "busy"
    TIMEOUT = "timeout"
    NOT_FOUND = "not_found"


class Oddity(StrEnum):
    """Of single spans in a request that is taken."""

    CLOCK = "clock"
    """Kept with a mark: its instants cannot be true."""
    DUPLICATE = "duplicate"
    """Left out: the same span came before."""
    INVALID = "invalid"
    """Left out: no usable trace or span id."""
    OVERFLOW = "overflow"
    """Left out, or given up early, because the memory for spans is full."""


class Refused(Exception):
    """A request that is not taken; the text is one line for the sender."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason
