"""What runs inside a container, sent to its own Python over the exec connection. Standard library only, Python 3.9 on.

    list                                     the processes that the container sees
    kill SIGNAL SECONDS PID:TICKS...         send a signal, see them go
    stall RUN SECONDS PID:TICKS...           stop them, continue them when the time is over
    release RUN PID:TICKS...                 end that run's stall now and continue what is stopped

Answers are lines of JSON; the first is `ready`, after which a byte on standard input means go. The rules of a container's first process (PID 1 of its namespace) decide how it is
reached from inside: the kernel drops SIGKILL and SIGSTOP for it, and every signal that it has no handler for.
- SIGKILL: it is held with ptrace by a process that ends at once, upon which the kernel kills it. Where ptrace is
  not permitted its CPU time limit is set to one second, and the kernel kills it as soon as it has used that.
- A stall: its threads are held with ptrace. When the holder ends, in whatever way, the kernel lets them go.

The connection may break at any time: a stall goes on without it and ends by its own clock.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SETTLE_SECONDS = 5.0
LOOK_SECONDS = 0.05
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
PTRACE_O_EXITKILL = 0x100000
PTRACE_EVENT_STOP = 128
WALL = 0x40000000
WAKE = {signal.SIGTERM, signal.SIGINT}

Target = tuple[int, int]


ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
ptrace.restype = ctypes.c_long


class Refused(Exception):
    """Nothing was done; the text says why."""


def say(event: str, **more: Any) -> None:
    """A line for whoever still listens."""
    with contextlib.suppress(OSError):
        os.write(1, (json.dumps(dict(more, event=event, ns=time.monotonic_ns())) + "\n").encode())


def read(pid: int, file: str) -> bytes:
    return Path(f"/proc/{pid}/{file}").read_bytes()


def names(folder: str) -> list[str]:
    return [entry.name for entry in Path(folder).iterdir()]


def stat(pid: int) -> tuple[str, int, int] | None:
    """State letter, parent and start time; None when there is no such process."""
    try:
        fields = read(pid, "stat").decode(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[1]), int(fields[19])


def state(pid: int, ticks: int) -> str:
    """The kernel's letter, or `gone`."""
    found = stat(pid)
    return found[0] if found is not None and found[2] == ticks and found[0] not in "ZX" else "gone"


def command(pid: int) -> str:
    try:
        words, name = read(pid, "cmdline").rstrip(b"\0"), read(pid, "comm").strip()
    except OSError:
        return ""
    return (words.replace(b"\0", b" ") or b"[" + name + b"]").decode(errors="replace")


def pids() -> list[int]:
    return sorted(int(name) for name in names("/proc") if name.isdigit())


def cgroup(pid: int) -> bytes:
    """What tells the containers of a pod apart; empty when it cannot be read."""
    try:
        return read(pid, "cgroup")
    except OSError:
        return b""


def must_be_inside() -> None:
    """Where the kernel's own threads are of our kind, a runtime has let us out, and nothing here is the container's."""
    try:
        second = read(2, "comm").strip()
    except OSError:
        return
    if second == b"kthreadd" and cgroup(2) == cgroup(os.getpid()):
        raise Refused("this is the machine itself and no container: the runtime's exec did not go into it")


def list_processes() -> None:
    ours = cgroup(os.getpid())
    for pid in pids():
        found = stat(pid)
        # With a shared pid namespace the other containers of the pod are seen too; they are not meant.
        if pid != os.getpid() and found is not None and found[0] not in "ZX" and cgroup(pid) == ours:
            say("process", pid=pid, ticks=found[2], parent=found[1], state=found[0], command=command(pid)[:400])
    say("listed")


def handled(pid: int, signum: int) -> bool:
    """Whether the process has a handler for a signal."""
    lines = read(pid, "status").decode(errors="replace").splitlines()
    caught = next(line.split()[1] for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signum - 1) & 1)


def parsed(words: list[str]) -> list[Target]:
    pairs = [word.split(":") for word in words]
    return [(int(pid), int(ticks)) for pid, ticks in pairs]


def must_live(targets: list[Target]) -> None:
    for pid, ticks in targets:
        if state(pid, ticks) == "gone":
            raise Refused(f"pid {pid} is gone or another process by now")


