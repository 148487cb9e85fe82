"""OTLP over gRPC: TraceService and LogsService.

Messages are handed to us as they came, so that what is forwarded is unchanged and packed ones meet our own bound.
The methods are declared as taking a stream: to the sender that is the same, and we learn of a message that gRPC
itself refused as too large.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from monitor.trace.body import is_gzip, too_large
from monitor.trace.intake import Intake, Signal
from monitor.trace.refusal import Reason, Refused

STOP_SECONDS = 2.0
_METHODS: dict[str, Signal] = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
}
_CODES = {
    Reason.UNAUTHORIZED: grpc.StatusCode.UNAUTHENTICATED,
    Reason.TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.BUSY: grpc.StatusCode.UNAVAILABLE,
}
"""Everything else is INVALID_ARGUMENT. UNAVAILABLE is the one that senders try again after."""


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio ships no types
    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        signal = _METHODS.get(handler_call_details.method)
        if signal is None:
            return None

        async def export(messages: AsyncIterator[bytes], context: Any) -> bytes:
            try:
                await self._take(signal, messages, context)
            except Refused as refused:
                self._intake.refuse(refused, f"{context.peer()} over gRPC")
                await context.abort(_CODES.get(refused.reason, grpc.StatusCode.INVALID_ARGUMENT), str(refused))
            # An empty message says that everything was taken.
            return b""

        return grpc.stream_unary_rpc_method_handler(export)

    async def _take(self, signal: Signal, messages: AsyncIterator[bytes], context: Any) -> None:
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        self._intake.authorize(headers.get("authorization", ""))
        self._intake.enter()
        try:
            body = await anext(messages, None)
            if body is None:
                # The sender went away, or gRPC refused the message by its own limit; it has answered already.
                raise too_large(self._intake.max_body_bytes)
            await self._intake.take(signal, body, gzip=is_gzip(body))
        finally:
            self._intake.leave()


class GrpcServer:
    """Serves an intake. To be made and used on one event loop."""

    def __init__(self, intake: Intake, address: str) -> None:
        """Raises OSError when the address cannot be listened on."""
        options = [
            ("grpc.max_receive_message_length", intake.max_body_bytes),
            # gRPC would unpack a bomb before it looks at the size.
            ("grpc.per_message_decompression", 0),
            # Two services on one port would each get half of the spans, in silence.
            ("grpc.so_reuseport", 0),
        ]
        self._server = grpc.aio.server(handlers=[_Handler(intake)], options=options)
        try:
            self.port = int(self._server.add_insecure_port(address))
        except RuntimeError:
            self.port = 0
        if self.port == 0:
            raise OSError(
                f"traces.grpc_listen: cannot listen on {address}: it is in use, or not an address of this machine"
            )

    async def start(self) -> None:
        """Begin to answer."""
        await self._server.start()

    async def stop(self) -> None:
        """Stop answering; calls in progress have two seconds."""
        await self._server.stop(STOP_SECONDS)
