"""The receiver with real senders: the official exporters, over gRPC and HTTP."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import uuid
from collections.abc import Callable

import grpc
import httpx
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

from monitor.trace.receiver import Receiver
from tests.trace.build import Counted, body, log_body, proto, receiving

Make = Callable[[Receiver], SpanExporter]


def over_http(receiver: Receiver) -> SpanExporter:
    return HttpExporter(endpoint=f"http://127.0.0.1:{receiver.http_port}/v1/traces")


def over_http_packed(receiver: Receiver) -> SpanExporter:
    return HttpExporter(endpoint=f"http://127.0.0.1:{receiver.http_port}/v1/traces", compression=Compression.Gzip)


def over_grpc(receiver: Receiver) -> SpanExporter:
    return GrpcExporter(endpoint=f"127.0.0.1:{receiver.grpc_port}", insecure=True)


def over_grpc_packed(receiver: Receiver) -> SpanExporter:
    return GrpcExporter(endpoint=f"127.0.0.1:{receiver.grpc_port}", insecure=True, compression=grpc.Compression.Gzip)


def export(exporter: SpanExporter) -> bytes:
    """One trace of two spans, through the SDK as an application would; its id."""
    provider = TracerProvider(resource=Resource({"service.name": "worker-7"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("http-request") as root:
        root.set_attribute("output_tokens", 32)
        with tracer.start_as_current_span("handle_payload") as child:
            child.set_attribute("instance_id", "4711")
            child.set_attribute("component", "backend")
            child.record_exception(RuntimeError("no more blocks"))
    provider.shutdown()
    return root.get_span_context().trace_id.to_bytes(16)


@pytest.mark.parametrize("make", [over_http, over_http_packed, over_grpc, over_grpc_packed])
def test_official_exporters_are_understood(make: Make) -> None:
    async def scenario() -> None:
        counted = Counted()
        async with receiving(counted) as receiver:
            trace_id = await asyncio.to_thread(export, make(receiver))
            spans = {s.name: s for s in receiver.traces([trace_id])[trace_id]}
            assert spans["handle_payload"].parent_id == spans["http-request"].span_id
            assert {s.service for s in spans.values()} == {"worker-7"}
            assert spans["http-request"].output_tokens == 32
            work = spans["handle_payload"]
            assert (work.instance, work.component, work.error) == ("4711", "backend", "no more blocks")
            assert not any(s.odd_clock for s in spans.values())
            assert (counted.spans, counted.odd, counted.refused) == (2, {}, {})
            assert receiver.up == (True, "")

    asyncio.run(scenario())


def test_logs_are_counted_and_not_kept() -> None:
    async def scenario() -> None:
        counted = Counted()
        async with receiving(counted) as receiver:
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.post(
                    f"http://127.0.0.1:{receiver.http_port}/v1/logs",
                    content=log_body(3),
                    headers={"Content-Type": "application/x-protobuf"},
                )
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "application/x-protobuf"
            async with grpc.aio.insecure_channel(f"127.0.0.1:{receiver.grpc_port}") as channel:
                await LogsServiceStub(channel).Export(ExportLogsServiceRequest.FromString(log_body(4)))
            assert (counted.logs, counted.spans) == (7, 0)
            assert len(receiver._store) == 0

    asyncio.run(scenario())


def test_a_token_is_demanded_on_both_ways() -> None:
    async def scenario() -> None:
        counted = Counted()
        async with receiving(counted, env={"SECRET": "xyz"}, token_env="SECRET") as receiver:  # noqa: S106 - made up
            url = f"http://127.0.0.1:{receiver.http_port}/v1/traces"
            kind = {"Content-Type": "application/x-protobuf"}
            async with httpx.AsyncClient(trust_env=False) as client:
                for wrong in ({}, {"Authorization": "Bearer xy"}, {"Authorization": "xyz"}):
                    assert (await client.post(url, content=body(proto()), headers=kind | wrong)).status_code == 401
                right = kind | {"Authorization": "Bearer xyz"}
                assert (await client.post(url, content=body(proto()), headers=right)).status_code == 200
            for token, code in (("", grpc.StatusCode.UNAUTHENTICATED), ("Bearer xyz", grpc.StatusCode.OK)):
                assert await send_grpc(receiver, body(proto()), authorization=token) is code
            assert counted.refused == {"unauthorized": 4}
            assert counted.spans == 2

    asyncio.run(scenario())


async def send_grpc(receiver: Receiver, data: bytes, **headers: str) -> grpc.StatusCode:
    """Any bytes as a request; the status that comes back."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{receiver.grpc_port}") as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        try:
            answer = await call(data, metadata=list(headers.items()), timeout=20)
        except grpc.aio.AioRpcError as error:
            return error.code()
        assert answer == b"", "an empty message says that everything was taken"
        return grpc.StatusCode.OK


def test_an_address_that_is_taken_is_one_line() -> None:
    async def scenario() -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            taken = f"127.0.0.1:{other.getsockname()[1]}"
            for way in ("grpc_listen", "http_listen"):
                with pytest.raises(OSError, match=rf"traces\.{way}: cannot listen on {taken}") as error:
                    async with receiving(Counted(), **{way: taken}):
                        pass
                assert "\n" not in str(error.value)

    asyncio.run(scenario())


def test_nothing_listens_after_the_end() -> None:
    async def scenario() -> None:
        async with receiving(Counted()) as receiver:
            ports = [receiver.http_port, receiver.grpc_port]
        for port in ports:
            with socket.socket() as client:
                assert client.connect_ex(("127.0.0.1", port or 0)) != 0

    asyncio.run(scenario())


def test_traces_of_probe_requests_outlive_the_others() -> None:
    now = [1000.0]

    async def scenario() -> None:
        from monitor.config.settings import TracesSpec  # noqa: PLC0415

        receiver = Receiver(TracesSpec(http_listen="127.0.0.1:0"), Counted(), env={}, now=lambda: now[0])
        request = uuid.uuid4()
        other = os.urandom(16)
        receiver.know(str(request))
        receiver._intake._keep("traces", gzip.compress(body(proto(request.bytes), proto(other))), True)
        now[0] += 61
        receiver.sweep()
        assert set(receiver.traces([request.bytes, other])) == {request.bytes}
        now[0] += 3600
        receiver.sweep()
        assert receiver.traces([request.bytes]) == {}
        receiver._intake.close()

    asyncio.run(scenario())