def kill(name: str, seconds: float, targets: list[Target]) -> None:
    must_live(targets)
    signum = getattr(signal, name)
    if signum != signal.SIGKILL and any(pid == 1 for pid, _ in targets) and not handled(1, signum):
        raise Refused(f"pid 1 has no handler for {name}, and the kernel drops it for a container's first process")
    # The first process last: with it the container ends, and we do.
    for pid, _ in sorted(targets, reverse=True):
        send(pid, name)
    end = time.monotonic() + seconds
    left = dict(targets)
    while left and time.monotonic() < end:
        for pid, ticks in list(left.items()):
            if state(pid, ticks) == "gone":
                del left[pid]
                say("gone", pid=pid)
        time.sleep(0.005)
    for pid, ticks in left.items():
        say("alive", pid=pid, state=state(pid, ticks))
    say("done")


def send(pid: int, name: str) -> None:
    try:
        if pid == 1 and name == "SIGKILL":
            say("sent", pid=pid, how=kill_first())
        else:
            say("sent", pid=pid, how="kill")
            os.kill(pid, getattr(signal, name))
    except PermissionError:
        raise Refused(f"not permitted to send {name} to pid {pid}, which another user owns") from None
    except ProcessLookupError:
        raise Refused(f"pid {pid} ended before {name} was sent") from None


def kill_first() -> str:
    """SIGKILL for pid 1, by the kernel itself; returns how."""
    if as_holder():
        return "ptrace"
    resource.prlimit(1, resource.RLIMIT_CPU, (1, 1))
    return "RLIMIT_CPU"


def as_holder() -> bool:
    """Hold pid 1 from a child that ends at once: with this option the kernel kills what its holder leaves behind."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if ptrace(PTRACE_SEIZE, 1, None, PTRACE_O_EXITKILL) == 0 else 1
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return status == 0


class Stopped:
    """One process held with SIGSTOP."""

    def __init__(self, pid: int, ticks: int) -> None:
        self.pid, self.ticks, self.early = pid, ticks, False

    def state(self) -> str:
        return state(self.pid, self.ticks)

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def go(self) -> None:
        with contextlib.suppress(OSError):
            if self.state() != "gone":
                os.kill(self.pid, signal.SIGCONT)

    def standing(self) -> bool:
        return self.state() == "T"


class Held(Stopped):
    """The container's first process, each of its threads held with ptrace."""

    def __init__(self, pid: int, ticks: int) -> None:
        super().__init__(pid, ticks)
        self.threads: dict[int, int] = {}

    def ask(self, request: int, thread: int, data: int = 0) -> None:
        if ptrace(request, thread, None, data) == -1:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def stop(self) -> None:
        # Threads that start while we look are caught by looking again; those that we hold start none.
        try:
            while self.seize_new():
                pass
        except OSError as error:
            self.go()
            why = "which is not permitted here" if isinstance(error, PermissionError) else "which failed"
            raise Refused(f"pid 1 can only be held with ptrace, {why} ({error.strerror})") from None

    def seize_new(self) -> bool:
        fresh = [int(one) for one in names(f"/proc/{self.pid}/task") if int(one) not in self.threads]
        for thread in fresh:
            try:
                self.ask(PTRACE_SEIZE, thread)
                self.ask(PTRACE_INTERRUPT, thread)
                _, status = os.waitpid(thread, WALL)
            except (ProcessLookupError, ChildProcessError):
                continue
            # A signal that was on its way when it stopped is handed on when it goes.
            own = status >> 16 != PTRACE_EVENT_STOP
            self.threads[thread] = os.WSTOPSIG(status) if os.WIFSTOPPED(status) and own else 0
        return bool(fresh)

    def go(self) -> None:
        for thread, pending in self.threads.items():
            with contextlib.suppress(OSError):
                self.ask(PTRACE_DETACH, thread, pending)
        self.threads = {}

    def standing(self) -> bool:
        return bool(self.threads) and self.state() in ("t", "T")


def states(held: list[Stopped]) -> dict[str, str]:
    return {str(one.pid): one.state() for one in held}


