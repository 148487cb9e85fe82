"""How fast, how gapless and how cheap the way from aiperf to records is. `python -m tests.bench.bench_ingest [--quick]`

Prints one JSON object. The server runs in a process of its own, so that only the probe's work counts as the monitor's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from probes.record import ProbeEvent, Record
from tests.support.load import Load, until
from tests.support.scripted_server import ScriptedServer

INGEST_RATE = 20.0
ROTATION_RATE = 10.0
CPU_RATE = 50.0
ROTATE_SECONDS = 15.0


def serve(pipe: Connection) -> None:
    """The server's process; ends when the pipe does."""

    async def scenario() -> None:
        async with ScriptedServer() as server:
            pipe.send(server.port)
            while not await asyncio.to_thread(pipe.poll, 1.0):
                pass

    asyncio.run(scenario())


@contextmanager
def server_process() -> Iterator[str]:
    """Address of a scripted server in another process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        ours.send("end")
        process.join(10)
        process.kill()


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def measure_latency(url: str, folder: Path, seconds: float) -> dict[str, Any]:
    """From the end of a request to its record in the monitor's hands."""
    load = Load(url, folder, request_rate=INGEST_RATE)
    waits: list[float] = []

    def sink(event: ProbeEvent) -> None:
        if isinstance(event, Record):
            waits.append((load.clock.now_ns() - event.end_ns) / 1e6)

    load.probe._sink = sink
    await load.probe.start()
    try:
        await load.until_up()
        await asyncio.sleep(2.0)
        waits.clear()
        await asyncio.sleep(seconds)
        measured = list(waits)
    finally:
        await load.probe.stop()
    figures = {f"p{round(share * 100)}_ms": round(percentile(measured, share), 1) for share in (0.5, 0.99)}
    return {"requests_per_second": INGEST_RATE, "records": len(measured), **figures, "max_ms": round(max(measured), 1)}


async def measure_rotation(url: str, folder: Path, rotations: int) -> dict[str, Any]:
    """Longest time from one request start to the next while processes take over from each other."""
    load = Load(url, folder, request_rate=ROTATION_RATE, rotate_seconds=ROTATE_SECONDS)
    await load.probe.start()
    try:
        await until(lambda: len(load.closed) >= rotations, f"{rotations} rotations", seconds=120.0 * rotations)
    finally:
        await load.probe.stop()
    starts = sorted(r.start_ns for r in load.records)
    steps = [(b - a) / 1e6 for a, b in pairwise(starts)]
    return {
        "requests_per_second": ROTATION_RATE,
        "rotations": rotations,
        "requests": len(starts),
        "longest_start_to_start_ms": round(max(steps), 1),
        "intervals": round(max(steps) * ROTATION_RATE / 1000, 2),
        "gaps_reported": len(load.gaps),
        "lost_before_stop": sum(c.lost for c in load.closed if "stopped" not in c.reason),
        "numbers_missing": sum(c.sent - c.recorded - c.lost for c in load.closed),
    }


async def measure_cpu(url: str, folder: Path, seconds: float) -> dict[str, Any]:
    """Processor time of reading the records beside that of aiperf itself, in the same seconds."""
    load = Load(url, folder, request_rate=CPU_RATE)
    await load.probe.start()
    try:
        await load.until_up()
        await asyncio.sleep(2.0)
        family = [
            p for pid in load.probe.state().pids for p in (psutil.Process(pid), *psutil.Process(pid).children(True))
        ]
        ours, theirs, records = time.process_time(), cpu_seconds(family), len(load.records)
        await asyncio.sleep(seconds)
        ours, theirs, records = time.process_time() - ours, cpu_seconds(family) - theirs, len(load.records) - records
    finally:
        await load.probe.stop()
    return {
        "requests_per_second": CPU_RATE,
        "records": records,
        "probe_percent_of_a_core": round(100 * ours / seconds, 2),
        "aiperf_percent_of_a_core": round(100 * theirs / seconds, 2),
        "ratio": round(ours / theirs, 3),
    }


def cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(p.cpu_times()[:2]) for p in processes)


def main() -> None:
    parser = argparse.ArgumentParser(description="Latency, gaps and cost of ingesting aiperf's records.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the time; for trying the script")
    quick = parser.parse_args().quick
    with server_process() as url, tempfile.TemporaryDirectory(prefix="aftershock-bench-") as folder:
        root = Path(folder)
        figures = {
            "latency": asyncio.run(measure_latency(url, root / "latency", 6.0 if quick else 60.0)),
            "cpu": asyncio.run(measure_cpu(url, root / "cpu", 6.0 if quick else 60.0)),
            "rotation": asyncio.run(measure_rotation(url, root / "rotation", 1 if quick else 10)),
        }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
