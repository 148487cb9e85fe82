"""The receiver as a whole: what the service starts and stops."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from monitor.config.settings import TracesSpec
from monitor.listen import listening
from monitor.trace.complaints import Complaints
from monitor.trace.forward import Forwarder
from monitor.trace.http_server import HttpServer
from monitor.trace.intake import Intake, OtlpMetrics
from monitor.trace.span import Span, trace_id_of
from monitor.trace.store import SpanStore

SILENT_SECONDS = 60.0


class Stoppable(Protocol):
    """A way in."""

    async def stop(self) -> None: ...


class Receiver:
    """Listens where the settings say. `start` and `stop` on one event loop."""

    def __init__(
        self,
        spec: TracesSpec,
        metrics: OtlpMetrics,
        *,
        env: Mapping[str, str] | None = None,
        system_ns: Callable[[], int] = time.time_ns,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec = spec
        self.http_port: int | None = None
        self.grpc_port: int | None = None
        self._system_ns = system_ns
        complaints = Complaints(now)
        keep_seconds = 60 * spec.keep_minutes
        self._store = SpanStore(keep_seconds=keep_seconds, now=now)
        self._forwarder = (
            Forwarder(
                spec.forward_to,
                queue_spans=spec.forward_queue_spans,
                dropped=metrics.otlp_forward_dropped,
                complaints=complaints,
            )
            if spec.forward_to
            else None
        )
        environment = os.environ if env is None else env
        self._intake = Intake(
            self._store,
            metrics,
            max_body_bytes=spec.max_body_bytes,
            keep_seconds=keep_seconds,
            token=environment.get(spec.token_env, "") if spec.token_env else "",
            system_ns=system_ns,
            complaints=complaints,
            forwarder=self._forwarder,
        )
        self._servers: list[Stoppable] = []

    async def start(self) -> None:
        """Listen. Raises OSError with one line when an address is taken; then nothing is left listening."""
        try:
            await self._listen()
        except OSError:
            await self.stop()
            raise
        if self._forwarder is not None:
            self._forwarder.start()

    async def _listen(self) -> None:
        if self.spec.http_listen is not None:
            http = HttpServer(self._intake, listening(self.spec.http_listen, "traces.http_listen"))
            self._servers.append(http)
            http.start()
            self.http_port = http.port
        if self.spec.grpc_listen is not None:
            from monitor.trace.grpc_server import GrpcServer  # noqa: PLC0415 - a large library, for those who use it

            grpc = GrpcServer(self._intake, self.spec.grpc_listen)
            self._servers.append(grpc)
            await grpc.start()
            self.grpc_port = grpc.port

    async def stop(self) -> None:
        """Take no more, forward what is left. Bounded by a few seconds."""
        for server in self._servers:
            await server.stop()
        self._servers.clear()
        self._intake.close()
        if self._forwarder is not None:
            await self._forwarder.stop()

    # --- what others ask --------------------------------------------------------------------

    @property
    def addresses(self) -> str:
        """Where senders should send to, for a hint."""
        ways = ((self.spec.http_listen, self.http_port, "HTTP"), (self.spec.grpc_listen, self.grpc_port, "gRPC"))
        return " or ".join(
            f"http://{listen.rpartition(':')[0]}:{port or listen.rpartition(':')[2]} ({kind})"
            for listen, port, kind in ways
            if listen
        )

    @property
    def received(self) -> int:
        """Spans received since the start."""
        return self._intake.spans

    @property
    def up(self) -> tuple[bool, str]:
        """Whether spans come in, and why not."""
        last = self._intake.last_spans_ns
        if last is None:
            return False, f"no span has come yet; {self.hint}"
        silent = (self._system_ns() - last) / 1e9
        return silent < SILENT_SECONDS, "" if silent < SILENT_SECONDS else f"no span has come for {silent:.0f} s"

    @property
    def hint(self) -> str:
        """What to look at when nothing comes."""
        return f"is OTEL_EXPORT_ENABLED of the deployment true and OTEL_EXPORTER_OTLP_ENDPOINT set to {self.addresses}?"

    @property
    def span_delay_seconds(self) -> float:
        """Longest wait for late spans at the end of a run."""
        return self.spec.span_delay_seconds

    def know(self, request_id: str) -> None:
        """A probe's request has this id: its trace is worth keeping."""
        trace_id = trace_id_of(request_id)
        if trace_id is not None:
            self._store.know(trace_id)

    def traces(self, trace_ids: Iterable[bytes]) -> dict[bytes, tuple[Span, ...]]:
        """Spans of those traces that have any."""
        return self._store.get(trace_ids)

    def sweep(self) -> None:
        """Forget what is old."""
        self._store.sweep()
