"""What others would have said of the same outages. Pure, but for the two that have to ask while it happens.

- plain aiperf: its own error count, from a second aiperf with the stock chat endpoint beside the probe (one lane).
- readiness: GET /health every second, as krkn and Dynamo's WaitForRecovery poll; from the first refusal to the next success.
- log gap: the longest silence of the server's own log around the outage, as Dynamo's parse_results takes it.
- Prometheus alert: `rate_alert`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from probes.command import SegmentPaths, arguments, environment
from probes.plugin.config import VARIABLE, PluginConfig
from probes.segment import stop_process
from probes.spec import EndpointSpec, ProbeSpec
from probes.tokenizer import write_tokenizer
from tests.accuracy.server import Struck

POLL_SECONDS = 1.0
POLL_TIMEOUT_SECONDS = 1.0
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Poll:
    """One look at /health; `at_ns` is monotonic."""

    at_ns: int
    ready: bool


async def poll_health(port: int, polls: list[Poll]) -> None:
    """Ask every second until cancelled."""
    while True:
        at = time.monotonic_ns()
        polls.append(Poll(at, await _ready(port)))
        await asyncio.sleep(max(0.0, POLL_SECONDS - (time.monotonic_ns() - at) / SECOND))


async def _ready(port: int) -> bool:
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(POLL_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return b" 200 " in await reader.readline()
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def unready_seconds(polls: Sequence[Poll], struck: Struck) -> float:
    """From the first refusal of the outage to the next success; 0 when no poll was refused."""
    later = [p for p in polls if p.at_ns >= struck.begin_ns - POLL_TIMEOUT_SECONDS * SECOND]
    first = next((p for p in later if not p.ready and p.at_ns <= struck.end_ns), None)
    if first is None:
        return 0.0
    again = next((p for p in later if p.ready and p.at_ns > first.at_ns), None)
    return ((again.at_ns if again else struck.end_ns) - first.at_ns) / SECOND


def read_log(path: Path) -> list[int]:
    """Monotonic instants of the server's log lines."""
    return [json.loads(line)["monotonic_ns"] for line in path.read_text(encoding="utf-8").splitlines()]


def log_gap_seconds(lines: Sequence[int], struck: Struck) -> float:
    """The longest silence that touches the outage."""
    gaps = [b - a for a, b in pairwise(lines) if b >= struck.begin_ns and a <= struck.end_ns]
    return max(gaps, default=0) / SECOND


@dataclass(frozen=True, slots=True)
class PlainLine:
    """A request of plain aiperf, in its own words; `start_ns` is monotonic."""

    request_id: str
    start_ns: int
    error: bool


class PlainAiperf:
    """aiperf as it comes, with the probe's rate and requests."""

    def __init__(self, spec: ProbeSpec, url: str, folder: Path) -> None:
        self._spec = spec
        self._endpoint = EndpointSpec(url=url, model="scripted")
        self._paths = SegmentPaths(folder)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Launch it; it dies with us. Raises OSError."""
        self._paths.temporary.mkdir(parents=True)
        tokenizer = str(await asyncio.to_thread(write_tokenizer, self._paths.root / "tokenizer"))
        command = arguments(self._spec, self._endpoint, self._paths, tokenizer)
        command[command.index("--endpoint-type") + 1] = "chat"
        env = environment(self._spec, self._endpoint, self._paths)
        env[VARIABLE] = PluginConfig().to_env()
        with self._paths.output.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *[sys.executable, "-m", "probes.launch", str(os.getpid()), *command],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._paths.root,
                env=env,
                start_new_session=True,
            )

    @property
    def pids(self) -> list[int]:
        return [self._process.pid] if self._process is not None else []

    async def stop(self) -> None:
        """Stop it and its children."""
        if self._process is not None:
            await stop_process(self._process)

    def lines(self, to_monotonic: Callable[[int], int]) -> list[PlainLine]:
        """What it wrote; `to_monotonic` turns its wall-clock instants."""
        if not self._paths.export.exists():
            return []
        found = []
        for raw in self._paths.export.read_text(encoding="utf-8").splitlines():
            data = json.loads(raw)
            meta = data["metadata"]
            start = to_monotonic(int(meta["request_start_ns"]))
            found.append(PlainLine(meta["x_request_id"], start, bool(data.get("error"))))
        return found
