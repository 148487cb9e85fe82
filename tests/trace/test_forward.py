"""What is received goes on unchanged, and a collector that is down costs the oldest spans and nothing else."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import httpx
import pytest

from monitor.trace.complaints import Complaints
from monitor.trace.forward import Forwarder, Parcel
from tests.support.load import until
from tests.trace.build import Counted, body, log_body, proto, receiving
from tests.trace.test_receiver import send_grpc

PROTOBUF = {"Content-Type": "application/x-protobuf"}


class Collector:
    """A collector that keeps what it gets; answers with the codes it is told, then 200."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.got: list[tuple[str, str, bytes]] = []
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
                data = await reader.readexactly(int(headers.get("content-length", "0")))
                code = self.codes.pop(0) if self.codes else 200
                if code == 200:
                    self.got.append((lines[0].split()[1], headers.get("content-encoding", ""), data))
                writer.write(f"HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n".encode())
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{self.port}"
        finally:
            server.close()


def forwarder(url: str, counted: Counted, queue_spans: int = 100) -> Forwarder:
    return Forwarder(
        url,
        queue_spans=queue_spans,
        dropped=counted.otlp_forward_dropped,
        complaints=Complaints(lambda: 0.0),
        pause_seconds=0.01,
    )


def test_bytes_arrive_unchanged_whichever_way_they_came() -> None:
    plain, packed, by_grpc, logs = body(proto()), gzip.compress(body(proto())), body(proto()), log_body(2)

    async def scenario() -> None:
        collector = Collector()
        counted = Counted()
        async with collector.running() as url, receiving(counted, forward_to=url) as receiver:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{receiver.http_port}", trust_env=False) as client:
                await client.post("/v1/traces", content=plain, headers=PROTOBUF)
                await client.post("/v1/traces", content=packed, headers=PROTOBUF | {"Content-Encoding": "gzip"})
                await client.post("/v1/traces", content=b"not OTLP", headers=PROTOBUF)
                await client.post("/v1/logs", content=logs, headers=PROTOBUF)
            await send_grpc(receiver, by_grpc)
            await until(lambda: len(collector.got) == 4, "four bodies", seconds=10)
        assert collector.got == [
            ("/v1/traces", "", plain),
            ("/v1/traces", "gzip", packed),
            ("/v1/logs", "", logs),
            ("/v1/traces", "", by_grpc),
        ]
        assert counted.dropped == 0

    asyncio.run(scenario())


def test_what_grpc_packed_goes_on_packed() -> None:
    data = body(*(proto() for _ in range(20)))

    async def scenario() -> None:
        collector = Collector()
        counted = Counted()
        async with (
            collector.running() as url,
            receiving(counted, forward_to=url) as receiver,
            grpc.aio.insecure_channel(f"127.0.0.1:{receiver.grpc_port}", compression=grpc.Compression.Gzip) as channel,
        ):
            await channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")(data, timeout=20)
            await until(lambda: collector.got, "the body", seconds=10)
        ((_, encoding, sent),) = collector.got
        assert (encoding, gzip.decompress(sent)) == ("gzip", data)
        assert counted.spans == 20

    asyncio.run(scenario())


def test_a_collector_that_is_away_costs_the_oldest() -> None:
    async def scenario() -> None:
        collector = Collector()
        async with collector.running() as url:
            pass  # its port is known and nobody listens there any more
        counted = Counted()
        sender = forwarder(url, counted, queue_spans=30)
        sender.start()
        for number in range(10):
            sender.put(Parcel("traces", b"%d" % number, gzip=False, count=10))
            await asyncio.sleep(0.02)
        assert (counted.dropped, sender.waiting) == (70, 30)
        async with collector.running():
            await until(lambda: len(collector.got) == 3, "the newest three", seconds=10)
        assert [data for _, _, data in collector.got] == [b"7", b"8", b"9"]
        sender.put(Parcel("traces", b"too much", gzip=False, count=31))
        assert counted.dropped == 101, "what can never fit goes at once"
        await sender.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize(("answer", "dropped"), [(200, 0), (503, 10)])
def test_what_is_dropped_while_it_is_sent_is_counted_once_it_is_known_to_be_lost(answer: int, dropped: int) -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        asked: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.append(await reader.readexactly(1))
            await go.wait()
            code = answer if len(asked) == 1 else 200
            writer.write(f"HTTP/1.1 {code} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        counted = Counted()
        sender = forwarder(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", counted, queue_spans=20)
        sender.start()
        sender.put(Parcel("traces", b"1", gzip=False, count=10))
        await until(lambda: asked == [b"1"], "the first is on its way", seconds=10)
        sender.put(Parcel("traces", b"2", gzip=False, count=15))
        assert (counted.dropped, sender.waiting) == (0, 15), "the first had to go, and may have arrived"
        go.set()
        await until(lambda: not sender.waiting, "the second is sent", seconds=10)
        await sender.stop()
        server.close()
        assert (counted.dropped, asked) == (dropped, [b"1", b"2"])

    asyncio.run(scenario())


@pytest.mark.parametrize(("codes", "arrived", "dropped"), [((503, 429, 502), 1, 0), ((400,), 0, 5)])
def test_trouble_is_tried_again_and_refusal_is_not(codes: tuple[int, ...], arrived: int, dropped: int) -> None:
    async def scenario() -> None:
        collector = Collector(*codes)
        counted = Counted()
        async with collector.running() as url:
            sender = forwarder(url, counted)
            sender.start()
            sender.put(Parcel("traces", b"one", gzip=False, count=5))
            await until(lambda: not sender.waiting, "it to be off our hands", seconds=10)
            await sender.stop()
        assert (len(collector.got), counted.dropped) == (arrived, dropped)

    asyncio.run(scenario())


def test_what_is_left_at_the_end_is_counted() -> None:
    async def scenario() -> None:
        counted = Counted()
        sender = forwarder("http://127.0.0.1:9", counted)
        sender.start()
        sender.put(Parcel("traces", b"x", gzip=False, count=5))
        await sender.stop()
        assert (counted.dropped, sender.waiting) == (5, 0)

    asyncio.run(scenario())
