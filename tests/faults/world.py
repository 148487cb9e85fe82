"""A small real world for the faults' tests: a supervisor, free processes, and looks at both."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import yaml

from faults import procfs
from faults.base import Fault, PlanContext, Process, Receipt, Target
from faults.pidfd import signal_once

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable, "-I", "-S", "-c"]
IDLE = "import time; time.sleep(600)"
IGNORES_TERM = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
EXITS_3_ON_TERM = (
    "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(3)); print('up', flush=True); time.sleep(600)"
)
KILLS_ITSELF_ON_TERM = "import os, signal, time; signal.signal(15, lambda *_: os.kill(os.getpid(), 9)); print('up', flush=True); time.sleep(600)"
DEADLINE_SECONDS = 20.0


def wait_for(reached: Callable[[], T | None], what: str, seconds: float = DEADLINE_SECONDS) -> T:
    """The first true value of `reached`, or a failure that says what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        value = reached()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.01)


def state_of(process: Process) -> str:
    found = procfs.stat_of(process)
    return found.state if found is not None and found.alive else "gone"


def runs(process: Process) -> bool:
    """Alive, and not standing still."""
    return state_of(process) not in {"gone", "T"}


def identified(pid: int) -> Process:
    found = procfs.identify(pid)
    assert found is not None, f"pid {pid} is not alive"
    return found


class World:
    """Starts real things and remembers them, so that nothing outlives a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        self.supervisors: list[subprocess.Popen[bytes]] = []
        self._runs = 0
        # Inherited by whatever is started here, however deep, so that `close` finds all of it.
        self._mark = f"AFTERSHOCK_TEST_WORLD={folder}-{os.getpid()}"
        name, _, value = self._mark.partition("=")
        self._environment = {**os.environ, name: value}

    def detached(self, words: list[str], *, title: str | None = None) -> Process:
        """A process that is no child of ours, as one that somebody else has started."""
        script = (
            "import subprocess, sys, json; words, title = json.loads(sys.argv[1]); "
            "child = subprocess.Popen([title, *words[1:]] if title else words, executable=words[0], "
            "start_new_session=True, stdin=-3, stdout=-3, stderr=-3); print(child.pid)"
        )
        done = subprocess.run(
            [*PYTHON, script, json.dumps([words, title])],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
            env=self._environment,
        )
        pid = int(done.stdout)
        marker = title or words[-1]
        wait_for(lambda: marker in procfs.command(pid), f"{marker} to be executed")
        process = identified(pid)
        self.processes.append(process)
        return process

    def supervisor(self, components: list[dict[str, Any]], *, ready: bool = True) -> Path:
        """State folder of a real supervisor, after all its instances were ready."""
        folder = self.folder / f"state-{len(self.supervisors)}"
        file = self.folder / f"{folder.name}.yaml"
        file.write_text(yaml.safe_dump({"name": "demo", "components": components}), encoding="utf-8")
        words = [sys.executable, "-m", "faults.targets.supervise", str(file), "--state", str(folder)]
        with (self.folder / f"{folder.name}.log").open("wb") as log:
            self.supervisors.append(subprocess.Popen(words, cwd=ROOT, env=self._environment, stdout=log, stderr=log))
        wait_for(lambda: (folder / "supervisor.json").exists() or self.supervisors[-1].poll(), "the supervisor")
        if ready:
            wait_for(lambda: all(one["state"] == "ready" for one in self.instances(folder)), "ready instances")
            wait_for(lambda: all(self._has_spoken(folder, one) for one in self.instances(folder)), "running programs")
        return folder

    def instances(self, folder: Path) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((folder / "instances.json").read_text(encoding="utf-8"))
        return found

    def events(self, folder: Path) -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
        except FileNotFoundError:
            return []

    def process(self, folder: Path, name: str) -> Process:
        """The process that runs as that instance now."""
        entry = next(one for one in self.instances(folder) if one["name"] == name)
        return identified(entry["pid"])

    @staticmethod
    def _has_spoken(folder: Path, entry: dict[str, Any]) -> bool:
        """Programs that install handlers say so; before that a signal would find the wrong behaviour."""
        if "print(" not in entry["command"]:
            return True
        log = folder / "logs" / f"{entry['name']}.log"
        return log.exists() and b"up" in log.read_bytes()

    def plan(self, fault: Fault, target: Target) -> Receipt:
        """Resolve and plan, as the monitor does."""
        instances = asyncio.run(fault.resolve(target, random.Random(7)))  # noqa: S311 - reproducible choice
        self._runs += 1
        folder = self.folder / f"run-{self._runs}"
        folder.mkdir()
        return fault.plan(instances, PlanContext(folder.name, time.time_ns(), time.monotonic_ns(), folder))

    def close(self) -> None:
        for supervisor in self.supervisors:
            with contextlib.suppress(ProcessLookupError):
                supervisor.send_signal(signal.SIGTERM)
            try:
                supervisor.wait(30)
            except subprocess.TimeoutExpired:
                supervisor.kill()
                supervisor.wait()
        for process in self.processes:
            signal_once(process, signal.SIGKILL)
        self._kill_marked()
        for helper in self.folder.glob("run-*/helper.json"):
            who = json.loads(helper.read_text(encoding="utf-8"))
            signal_once(Process(pid=who["pid"], start_ticks=who["start_ticks"], command=""), signal.SIGKILL)

    def _kill_marked(self) -> None:
        for pid in procfs.table():
            with contextlib.suppress(OSError):
                if self._mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    os.kill(pid, signal.SIGKILL)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end."""
    return asyncio.run(coroutine)


def fds_of(pid: int) -> set[int]:
    return {int(name) for name in os.listdir(f"/proc/{pid}/fd")}  # noqa: PTH208 - names are all that is wanted
