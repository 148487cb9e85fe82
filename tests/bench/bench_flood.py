"""More spans than the receiver can take, beside a probe. `python -m tests.bench.bench_flood [--seconds 20]`

Prints JSON; asserts nothing. What matters: what is not taken is counted, and the probe does not notice: requests start
on time and their records arrive. The senders are half as many processes as there are processors, or they would starve aiperf by themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import tempfile
import time
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx

from probes.record import ProbeEvent, Record
from tests.bench.bench_ingest import percentile, server_process
from tests.bench.bench_otlp import BATCH_SPANS, batch
from tests.support.load import Load
from tests.trace.build import Counted, receiving

RATE = 20.0
BODIES = 8
CONNECTIONS = 24
"""More than the receiver lets wait."""


async def _flood(url: str, seconds: float) -> tuple[int, int]:
    bodies = [batch(BATCH_SPANS // 3) for _ in range(BODIES)]
    taken = refused = 0
    end = time.monotonic() + seconds
    async with httpx.AsyncClient(trust_env=False, timeout=30, limits=httpx.Limits(max_connections=CONNECTIONS)) as http:

        async def one(number: int) -> None:
            nonlocal taken, refused
            while time.monotonic() < end:
                headers = {"Content-Type": "application/x-protobuf"}
                answer = await http.post(f"{url}/v1/traces", content=bodies[number % BODIES], headers=headers)
                taken += answer.status_code == 200
                refused += answer.status_code == 503

        await asyncio.gather(*(one(number) for number in range(CONNECTIONS)))
    return taken, refused


def send(pipe: Connection) -> None:
    """A sender's process: floods for as long as it is told."""
    url, seconds = pipe.recv()
    pipe.send(asyncio.run(_flood(url, seconds)))


async def measure(server: str, folder: Path, seconds: float) -> dict[str, Any]:
    """The same probe without and with the flood."""
    load = Load(server, folder, request_rate=RATE)
    waits: list[float] = []
    starts: list[int] = []

    def sink(event: ProbeEvent) -> None:
        if isinstance(event, Record):
            waits.append((load.clock.now_ns() - event.end_ns) / 1e6)
            starts.append(event.start_ns)

    load.probe._sink = sink
    counted = Counted()

    def taken() -> dict[str, Any]:
        steps = [(b - a) / 1e6 for a, b in pairwise(sorted(starts))]
        found = {
            "records": len(waits),
            "record_p99_ms": round(percentile(waits, 0.99), 1),
            "longest_start_to_start_ms": round(max(steps), 1),
        }
        waits.clear()
        starts.clear()
        return found

    async with receiving(counted) as receiver:
        senders = [_sender() for _ in range(max(1, (os.cpu_count() or 1) // 2))]
        await load.probe.start()
        try:
            await load.until_up()
            await asyncio.sleep(3.0)
            waits.clear()
            starts.clear()
            await asyncio.sleep(seconds)
            calm = taken()
            for _, pipe in senders:
                pipe.send((f"http://127.0.0.1:{receiver.http_port}", seconds))
            begun = time.process_time()
            await asyncio.sleep(seconds)
            cpu = time.process_time() - begun
            flooded = taken()
            sent = [await asyncio.to_thread(pipe.recv) for _, pipe in senders]
            gaps = len(load.gaps)
        finally:
            await load.probe.stop()
            for process, _ in senders:
                process.join(10)
                process.kill()
    return {
        "calm": calm,
        "flooded": flooded,
        "gaps_reported": gaps,
        "spans_per_second_sent": round(sum(a + b for a, b in sent) * BATCH_SPANS / seconds),
        "bodies": {"taken": sum(a for a, _ in sent), "refused": sum(b for _, b in sent)},
        "counted": {"spans": counted.spans, "refused": dict(counted.refused), "odd": dict(counted.odd)},
        "cpu_of_a_core": round(cpu / seconds, 2),
    }


def _sender() -> tuple[BaseProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=send, args=(theirs,), daemon=True)
    process.start()
    return process, ours


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="A flood of spans beside a probe.")
    parser.add_argument("--seconds", type=float, default=20.0)
    seconds = parser.parse_args().seconds
    with server_process() as url, tempfile.TemporaryDirectory(prefix="aftershock-bench-") as folder:
        print(json.dumps(asyncio.run(measure(url, Path(folder) / "probe", seconds)), indent=2))


if __name__ == "__main__":
    main()
