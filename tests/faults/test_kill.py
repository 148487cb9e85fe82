"""process_kill on real processes, under the real supervisor and attached."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from faults import procfs
from faults.base import Exit, NoInstances, NotInjected
from faults.pidfd import signal_once
from faults.process import ProcessKill
from faults.select import ProcessSelector, Selector
from faults.targets.local import LocalTarget
from tests.faults.world import (
    EXITS_3_ON_TERM,
    IDLE,
    IGNORES_TERM,
    KILLS_ITSELF_ON_TERM,
    PYTHON,
    World,
    identified,
    run,
    runs,
    state_of,
    wait_for,
)


def component(code: str, **more: Any) -> dict[str, Any]:
    return {"name": "worker", "command": [*PYTHON, code], "restart": {"delay_seconds": 0.1}, **more}


def target_of(folder: Path) -> LocalTarget:
    return LocalTarget("demo", folder)


def test_sigkill_is_proven_by_the_parents_word_and_the_replacement_is_seen(world: World) -> None:
    folder = world.supervisor([component(IDLE, replicas=2)])
    target = target_of(folder)
    fault = ProcessKill(component=("worker",))
    receipt = world.plan(fault, target)
    victim, other = receipt.instances[0].processes[0], world.process(folder, "worker-1")
    before = time.monotonic_ns()

    run(fault.inject(receipt, target))
    evidence = run(fault.verify(receipt, target))

    assert evidence.summary == f"pid {victim.pid} gone, SIGKILL (waitpid)"
    assert before <= evidence.at_monotonic_ns <= time.monotonic_ns()
    assert state_of(victim) == "gone"
    assert runs(other)
    told = run(target.exit_of(victim))
    assert told is not None
    assert told.signal == signal.SIGKILL
    fresh = wait_for(lambda: run(target.replacement_of(receipt.instances[0])), "the replacement")
    assert fresh.name == "worker-0"
    assert fresh.process is not None
    assert fresh.process.pid != victim.pid
    wait_for(lambda: run(target.ready(fresh)), "the replacement to be ready")
    assert run(fault.revert(receipt, target)).outcome == "nothing_to_do"
    assert run(fault.revert(receipt, None)).outcome == "nothing_to_do"


def test_a_process_that_ignores_sigterm_is_not_injected_with_evidence(world: World) -> None:
    target = target_of(world.supervisor([component(IGNORES_TERM, stop_signal="SIGKILL")]))
    fault = ProcessKill(component=("worker",), signal="SIGTERM", verify_timeout_seconds=0.4)
    receipt = world.plan(fault, target)
    victim = receipt.instances[0].processes[0]
    run(fault.inject(receipt, target))
    with pytest.raises(NotInjected, match=f"pid {victim.pid} still alive, state [SR]: 0.4 s after SIGTERM") as caught:
        run(fault.verify(receipt, target))
    assert caught.value.evidence is not None
    assert "still alive" in caught.value.evidence.summary
    assert runs(victim)


def test_an_orderly_exit_after_sigterm_counts_with_its_code(world: World) -> None:
    target = target_of(world.supervisor([component(EXITS_3_ON_TERM)]))
    fault = ProcessKill(component=("worker",), signal="SIGTERM")
    receipt = world.plan(fault, target)
    run(fault.inject(receipt, target))
    summary = run(fault.verify(receipt, target)).summary
    assert summary == f"pid {receipt.instances[0].processes[0].pid} gone, exit code 3 after SIGTERM (waitpid)"


def test_a_death_of_something_else_is_not_injected(world: World) -> None:
    target = target_of(world.supervisor([component(KILLS_ITSELF_ON_TERM)]))
    fault = ProcessKill(component=("worker",), signal="SIGTERM")
    receipt = world.plan(fault, target)
    run(fault.inject(receipt, target))
    with pytest.raises(NotInjected, match="died of SIGKILL, not of our SIGTERM"):
        run(fault.verify(receipt, target))


@pytest.mark.parametrize(
    ("sent", "how", "accepted"),
    [
        ("SIGKILL", Exit(signal=9, at_monotonic_ns=1), True),
        ("SIGKILL", Exit(code=0, at_monotonic_ns=1), False),
        ("SIGKILL", Exit(signal=11, at_monotonic_ns=1), False),
        ("SIGINT", Exit(code=1, at_monotonic_ns=1), True),
        ("SIGINT", Exit(signal=2, at_monotonic_ns=1), True),
        ("SIGINT", Exit(signal=15, at_monotonic_ns=1), False),
    ],
)
def test_which_ends_are_the_work_of_a_signal(sent: str, how: Exit, accepted: bool) -> None:
    fault = ProcessKill(component=("worker",), signal=sent)
    assert (fault._wrong_end(1, how) is None) is accepted


def test_one_that_died_before_means_nothing_is_sent_to_the_others(world: World) -> None:
    folder = world.supervisor([component(IDLE, replicas=2)])
    target = target_of(folder)
    fault = ProcessKill(component=("worker",), instances=Selector(pick="all"))
    receipt = world.plan(fault, target)
    first, second = (instance.processes[0] for instance in receipt.instances)
    signal_once(second, signal.SIGKILL)
    wait_for(lambda: state_of(second) == "gone", "the second to end")
    with pytest.raises(NotInjected, match=f"pid {second.pid} .* was gone before the signal was sent"):
        run(fault.inject(receipt, target))
    assert runs(first)


def test_all_instances_die_and_the_evidence_names_each(world: World) -> None:
    target = target_of(world.supervisor([component(IDLE, replicas=2)]))
    fault = ProcessKill(component=("worker",), instances=Selector(pick="all"))
    receipt = world.plan(fault, target)
    run(fault.inject(receipt, target))
    summary = run(fault.verify(receipt, target)).summary
    assert [f"pid {one.processes[0].pid} gone, SIGKILL (waitpid)" for one in receipt.instances] == summary.split("; ")


CHILD_OF_ITS_OWN_SESSION = (
    "import subprocess, sys, time; "
    "subprocess.Popen(['VLLM::EngineCore', '-I', '-S', '-c', 'import time; time.sleep(600)'], "
    "executable=sys.executable, start_new_session=True); print('up', flush=True); time.sleep(600)"
)


def engine_core_of(world: World, folder: Path) -> int:
    main = world.process(folder, "worker-0")

    def child() -> int | None:
        found = [pid for pid in procfs.children(main.pid, procfs.table()) if "EngineCore" in procfs.command(pid)]
        return found[0] if found else None

    pid = wait_for(child, "the engine process")
    assert pid is not None
    world.processes.append(identified(pid))
    return pid


@pytest.mark.parametrize("whole_tree", [True, False])
def test_whole_tree_reaches_what_the_process_started(world: World, whole_tree: bool) -> None:
    folder = world.supervisor([component(CHILD_OF_ITS_OWN_SESSION, restart={"when": "never"})])
    target = target_of(folder)
    below = identified(engine_core_of(world, folder))
    fault = ProcessKill(component=("worker",), whole_tree=whole_tree)
    receipt = world.plan(fault, target)
    run(fault.inject(receipt, target))
    summary = run(fault.verify(receipt, target)).summary
    assert (state_of(below) == "gone") is whole_tree
    assert (f"pid {below.pid} gone" in summary) is whole_tree


def test_a_pattern_picks_the_engine_process_and_says_where_it_was(world: World) -> None:
    folder = world.supervisor([component(CHILD_OF_ITS_OWN_SESSION, restart={"when": "never"})])
    target = target_of(folder)
    main, below = world.process(folder, "worker-0"), engine_core_of(world, folder)
    fault = ProcessKill(component=("worker",), processes=ProcessSelector(pattern="^VLLM::EngineCore"))
    receipt = world.plan(fault, target)
    assert [one.pid for one in receipt.instances[0].processes] == [below]
    run(fault.inject(receipt, target))
    evidence = run(fault.verify(receipt, target))
    assert evidence.summary.startswith(f"pid {below} gone, SIGKILL")
    assert f"inside main process {main.pid}" in evidence.details[0]
    assert runs(main)


def test_a_pattern_without_a_match_names_it_and_what_is_there(world: World) -> None:
    folder = world.supervisor([component(IDLE)])
    main = world.process(folder, "worker-0")
    fault = ProcessKill(component=("worker",), processes=ProcessSelector(pattern="TRTLLM::EngineCore"))
    with pytest.raises(NoInstances) as caught:
        world.plan(fault, target_of(folder))
    text = str(caught.value)
    assert "worker-0: no process matches 'TRTLLM::EngineCore'" in text
    assert f"there is {main.pid} (" in text
    assert "\n" not in text


def test_selectors_without_a_match_say_what_is_there(world: World) -> None:
    target = target_of(world.supervisor([component(IDLE)]))
    with pytest.raises(NoInstances, match="no component prefill or decode in demo; there is worker"):
        world.plan(ProcessKill(component=("prefill", "decode")), target)
    with pytest.raises(NoInstances, match="instances index:3 of worker matches nothing; there is worker-0"):
        world.plan(ProcessKill(component=("worker",), instances=Selector(pick="index", value=3)), target)


def test_the_first_component_that_exists_is_taken(world: World) -> None:
    target = target_of(world.supervisor([component(IDLE)]))
    receipt = world.plan(ProcessKill(component=("decode", "worker")), target)
    assert [one.name for one in receipt.instances] == ["worker-0"]


def test_a_launcher_is_not_what_is_meant(world: World) -> None:
    command = ["sh", "-c", f"{sys.executable} -I -S -c '{IDLE}'; true"]
    folder = world.supervisor([{"name": "worker", "command": command}])
    launcher = world.process(folder, "worker-0")
    wait_for(lambda: procfs.children(launcher.pid, procfs.table()), "the launched program")
    receipt = world.plan(ProcessKill(component=("worker",)), target_of(folder))
    (picked,) = receipt.instances[0].processes
    assert picked.pid != launcher.pid
    assert picked.command.startswith(sys.executable)


def test_a_launcher_with_several_children_is_refused(world: World) -> None:
    command = ["sh", "-c", "sleep 600 & sleep 601 & wait"]
    folder = world.supervisor([{"name": "worker", "command": command}])
    launcher = world.process(folder, "worker-0")
    wait_for(lambda: len(procfs.children(launcher.pid, procfs.table())) == 2, "two children")
    with pytest.raises(NoInstances, match=r"only launches others .*sleep 600.*set processes to a pattern"):
        world.plan(ProcessKill(component=("worker",)), target_of(folder))
    receipt = world.plan(
        ProcessKill(component=("worker",), processes=ProcessSelector(pattern="sleep 601")), target_of(folder)
    )
    assert [one.command for one in receipt.instances[0].processes] == ["sleep 601"]


def test_an_attached_process_dies_by_the_kernels_word(world: World) -> None:
    process = world.detached([*PYTHON, f"{IDLE} # attach-me-{world.folder.name}"])
    target = LocalTarget("demo", attach=[("worker", f"attach-me-{world.folder.name}")])
    fault = ProcessKill(component=("worker",))
    receipt = world.plan(fault, target)
    assert [one.pid for one in receipt.instances[0].processes] == [process.pid]
    run(fault.inject(receipt, target))
    assert run(fault.verify(receipt, target)).summary.startswith(f"pid {process.pid} gone")
    assert state_of(process) == "gone"


def test_a_reused_pid_is_never_signalled(world: World) -> None:
    target = target_of(world.supervisor([component(IDLE)]))
    fault = ProcessKill(component=("worker",))
    receipt = world.plan(fault, target)
    real = receipt.instances[0].processes[0]
    former = real.model_copy(update={"start_ticks": real.start_ticks - 1})
    instance = receipt.instances[0].model_copy(update={"processes": (former,)})
    stale = receipt.model_copy(update={"instances": (instance,)})
    with pytest.raises(NotInjected, match="was gone before the signal was sent"):
        run(fault.inject(stale, target))
    assert runs(real)


@pytest.mark.parametrize(("given", "name"), [("SIGKILL", "SIGKILL"), ("term", "SIGTERM"), ("Int", "SIGINT")])
def test_signal_names(given: str, name: str) -> None:
    assert ProcessKill(component=("worker",), signal=given).signal == name


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("SIGSTOP", "use kind process_stall"),
        ("cont", "use kind process_stall"),
        ("SIGCHLD", "not a signal that ends a process"),
        ("SIGCLD", "not a signal that ends a process"),
        ("SIGNOPE", "not a signal that ends a process"),
    ],
)
def test_signals_that_do_not_end_a_process_are_refused(given: str, text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        ProcessKill(component=("worker",), signal=given)
