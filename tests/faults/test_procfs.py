"""Reading /proc, and what the kernel tells of an end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from faults import procfs
from faults.base import Exit, Process
from faults.pidfd import Handle, NotPermitted, exit_from_status, signal_name
from tests.faults.world import IDLE, PYTHON, World, state_of, wait_for

STAT = (
    "42 (a) name) (b) T 7 42 41 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2 3 0 0 0 0 0 0 0 0 0 0 0 0 "
    "17 0 0 0 0 0 0 0 0 0 0 0 0 0 9"
)


def test_names_with_brackets_do_not_shift_the_fields() -> None:
    found = procfs.parse_stat(STAT)
    assert (found.pid, found.comm, found.state, found.parent) == (42, "a) name) (b", "T", 7)
    assert (found.session, found.start_ticks, found.wait_status) == (41, 987654, None)
    assert found.alive
    assert procfs.parse_stat(STAT.replace(") T 7", ") Z 7")).wait_status == 9


def test_ourselves() -> None:
    me = procfs.identify(os.getpid())
    assert me is not None
    assert procfs.stat_of(me) is not None
    assert procfs.stat_of(me.model_copy(update={"start_ticks": me.start_ticks + 1})) is None
    assert os.getppid() in procfs.ancestors(os.getpid(), procfs.table())


def test_a_tree(world: World) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(600)'])"
    parent = world.detached([*PYTHON, code])
    wait_for(lambda: procfs.children(parent.pid, procfs.table()), "the child")
    table = procfs.table()
    (child,) = procfs.descendants(parent.pid, table)
    world.processes.append(Process(pid=child, start_ticks=table[child].start_ticks, command=""))
    assert procfs.ancestors(child, table)[0] == parent.pid
    assert [one.pid for one in procfs.matching([parent.pid, child], "time.sleep")] == sorted([parent.pid, child])


def test_a_process_that_retitled_itself_is_known_by_its_title(world: World) -> None:
    process = world.detached([*PYTHON, IDLE], title="sglang::scheduler_TP0")
    assert process.command.startswith("sglang::scheduler_TP0 ")


def test_launchers_are_known_by_their_program() -> None:
    with subprocess.Popen(["sh", "-c", "read line"], stdin=subprocess.PIPE) as shell:
        wait_for(lambda: procfs.arguments(shell.pid)[:1] == ["sh"], "the shell")
        assert procfs.is_launcher(shell.pid)
    assert not procfs.is_launcher(os.getpid())


@pytest.mark.parametrize(
    ("code", "want"), [("import os; os.kill(os.getpid(), 9)", (9, None)), ("raise SystemExit(3)", (None, 3))]
)
def test_the_kernel_tells_how_a_child_ended(code: str, want: tuple[int | None, int | None]) -> None:
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", f"import sys; sys.stdin.readline(); {code}"], stdin=-1)
    found = procfs.identify(child.pid)
    assert found is not None
    handle = Handle.open(found)
    assert handle is not None
    with handle:
        assert not handle.gone()
        assert handle.exit() is None
        child.communicate(b"\n")
        select.select([handle.fd], [], [], 20)
        assert handle.gone()
        how = handle.exit()
        # Kernels before 6.15 do not tell it of a reaped process; then it is not known.
        assert how is None or (how.signal, how.code) == want
        assert not handle.send(signal.SIGTERM)
    assert Handle.open(found) is None


def test_a_handle_is_of_one_very_process(world: World) -> None:
    process = world.detached([*PYTHON, IDLE])
    former = process.model_copy(update={"start_ticks": process.start_ticks - 1})
    assert Handle.open(former) is None
    handle = Handle.open(process)
    assert handle is not None
    with handle:
        assert handle.send(signal.SIGKILL)
        wait_for(handle.gone, "its end")
    assert state_of(process) == "gone"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody who may not")
def test_a_process_of_somebody_else_is_said_to_be(world: World) -> None:
    process = world.detached([*PYTHON, IDLE])
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # the child may not signal a process of root
        text = "sent"
        os.setuid(65534)
        handle = Handle.open(process)
        try:
            if handle is not None:
                handle.send(signal.SIGTERM)
        except NotPermitted as error:
            text = str(error)
        os.write(writer, text.encode())
        os._exit(0)
    os.waitpid(child, 0)
    said = os.read(reader, 1000).decode()
    os.close(reader)
    os.close(writer)
    assert said == f"not permitted to send SIGTERM to pid {process.pid}; run as its user or with CAP_KILL"


def test_wait_statuses() -> None:
    assert exit_from_status(9, 1) == Exit(signal=9, at_monotonic_ns=1)
    assert exit_from_status(3 << 8, 1) == Exit(code=3, at_monotonic_ns=1)
    assert signal_name(15) == "SIGTERM"
    assert signal_name(40) == "signal 40"