def until(reached: Callable[[], bool], seconds: float, again: Callable[[], None] | None = None) -> None:
    end = time.monotonic() + seconds
    while not reached() and time.monotonic() < end:
        time.sleep(0.005)
        if again is not None:
            again()


def stall(seconds: float, targets: list[Target]) -> None:
    end = time.monotonic() + seconds
    for one in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(one, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, WAKE)
    must_live(targets)
    for pid, _ in targets:
        if (stat(pid) or ("gone", 0, 0))[0] in "Tt":
            raise Refused(f"pid {pid} is stopped already")
    held = [Held(pid, ticks) if pid == 1 else Stopped(pid, ticks) for pid, ticks in targets]
    try:
        stop_all(held)
        say("before", cause=wait(held, end), states=states(held))
    finally:
        let_go(held)
    until(lambda: all(one.state() not in ("T", "t") for one in held), SETTLE_SECONDS, lambda: let_go(held))
    say("after", states=states(held))


def let_go(held: list[Stopped]) -> None:
    for one in held:
        one.go()


def stop_all(held: list[Stopped]) -> None:
    for one in held:
        try:
            one.stop()
        except PermissionError:
            raise Refused(f"not permitted to stop pid {one.pid}, which another user owns") from None
        except ProcessLookupError:
            raise Refused(f"pid {one.pid} ended before it could be stopped") from None
    until(lambda: all(one.standing() or one.state() == "gone" for one in held), SETTLE_SECONDS)
    say("start", states=states(held))


def wait(held: list[Stopped], end: float) -> str:
    """Until the time is over, we are told to end, or nothing stands still any more; returns which."""
    middle: float | None = (time.monotonic() + end) / 2
    while time.monotonic() < end:
        if middle is not None and time.monotonic() >= middle:
            say("middle", states=states(held))
            middle = None
        for one in held:
            if not one.early and not one.standing():
                one.early = True
                reason = "gone" if one.state() == "gone" else "continued by somebody else"
                say("early", pid=one.pid, states=states(held), reason=reason)
        if all(one.early for one in held):
            return "early"
        got = signal.sigtimedwait(WAKE, max(0.0, min(LOOK_SECONDS, end - time.monotonic())))
        if got is not None:
            return signal.Signals(got.si_signo).name
    return "deadline"


def holders(run: str) -> list[Target]:
    """Processes that keep that run's stall."""
    found = []
    for pid in pids():
        try:
            words = read(pid, "cmdline").split(b"\0")
        except OSError:
            continue
        if pid != os.getpid() and b"stall" in words and run.encode() in words:
            found.append((pid, stat(pid)))
    return [(pid, one[2]) for pid, one in found if one is not None]


def release(run: str, targets: list[Target]) -> None:
    ended = holders(run)
    for signum in (signal.SIGTERM, signal.SIGKILL):
        for pid, _ in ended:
            with contextlib.suppress(OSError):
                os.kill(pid, signum)
        until(lambda: all(state(pid, ticks) == "gone" for pid, ticks in ended), 3.0)
    stopped = [(pid, ticks) for pid, ticks in targets if state(pid, ticks) == "T"]
    for pid, _ in stopped:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGCONT)
    until(lambda: all(state(pid, ticks) not in ("T", "t") for pid, ticks in targets), SETTLE_SECONDS)
    now = {str(pid): state(pid, ticks) for pid, ticks in targets}
    say("released", states=now, holders=len(ended), stopped=len(stopped))


def main(words: list[str]) -> None:
    verb, rest = words[0], words[1:]
    say("ready")
    # A byte says go. Without it whoever asked is gone, or has given up on us, and nothing may be done.
    if not sys.stdin.buffer.read(1):
        return
    try:
        must_be_inside()
        if verb == "list":
            list_processes()
        elif verb == "kill":
            kill(rest[0], float(rest[1]), parsed(rest[2:]))
        elif verb == "stall":
            stall(float(rest[1]), parsed(rest[2:]))  # the run's name is there to be found by, see `holders`
        elif verb == "release":
            release(rest[0], parsed(rest[1:]))
    except Refused as error:
        say("refused", reason=str(error))


if __name__ == "__main__":
    main(sys.argv[2:])
