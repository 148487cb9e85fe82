"""The supervisor's state folder: what it writes and what the local target reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from faults.base import Exit, FaultError, Process
from faults.procfs import is_alive

SUPERVISOR_FILE = "supervisor.json"
INSTANCES_FILE = "instances.json"
EVENTS_FILE = "events.jsonl"
LOGS_FOLDER = "logs"
TAIL_BYTES = 256 * 1024
KEEP_BYTES = 64 * 1024 * 1024

InstanceState = Literal["starting", "ready", "exited", "waiting"]
EventKind = Literal["started", "ready", "not_ready", "exited", "gave_up"]


class Line(BaseModel):
    """Base of the folder's records. Unknown keys are let pass: reader and writer may differ in age."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class SupervisorInfo(Line):
    """Content of supervisor.json."""

    pid: int
    start_ticks: int
    name: str

    @property
    def alive(self) -> bool:
        return is_alive(Process(pid=self.pid, start_ticks=self.start_ticks, command=""))


class InstanceInfo(Line):
    """One entry of instances.json. `pid` is None while nothing runs."""

    component: str
    name: str
    pid: int | None = None
    start_ticks: int | None = None
    command: str
    state: InstanceState
    restarts: int = 0

    @property
    def process(self) -> Process | None:
        """The process that the supervisor last started, if it still runs by the kernel's word."""
        if self.pid is None or self.start_ticks is None:
            return None
        process = Process(pid=self.pid, start_ticks=self.start_ticks, command=self.command)
        return process if is_alive(process) else None


class Event(Line):
    """One line of events.jsonl. Instants: UTC and CLOCK_MONOTONIC nanoseconds."""

    at_ns: int
    monotonic_ns: int
    event: EventKind
    component: str
    instance: str
    pid: int | None = None
    start_ticks: int | None = None
    signal: int | None = None
    code: int | None = None


_INSTANCES = TypeAdapter(list[InstanceInfo])


def replace_file(path: Path, text: str) -> None:
    """Write so that a reader sees the old or the new content, never a part."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def keep_small(path: Path, limit: int = KEEP_BYTES) -> None:
    """Move a file that has grown beyond the limit aside, in the place of the one moved before."""
    try:
        if path.stat().st_size > limit:
            path.replace(path.with_name(f"{path.name}.1"))
    except FileNotFoundError:
        return


class StateWriter:
    """The supervisor's side."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / LOGS_FOLDER).mkdir(parents=True, exist_ok=True)

    def supervisor(self, info: SupervisorInfo) -> None:
        replace_file(self.folder / SUPERVISOR_FILE, info.model_dump_json())

    def instances(self, infos: Sequence[InstanceInfo]) -> None:
        replace_file(self.folder / INSTANCES_FILE, _INSTANCES.dump_json(list(infos), indent=1).decode())

    def event(self, event: Event) -> None:
        path = self.folder / EVENTS_FILE
        keep_small(path)
        with path.open("a", encoding="utf-8") as log:
            log.write(event.model_dump_json() + "\n")

    def log_of(self, instance: str) -> Path:
        """Path of an instance's log, moved aside first if it has become large."""
        path = self.folder / LOGS_FOLDER / f"{instance}.log"
        keep_small(path)
        return path


class StateReader:
    """Everybody else's side. Errors are `FaultError` lines that say what to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def supervisor(self) -> SupervisorInfo:
        """The living supervisor of this folder."""
        path = self.folder / SUPERVISOR_FILE
        try:
            info = SupervisorInfo.model_validate_json(path.read_bytes())
        except OSError as error:
            raise FaultError(
                f"{path} cannot be read ({error.strerror}); start `aftershock supervise FILE --state {self.folder}`, "
                "or correct deployment.target.supervisor_dir"
            ) from None
        except ValidationError:
            raise FaultError(f"{path} is not a supervisor's file; is this its state folder?") from None
        if not info.alive:
            raise FaultError(
                f"the supervisor of {self.folder} (pid {info.pid}) is not running any more; "
                f"start `aftershock supervise FILE --state {self.folder}` again"
            )
        return info

    def instances(self) -> list[InstanceInfo]:
        """What the supervisor says of its instances; raises `FaultError` when it does not run."""
        self.supervisor()
        path = self.folder / INSTANCES_FILE
        try:
            return _INSTANCES.validate_json(path.read_bytes())
        except OSError as error:
            raise FaultError(f"{path} cannot be read: {error.strerror}") from None
        except ValidationError:
            raise FaultError(f"{path} is damaged; restart the supervisor") from None

    def exit_of(self, process: Process) -> Exit | None:
        """How a process ended by the supervisor's word; None when it has not said so (lately)."""
        for event in self.latest_events():
            if event.event == "exited" and (event.pid, event.start_ticks) == (process.pid, process.start_ticks):
                return Exit(signal=event.signal, code=event.code, at_monotonic_ns=event.monotonic_ns)
        return None

    def latest_events(self) -> Iterator[Event]:
        """The last events, newest first."""
        for line in reversed(list(self._tail())):
            try:
                yield Event.model_validate(json.loads(line))
            except ValueError:
                continue

    def _tail(self) -> Iterable[bytes]:
        try:
            with (self.folder / EVENTS_FILE).open("rb") as log:
                size = log.seek(0, 2)
                log.seek(max(0, size - TAIL_BYTES))
                return log.read().splitlines()
        except OSError:
            return ()
