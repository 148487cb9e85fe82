"""What every way into the receiver shares: bounds, decoding, counting, keeping."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol

from monitor.trace.body import gunzip, too_large
from monitor.trace.complaints import Complaints
from monitor.trace.decode import count_logs, decode_traces
from monitor.trace.forward import Forwarder, Parcel
from monitor.trace.refusal import Oddity, Reason, Refused
from monitor.trace.store import SpanStore

log = logging.getLogger(__name__)

Signal = Literal["traces", "logs"]

MAX_WAITING = 16
"""Bodies that wait to be decoded; further ones are told to come again."""


class OtlpMetrics(Protocol):
    """The part of the metrics that the receiver needs."""

    def otlp_spans(self, count: int) -> None: ...

    def otlp_logs(self, count: int) -> None: ...

    def otlp_refused(self, reason: str) -> None: ...

    def otlp_odd_spans(self, oddity: str, count: int) -> None: ...

    def otlp_forward_dropped(self, count: int) -> None: ...


class Intake:
    """Takes bodies from the servers. Decoding is done in one thread of its own, so that the event loop goes on."""

    def __init__(
        self,
        store: SpanStore,
        metrics: OtlpMetrics,
        *,
        max_body_bytes: int,
        keep_seconds: float,
        token: str,
        system_ns: Callable[[], int],
        complaints: Complaints,
        forwarder: Forwarder | None = None,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self.spans = 0
        self.logs = 0
        self.refused = 0
        self.last_spans_ns: int | None = None
        """When spans were last received, by the system clock."""
        self._store = store
        self._metrics = metrics
        self._keep_ns = round(keep_seconds * 1e9)
        self._wanted = f"Bearer {token}".encode() if token else b""
        self._system_ns = system_ns
        self._complaints = complaints
        self._forwarder = forwarder
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="otlp")

    def close(self) -> None:
        """No body is decoded after this."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def authorize(self, authorization: str) -> None:
        """Raises Refused unless the header is the right one or none is needed."""
        if self._wanted and not hmac.compare_digest(authorization.encode(), self._wanted):
            raise Refused(Reason.UNAUTHORIZED, "a bearer token is required: Authorization: Bearer ...")

    def enter(self) -> None:
        """A body is about to be read. Raises Refused when there are too many; else `leave` must follow."""
        if self._waiting >= MAX_WAITING:
            raise Refused(Reason.BUSY, "too many bodies are waiting; send again later")
        self._waiting += 1

    def leave(self) -> None:
        """A body has been dealt with."""
        self._waiting -= 1

    async def take(self, signal: Signal, body: bytes, *, gzip: bool) -> None:
        """Keep and count what a body carries. Raises Refused; anything else would be a bug, and is one line in the log."""
        if len(body) > self.max_body_bytes:
            raise too_large(self.max_body_bytes)
        loop = asyncio.get_running_loop()
        count = await loop.run_in_executor(self._thread, self._keep, signal, body, gzip)
        if self._forwarder is not None:
            self._forwarder.put(Parcel(signal, body, gzip, count))

    def refuse(self, refused: Refused, sender: str) -> None:
        """Count a refusal; say it, now and then."""
        self.refused += 1
        self._metrics.otlp_refused(refused.reason.value)
        self._complaints.say(refused.reason.value, f"a request from {sender} was refused: {refused}")

    def _keep(self, signal: Signal, body: bytes, gzip: bool) -> int:
        plain = gunzip(body, self.max_body_bytes) if gzip else body
        if signal == "logs":
            count = count_logs(plain)
            self.logs += count
            self._metrics.otlp_logs(count)
            return count
        return self._keep_spans(plain)

    def _keep_spans(self, plain: bytes) -> int:
        now = self._system_ns()
        decoded = decode_traces(plain, now, now - self._keep_ns)
        added = self._store.add(decoded.spans)
        self.spans += decoded.carried
        if decoded.carried:
            self.last_spans_ns = now
        self._metrics.otlp_spans(decoded.carried)
        odd = {
            Oddity.CLOCK: decoded.odd_clocks,
            Oddity.INVALID: decoded.invalid,
            Oddity.DUPLICATE: added.duplicates,
            Oddity.OVERFLOW: added.overflow,
        }
        for oddity, number in odd.items():
            if number:
                self._metrics.otlp_odd_spans(oddity.value, number)
                self._complaints.say(oddity.value, f"{number} spans of one request: {_SAID[oddity]}")
        return decoded.carried


_SAID = {
    Oddity.CLOCK: "their clock cannot be true (long ago, in the future, or an end before the start); kept with a mark",
    Oddity.INVALID: "no usable trace or span id, or larger than a span can be; left out",
    Oddity.DUPLICATE: "received before; left out",
    Oddity.OVERFLOW: "the memory for spans is full; the oldest were given up",
}
