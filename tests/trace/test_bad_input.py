"""What is not right is refused or marked, counted, and hurts nothing else."""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import resource
import time
from collections.abc import Mapping

import grpc
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.trace.body import gunzip
from monitor.trace.decode import SPANS_LIMIT, count_logs, decode_traces
from monitor.trace.refusal import Refused
from tests.trace.build import SECOND, Counted, body, log_body, proto, receiving
from tests.trace.test_receiver import send_grpc

LIMIT = 64 * 1024
GOOD = body(proto())
PROTOBUF = {"Content-Type": "application/x-protobuf"}
PACKED = PROTOBUF | {"Content-Encoding": "gzip"}
BOMB = gzip.compress(bytes(64 * 1024 * 1024))
MANY_EMPTY = b"\x12\x00" * (LIMIT // 2 - 20)

HTTP_TABLE: list[tuple[str, bytes, Mapping[str, str], int, str]] = [
    ("/v1/traces", b"hello", PROTOBUF, 400, "malformed"),
    ("/v1/traces", GOOD[:-3], PROTOBUF, 400, "malformed"),
    ("/v1/traces", b"\x0b\x0c", PROTOBUF, 400, "malformed"),
    ("/v1/logs", b"\x0a\x7f", PROTOBUF, 400, "malformed"),
    ("/v1/traces", GOOD, PACKED, 400, "gzip"),
    ("/v1/traces", gzip.compress(GOOD)[:-5], PACKED, 400, "gzip"),
    ("/v1/traces", BOMB, PACKED, 413, "too_large"),
    ("/v1/traces", bytes(LIMIT + 1), PROTOBUF, 413, "too_large"),
    ("/v1/traces", b"{}", {"Content-Type": "application/json"}, 415, "content_type"),
    ("/v1/traces", GOOD, {}, 415, "content_type"),
    ("/v1/traces", GOOD, PROTOBUF | {"Content-Encoding": "br"}, 415, "encoding"),
    ("/v1/metrics", GOOD, PROTOBUF, 404, "not_found"),
    ("/", GOOD, PROTOBUF, 404, "not_found"),
]


@pytest.mark.parametrize(("path", "data", "headers", "code", "reason"), HTTP_TABLE)
def test_http_refuses_and_goes_on(path: str, data: bytes, headers: Mapping[str, str], code: int, reason: str) -> None:
    async def scenario() -> None:
        counted = Counted()
        async with (
            receiving(counted, max_body_bytes=LIMIT) as receiver,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{receiver.http_port}", trust_env=False) as client,
        ):
            answer = await client.post(path, content=data, headers=dict(headers))
            assert answer.status_code == code
            assert answer.content, "the sender is told why"
            assert b"\n" not in answer.content.removeprefix(b"\n")
            assert counted.refused == {reason: 1}
            assert counted.spans == 0
            assert (await client.post("/v1/traces", content=GOOD, headers=PROTOBUF)).status_code == 200
            assert counted.spans == 1

    asyncio.run(scenario())


def test_a_body_without_a_length_is_bounded_too() -> None:
    async def scenario() -> None:
        counted = Counted()

        async def pieces() -> object:
            for _ in range(100):
                yield bytes(10_000)

        async with (
            receiving(counted, max_body_bytes=LIMIT) as receiver,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{receiver.http_port}", trust_env=False) as client,
        ):
            try:
                answer = await client.post("/v1/traces", content=pieces(), headers=PROTOBUF)  # type: ignore[arg-type]
                assert answer.status_code == 413
            except httpx.TransportError:
                pass  # it may be cut off before it has said everything
            assert counted.refused == {"too_large": 1}

    asyncio.run(scenario())


GRPC_TABLE = [
    (b"hello", grpc.StatusCode.INVALID_ARGUMENT, "malformed"),
    (GOOD[:-3], grpc.StatusCode.INVALID_ARGUMENT, "malformed"),
    (gzip.compress(GOOD)[:-5], grpc.StatusCode.INVALID_ARGUMENT, "gzip"),
    (BOMB, grpc.StatusCode.RESOURCE_EXHAUSTED, "too_large"),
    (bytes(LIMIT + 1), grpc.StatusCode.RESOURCE_EXHAUSTED, "too_large"),
]


@pytest.mark.parametrize(("data", "code", "reason"), GRPC_TABLE)
def test_grpc_refuses_and_goes_on(data: bytes, code: grpc.StatusCode, reason: str) -> None:
    async def scenario() -> None:
        counted = Counted()
        async with receiving(counted, max_body_bytes=LIMIT) as receiver:
            assert await send_grpc(receiver, data) is code
            assert counted.refused == {reason: 1}
            assert await send_grpc(receiver, GOOD) is grpc.StatusCode.OK
            assert counted.spans == 1

    asyncio.run(scenario())


def test_a_bomb_packed_by_grpc_itself_is_refused() -> None:
    async def scenario() -> None:
        counted = Counted()
        async with (
            receiving(counted, max_body_bytes=LIMIT) as receiver,
            grpc.aio.insecure_channel(f"127.0.0.1:{receiver.grpc_port}", compression=grpc.Compression.Gzip) as channel,
        ):
            call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call(bytes(32 * 1024 * 1024), timeout=20)
            assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert counted.refused == {"too_large": 1}
            method = channel.unary_unary("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await method(b"", timeout=20)
            assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED

    asyncio.run(scenario())


def test_a_bomb_is_never_unpacked_beyond_the_limit() -> None:
    bomb = gzip.compress(bytes(512 * 1024 * 1024))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Refused, match="larger than 1048576 bytes"):
        gunzip(bomb, 1024 * 1024)
    members = gzip.compress(bytes(700_000)) * 2
    with pytest.raises(Refused, match="larger"):
        gunzip(members, 1024 * 1024)
    assert gunzip(gzip.compress(b"a") + gzip.compress(b"b"), 2) == b"ab"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_a_million_empty_spans_cost_nothing() -> None:
    scope = b"\x12" + varint(len(MANY_EMPTY)) + MANY_EMPTY
    data = b"\x0a" + varint(len(scope)) + scope
    with pytest.raises(Refused, match=f"more than {SPANS_LIMIT} spans"):
        decode_traces(data, time.time_ns(), 0)
    assert count_logs(data) == len(MANY_EMPTY) // 2


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def test_odd_spans_are_marked_or_left_out_one_by_one() -> None:
    now = time.time_ns()
    trace = os.urandom(16)
    twice = proto(trace, name="twice")
    data = body(
        proto(trace, name="sane"),
        proto(trace, name="1970", start=0),
        proto(trace, name="future", start=now + 3600 * SECOND),
        proto(trace, name="far future", start=2**63, life=2**62),
        proto(trace, name="backwards", start=now, life=-SECOND),
        proto(b"", name="no trace"),
        proto(bytes(16), name="zero trace"),
        proto(trace, name="short id", span_id=b"1234"),
        twice,
        twice,
    )

    async def scenario() -> None:
        counted = Counted()
        async with receiving(counted) as receiver:
            assert await send_grpc(receiver, data) is grpc.StatusCode.OK
            assert await send_grpc(receiver, body(twice)) is grpc.StatusCode.OK
            kept = {s.name: s.odd_clock for s in receiver.traces([trace])[trace]}
        assert kept == {
            "sane": False,
            "twice": False,
            "1970": True,
            "future": True,
            "far future": True,
            "backwards": True,
        }
        assert counted.spans == 11, "they were received all the same"
        assert counted.odd == {"clock": 4, "invalid": 3, "duplicate": 2}

    asyncio.run(scenario())


def test_a_thousand_refusals_are_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with (
            receiving(Counted()) as receiver,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{receiver.http_port}", trust_env=False) as client,
        ):
            for _ in range(50):
                await client.post("/v1/traces", content=b"hello", headers=PROTOBUF)

    with caplog.at_level(logging.WARNING, "monitor.trace"):
        asyncio.run(scenario())
    lines = [r.getMessage() for r in caplog.records if r.name.startswith("monitor.trace")]
    assert len(lines) == 1
    assert "127.0.0.1 over HTTP was refused: the body is not OTLP protobuf" in lines[0]


FUZZ = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FUZZ
@given(st.binary(max_size=400))
def test_any_bytes_are_spans_or_refused(data: bytes) -> None:
    for read in (lambda d: decode_traces(d, 0, 0).carried, count_logs, lambda d: len(gunzip(d, 10_000))):
        try:
            assert read(data) >= 0
        except Refused as refused:
            assert "\n" not in str(refused)


@FUZZ
@given(st.data())
def test_a_damaged_request_is_spans_or_refused(data: st.DataObject) -> None:
    whole = bytearray(
        body(
            proto(
                bytes(range(16)),
                start=1,
                output_tokens="12",
                worker_id="1",
                events=[("request completed", {"status": "success"}), ("exception", {"exception.message": "x"})],
                status=2,
            )
        )
    )
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    for one in (bytes(whole), cut):
        try:
            decode_traces(one, 0, 0)
        except Refused:
            continue


def test_the_server_survives_whatever_comes() -> None:
    """Random bodies, headers and paths over real HTTP: an answer below 500 for each, and it goes on."""
    rng_bodies = [os.urandom(n) for n in (0, 1, 2, 7, 63, 400, 5000)] + [gzip.compress(os.urandom(50)), log_body(2)]

    async def scenario() -> None:
        counted = Counted()
        async with (
            receiving(counted, max_body_bytes=4096) as receiver,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{receiver.http_port}", trust_env=False) as client,
        ):
            for data in rng_bodies:
                for headers in (PROTOBUF, PACKED, {"Content-Type": "\xff"}, PROTOBUF | {"Content-Encoding": "\xff"}):
                    for path in ("/v1/traces", "/v1/logs", "/v1/%ff"):
                        packed = {k: v.encode("latin-1") for k, v in headers.items()}
                        answer = await client.post(path, content=data, headers=packed)
                        assert answer.status_code < 500, (path, headers, data, answer.content)
            assert (await client.post("/v1/traces", content=GOOD, headers=PROTOBUF)).status_code == 200

    asyncio.run(scenario())
