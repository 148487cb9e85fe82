"""A supervisor in a process of its own, started on a generated document and stopped for certain."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml

from faults.base import FaultError
from faults.targets.state import InstanceInfo, StateReader
from monitor.demo.errors import DemoError
from monitor.demo.steps import Report

# The supervisor gives each instance ten seconds before it kills; the kernel ends what is left then.
STOP_SECONDS = 40.0
_LAST_CHARACTERS = 600
# Settings of the person's own Dynamo, etcd, telemetry and cache folders are not meant for the demo's
# processes, and no secret of the monitor is.
_NOT_INHERITED = ("DYN_", "ETCD_", "NATS_", "OTEL_", "HF_", "XDG_", "AFTERSHOCK_", "AIPERF_")


class Supervised:
    """Processes under a supervisor, in one folder: document, state, logs."""

    def __init__(self, document: Mapping[str, Any], folder: Path, report: Report) -> None:
        self.state = folder.resolve() / "state"
        """The supervisor's state folder, for the `local` target."""
        self._document = document
        self._folder = folder
        self._report = report
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The supervisor's; raises `DemoError` when it is not running."""
        if self._process is None or self._process.poll() is not None:
            raise DemoError("the supervisor is not running")
        return self._process.pid

    def launch(self) -> None:
        """Start the supervisor; does not wait for its instances."""
        for folder in (self.state / "home", self.state / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / "supervised.yaml"
        file.write_text(yaml.safe_dump(dict(self._document), sort_keys=False), encoding="utf-8")
        command = [sys.executable, "-m", "monitor.demo.tethered", str(file), "--state", str(self.state)]
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C is for us, and we stop the parts in order.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=_environment(), start_new_session=True
            )

    def check_running(self) -> None:
        """Raises `DemoError` with its last words when the supervisor has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            words = " ".join(self._log.read_text(encoding="utf-8", errors="replace")[-_LAST_CHARACTERS:].split())
            raise DemoError(f"the supervisor ended with exit code {self._process.returncode}: {words or 'no output'}")

    def instances(self) -> list[InstanceInfo]:
        """What the supervisor says of its instances; empty while it is starting."""
        try:
            return StateReader(self.state).instances()
        except FaultError:
            return []

    def stop(self) -> list[str]:
        """Stop everything, wait for it, and return what had to be killed (nothing, when all is well)."""
        process = self._process
        if process is None:
            return []
        family = _family(process.pid)
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            if process.stdin is not None:
                process.stdin.close()
        self._process = None
        killed = _kill(family)
        for one in killed:
            self._report(f"had to kill {one}, which outlived its supervisor")
        return killed

    @property
    def _log(self) -> Path:
        return self._folder / "supervisor.log"


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill(family: list[psutil.Process]) -> list[str]:
    """Kill those that still run (psutil compares start times, so that a reused pid is not touched)."""
    _, alive = psutil.wait_procs(family, timeout=2)
    killed = []
    for one in alive:
        try:
            name = f"{one.name()} (pid {one.pid})"
            one.kill()
        except psutil.NoSuchProcess:
            continue
        killed.append(name)
    psutil.wait_procs(alive, timeout=5)
    return killed
