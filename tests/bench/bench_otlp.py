"""What receiving spans costs. `python -m tests.bench.bench_otlp [--seconds N] [--rate SPANS] [--grpc]`

A process of its own sends Dynamo-like spans (1.2 kB each, three a request) over a real connection at a fixed rate,
while this one receives them as the service does. Prints one JSON object; asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import time
import uuid
from multiprocessing.connection import Connection
from typing import Any

import grpc
import httpx
import psutil

from tests.trace.build import Counted, body, proto, receiving

BATCH_SPANS = 510
PADDING = {f"code.attribute.{i}": "src/http/service/openai.rs" for i in range(12)}


def batch(requests: int) -> bytes:
    """The spans of some healthy requests."""
    spans = []
    for _ in range(requests):
        trace = uuid.uuid4().bytes
        done = [("request received", PADDING), ("request completed", {"level": "INFO", "status": "success"})]
        spans.append(proto(trace, parent=trace[8:], events=done, output_tokens="150", **PADDING))
        spans.append(proto(trace, name="router.route_request", worker_id="4615343536932740002", **PADDING))
        spans.append(
            proto(trace, name="handle_payload", instance_id="4615343536932740002", component="backend", **PADDING)
        )
    return body(*spans)


def send(pipe: Connection, rate: float, seconds: float, over_grpc: bool) -> None:
    """The sender's process. Spans are made ahead: the cost of making them is not the receiver's."""
    address = pipe.recv()
    count = max(1, round(rate * seconds / BATCH_SPANS))
    # The same few hundred bodies over and over would be duplicates; ids are patched in instead.
    template = batch(BATCH_SPANS // 3)
    marks = [template[i : i + 16] for i in _trace_ids(template)]
    sent = refused = 0
    with httpx.Client(trust_env=False, timeout=30) as client, grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        began = time.monotonic()
        for number in range(count):
            data = template
            for mark in set(marks):
                data = data.replace(mark, uuid.uuid4().bytes)
            time.sleep(max(0.0, began + number * BATCH_SPANS / rate - time.monotonic()))
            try:
                if over_grpc:
                    call(data, timeout=30)
                else:
                    headers = {"Content-Type": "application/x-protobuf"}
                    client.post(f"http://{address}/v1/traces", content=data, headers=headers).raise_for_status()
                sent += BATCH_SPANS
            except (grpc.RpcError, httpx.HTTPError):
                refused += BATCH_SPANS
    pipe.send(
        {
            "sent": sent,
            "refused": refused,
            "seconds": time.monotonic() - began,
            "bytes_per_span": len(template) / BATCH_SPANS,
        }
    )


def _trace_ids(data: bytes) -> list[int]:
    """Where the trace ids stand: field 1 of a span, 16 bytes, before field 2, 8 bytes."""
    found, at = [], data.find(b"\x0a\x10")
    while at >= 0:
        if data[at + 18 : at + 20] == b"\x12\x08":
            found.append(at + 2)
        at = data.find(b"\x0a\x10", at + 1)
    return found


async def measure(rate: float, seconds: float, over_grpc: bool) -> dict[str, Any]:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    sender = multiprocessing.get_context("spawn").Process(target=send, args=(theirs, rate, seconds, over_grpc))
    sender.start()
    counted = Counted()
    process = psutil.Process()
    memory: list[float] = []
    longest = 0.0
    async with receiving(counted) as receiver:
        cpu = sum(process.cpu_times()[:2])
        ours.send(f"127.0.0.1:{receiver.grpc_port if over_grpc else receiver.http_port}")
        began = looked = time.monotonic()
        while not ours.poll():
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - looked - 0.01)
            looked = time.monotonic()
            if not memory or looked - began > len(memory) * max(1.0, seconds / 20):
                memory.append(process.memory_info().rss / 2**20)
                receiver.sweep()
        result = ours.recv()
        spent = sum(process.cpu_times()[:2]) - cpu
        kept = len(receiver._store)
    sender.join(10)
    return {
        "over": "grpc" if over_grpc else "http",
        "spans_per_second": round(result["sent"] / result["seconds"], 1),
        **{k: round(v, 1) for k, v in result.items()},
        "received": counted.spans,
        "odd": dict(counted.odd),
        "kept_at_end": kept,
        "cpu_percent_of_a_core": round(100 * spent / result["seconds"], 1),
        "memory_mb": {
            "first": round(memory[0], 1),
            "middle": round(memory[len(memory) // 2], 1),
            "last": round(memory[-1], 1),
        },
        "longest_pause_of_the_event_loop_ms": round(1000 * longest, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of receiving spans.")
    parser.add_argument("--seconds", type=float, default=150.0, help="600 for the figure of issue 4")
    parser.add_argument("--rate", type=float, default=2000.0, help="spans per second")
    parser.add_argument("--grpc", action="store_true", help="gRPC instead of HTTP")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.rate, options.seconds, options.grpc)), indent=2))


if __name__ == "__main__":
    main()
