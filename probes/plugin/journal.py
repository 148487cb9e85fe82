"""The journal: one line when a request starts, one when it ends, on the kernel's monotonic clock.

aiperf's own export says nothing while a request hangs, and its end instants are wrong for most failures.
Lines are written with one `write` to a file opened for append, so several workers may share it.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import orjson

log = logging.getLogger(__name__)


class Journal:
    """Append-only. A failure to write costs lines, never a request."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._torn = False
        self._warned = False

    def start(self, *, number: int, request_id: str, at_ns: int) -> None:
        """A request is about to be sent."""
        self._write({"t": "s", "n": number, "id": request_id, "at": at_ns})

    def end(self, *, number: int, request_id: str, at_ns: int, facts: dict[str, Any]) -> None:
        """A request has ended; `facts` are those of `probes.parse.JournalEnd`."""
        self._write({"t": "e", "n": number, "id": request_id, "at": at_ns, **facts})

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _write(self, line: dict[str, Any]) -> None:
        data = (b"\n" if self._torn else b"") + orjson.dumps(line) + b"\n"
        try:
            if self._fd is None:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            # A short write (disk full) leaves half a line; the next one then begins on a line of its own.
            self._torn = os.write(self._fd, data) != len(data)
        except OSError as error:
            if not self._warned:
                self._warned = True
                log.warning("the journal %s cannot be written: %s", self._path, error)
