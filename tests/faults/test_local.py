"""The local target: supervised and attached instances, and clear errors."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from faults.base import FaultError, NoInstances
from faults.helper import stall as stall_helper
from faults.pidfd import signal_once
from faults.targets.local import LocalTarget, is_own_program
from faults.targets.state import StateReader
from tests.faults.world import IDLE, PYTHON, World, run, state_of, wait_for


def marked(world: World, number: int) -> list[str]:
    """A command line that nobody else on this machine has."""
    return [*PYTHON, f"{IDLE} # mark-{world.folder.name}-{os.getpid()} {number}"]


def pattern(world: World) -> str:
    return f"mark-{world.folder.name}-{os.getpid()}"


def test_a_missing_state_folder_says_what_to_do(tmp_path: Path) -> None:
    target = LocalTarget("demo", tmp_path / "none")
    with pytest.raises(FaultError, match=r"cannot be read .*start `aftershock supervise FILE --state "):
        run(target.components())
    with pytest.raises(FaultError, match="cannot be read"):
        run(target.instances("worker"))


def test_a_dead_supervisor_is_said(world: World) -> None:
    folder = world.supervisor([{"name": "worker", "command": [*PYTHON, IDLE]}])
    target = LocalTarget("demo", folder)
    assert run(target.components()) == ["worker"]
    world.supervisors[0].send_signal(signal.SIGTERM)
    world.supervisors[0].wait(30)
    with pytest.raises(FaultError, match=r"the supervisor of .* \(pid \d+\) is not running any more"):
        run(target.instances("worker"))


def test_a_strange_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "supervisor.json").write_text("[]", encoding="utf-8")
    with pytest.raises(FaultError, match="is not a supervisor's file"):
        StateReader(tmp_path).supervisor()


def test_an_unknown_component_names_what_is_there(world: World) -> None:
    folder = world.supervisor([{"name": "worker", "command": [*PYTHON, IDLE]}])
    target = LocalTarget("demo", folder, [("engine", pattern(world))])
    assert run(target.components()) == ["worker", "engine"]
    with pytest.raises(NoInstances, match="no component prefill in demo; there is worker, engine"):
        run(target.instances("prefill"))


def test_an_instance_that_is_down_is_not_there(world: World) -> None:
    command = [*PYTHON, IDLE]
    folder = world.supervisor([{"name": "worker", "command": command, "replicas": 2, "restart": {"when": "never"}}])
    target = LocalTarget("demo", folder)
    process = world.process(folder, "worker-0")
    before = run(target.instances("worker"))
    assert [one.name for one in before] == ["worker-0", "worker-1"]
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: state_of(process) == "gone", "its end")
    assert [one.name for one in run(target.instances("worker"))] == ["worker-1"]
    assert run(target.replacement_of(before[0])) is None
    assert run(target.replacement_of(before[1])) is None
    assert run(target.ready(before[1])) is True
    exit_of = wait_for(lambda: run(target.exit_of(process)), "the parent's word")
    assert exit_of is not None
    assert (exit_of.signal, exit_of.code) == (signal.SIGKILL, None)


def test_attached_processes_keep_their_names(world: World) -> None:
    first, second = (world.detached(marked(world, number)) for number in (1, 2))
    target = LocalTarget("demo", attach=[("worker", pattern(world))])
    seen = run(target.instances("worker"))
    assert [one.name for one in seen] == ["worker-0", "worker-1"]
    by_pid = {one.process.pid: one for one in seen if one.process is not None}
    assert set(by_pid) == {first.pid, second.pid}
    victim = by_pid[first.pid]

    signal_once(first, signal.SIGKILL)
    wait_for(lambda: state_of(first) == "gone", "its end")
    assert [one.name for one in run(target.instances("worker"))] == [by_pid[second.pid].name]
    assert run(target.replacement_of(victim)) is None
    third = world.detached(marked(world, 3))
    fresh = run(target.replacement_of(victim))
    assert fresh is not None
    assert fresh.process is not None
    assert (fresh.name, fresh.process.pid) == (victim.name, third.pid)
    assert run(target.ready(fresh)) is None
    assert run(target.exit_of(first)) is None


def test_children_and_launchers_that_match_too_are_one_instance(world: World) -> None:
    mark = pattern(world)
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(600) # {mark}'])"
    launcher = world.detached(["/bin/sh", "-c", f'{sys.executable} -I -S -c "{code}"; true # {mark}'])
    target = LocalTarget("demo", attach=[("worker", mark)])

    def below() -> bool:
        from faults import procfs  # noqa: PLC0415 - only here

        pids = procfs.descendants(launcher.pid, procfs.table())
        return len([pid for pid in pids if mark in procfs.command(pid)]) == 2

    wait_for(below, "parent and child below the launcher")
    (only,) = run(target.instances("worker"))
    assert only.process is not None
    assert only.process.command.startswith(f"{sys.executable} -I -S -c import subprocess")
    world.processes.append(only.process)


def test_our_own_processes_never_match(world: World) -> None:
    stranger = world.detached(marked(world, 1))
    command_line = world.detached(marked(world, 3), title="aftershock")
    # Matches this test process, its parents, its children and the stranger alike.
    target = LocalTarget("demo", attach=[("all", ".")])
    pids = {one.process.pid for one in run(target.instances("all")) if one.process is not None}
    folder = world.supervisor([{"name": "worker", "command": marked(world, 2)}])
    supervised = world.process(folder, "worker-0")
    again = {one.process.pid for one in run(target.instances("all")) if one.process is not None}
    assert os.getpid() not in pids | again
    assert command_line.pid not in pids | again
    assert os.getppid() not in pids | again
    assert world.supervisors[0].pid not in again
    assert supervised.pid not in again
    narrow = LocalTarget("demo", attach=[("some", pattern(world))])
    assert [one.process.pid for one in run(narrow.instances("some")) if one.process] == [stranger.pid]


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        (["/usr/bin/python3", "/opt/venv/bin/aftershock", "serve", "-c", "x"], True),
        (["aftershock", "inject", "worker"], True),
        (["python", "-m", "faults.targets.supervise", "f.yaml"], True),
        (["python", "-I", "-S", stall_helper.__file__, "/tmp/x"], True),  # noqa: S108 - only a text
        (["python", "-m", "dynamo.mocker"], False),
        (["python", "worker.py", "--name", "aftershock"], False),
    ],
)
def test_own_programs_by_their_command_lines(words: list[str], ours: bool) -> None:
    assert is_own_program(words) is ours


def test_a_bad_attach_pattern_is_one_line() -> None:
    with pytest.raises(FaultError, match=r"attach pattern of worker: '\(' is not a regular expression"):
        LocalTarget("demo", attach=[("worker", "(")])


def test_damaged_lines_in_the_events_are_passed_over(world: World) -> None:
    folder = world.supervisor([{"name": "worker", "command": [*PYTHON, IDLE], "restart": {"when": "never"}}])
    process = world.process(folder, "worker-0")
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: LocalTarget("demo", folder) and run(LocalTarget("demo", folder).exit_of(process)), "the word")
    with (folder / "events.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"event": "exi\n[]\n')
    assert run(LocalTarget("demo", folder).exit_of(process)) is not None
