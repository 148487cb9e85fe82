"""One aiperf process: started, held, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from probes.command import SegmentPaths, arguments, environment
from probes.spec import EndpointSpec, ProbeSpec
from probes.tail import SegmentTail

INTERRUPT_SECONDS = 7.0
TERMINATE_SECONDS = 1.0
KILL_SECONDS = 1.5
LOG_LINES = 3
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(slots=True)
class Segment:
    """A running aiperf. Instants are monotonic nanoseconds."""

    number: int
    paths: SegmentPaths
    tail: SegmentTail
    process: asyncio.subprocess.Process
    launched_ns: int
    first_start_ns: int | None = None
    held_ns: int | None = None
    """Since when it may start no further request, because another one does."""
    stop_reason: str = ""
    """Why we stopped it; empty while it is meant to run."""
    stopping: asyncio.Task[None] | None = None
    seen_ns: int = field(default=0)
    """Latest instant at which it was known to run."""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def exited(self) -> bool:
        return self.process.returncode is not None

    @property
    def retiring(self) -> bool:
        return self.held_ns is not None or self.stopping is not None

    @property
    def last_start_ns(self) -> int | None:
        return self.tail.books.last_start_ns

    def hold(self, now_ns: int) -> None:
        """Let it start no further request; those in flight go on."""
        self.paths.hold.touch()
        self.held_ns = now_ns

    def begin_stop(self, reason: str, *, kill: bool = False) -> None:
        """Stop it in the background; SIGINT makes aiperf flush. One that has sent nothing has nothing to flush."""
        if self.stopping is None:
            self.stop_reason = reason
            self.stopping = asyncio.create_task(stop_process(self.process, kill=kill or self.first_start_ns is None))

    def why_it_died(self) -> str:
        """Exit code and the last words of its log, in one line."""
        code = self.process.returncode
        how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
        words = last_words(self.paths.output) or last_words(self.paths.log)
        return f"aiperf ended with {how}" + (f": {words}" if words else "")


async def launch(
    spec: ProbeSpec,
    endpoint: EndpointSpec,
    number: int,
    tail: SegmentTail,
    paths: SegmentPaths,
    *,
    now_ns: int,
) -> Segment:
    """Start aiperf in a fresh folder and a session of its own; it dies with the thread that calls this.

    Raises OSError when the folder or the process cannot be made.
    """
    for folder in (paths.root, paths.temporary):
        folder.mkdir(parents=True)
    tokenizer = spec.tokenizer if spec.tokenizer != "builtin" else str(paths.root.parent / "tokenizer")
    command = [sys.executable, "-m", "probes.launch", str(os.getpid()), *arguments(spec, endpoint, paths, tokenizer)]
    with paths.output.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=paths.root,
            env=environment(spec, endpoint, paths),
            start_new_session=True,
        )
    return Segment(number=number, paths=paths, tail=tail, process=process, launched_ns=now_ns, seen_ns=now_ns)


async def stop_process(process: asyncio.subprocess.Process, *, kill: bool = False) -> None:
    """SIGINT, then SIGTERM, then SIGKILL to the whole group, each with its bound; about ten seconds at most."""
    steps = [(signal.SIGINT, INTERRUPT_SECONDS), (signal.SIGTERM, TERMINATE_SECONDS)]
    for number, patience in [] if kill else steps:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), patience)
            break
    await _kill_group(process)


async def _kill_group(process: asyncio.subprocess.Process) -> None:
    """aiperf's children are in its group; none of them may outlive it, whatever ended it."""
    for _ in range(round(KILL_SECONDS / 0.02)):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            break
        await asyncio.sleep(0.02)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), KILL_SECONDS)


def last_words(log: Path) -> str:
    """The last few meaningful lines of a log, joined; empty when there are none."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 8192))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [re.sub(r"[\u2500-\u257f]+", "", ANSI.sub("", line)).strip() for line in text.splitlines()]
    return " / ".join([line for line in lines if line][-LOG_LINES:])[:500]
