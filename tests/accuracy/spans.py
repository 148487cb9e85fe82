"""The scripted server's own spans, sent as an exporter does: in batches, by OTLP over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import time

import httpx
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from monitor.trace.span import STATUS_ERROR
from tests.support.scripted_server import Mode, Served
from tests.trace.build import body, proto

BATCH_SECONDS = 0.2


class SpanSender:
    """`url` is a receiver's address. What a request left is sent a moment after its end."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting: list[ProtoSpan] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._send())

    async def stop(self) -> None:
        """End; what waits is given up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def ended(self, served: Served) -> bool:
        """A request is over; whether it leaves spans: only where it was asked for, and not from a server that died."""
        parts = served.headers.get("traceparent", "").split("-")
        if len(parts) != 4 or not leaves_spans(served):
            return False
        trace, parent = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
        life = time.monotonic_ns() - served.begin_ns
        status = 0 if served.whole else STATUS_ERROR
        said = {"status": "success" if served.whole else "error"}
        root = proto(trace, parent=parent, life=life, status=status, events=[("request completed", said)])
        self._waiting += [
            root,
            proto(trace, name="router.route_request", parent=root.span_id, life=life, worker_id="1"),
            proto(trace, name="handle_payload", parent=root.span_id, life=life, instance_id="1", component="backend"),
        ]
        return True

    async def _send(self) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                await asyncio.sleep(BATCH_SECONDS)
                spans, self._waiting = self._waiting, []
                if spans:
                    # A batch that is late is lost, as an exporter's is; the witness says so.
                    with contextlib.suppress(httpx.HTTPError):
                        headers = {"Content-Type": "application/x-protobuf"}
                        await client.post(f"{self._url}/v1/traces", content=body(*spans), headers=headers)


def leaves_spans(served: Served) -> bool:
    """A process that dies, as it does where connections are reset, takes its unsent spans with it."""
    if served.mode in {Mode.RESET_BEFORE, Mode.RESET_MID}:
        return False
    return served.whole or served.mode not in {Mode.GOOD, Mode.SLOW_FIRST, Mode.SLOW_TOKENS}
