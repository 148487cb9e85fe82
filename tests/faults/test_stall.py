"""process_stall: the kernel's word for every sample, and a deadline that outlives everything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from faults import procfs
from faults.base import NotInjected, Process, Receipt
from faults.pidfd import signal_once
from faults.process import ProcessStall, keeper
from faults.select import Selector
from faults.targets.local import LocalTarget
from tests.faults.world import IDLE, PYTHON, ROOT, World, fds_of, run, runs, state_of, wait_for

LONG = 120.0


def world_of(world: World, replicas: int = 1) -> tuple[Path, LocalTarget]:
    folder = world.supervisor(
        [{"name": "worker", "command": [*PYTHON, IDLE], "replicas": replicas, "restart": {"delay_seconds": 0.1}}]
    )
    return folder, LocalTarget("demo", folder)


def stall(seconds: float, instances: str = "first") -> ProcessStall:
    return ProcessStall(component=("worker",), duration_seconds=seconds, instances=Selector.model_validate(instances))


def started(world: World, target: LocalTarget, fault: ProcessStall) -> tuple[Receipt, Process]:
    """Injected and verified."""
    receipt = world.plan(fault, target)
    run(fault.inject(receipt, target))
    run(fault.verify(receipt, target))
    return receipt, receipt.instances[0].processes[0]


def helper_of(receipt: Receipt) -> Process:
    found = keeper.helper_process(receipt)
    assert found is not None
    return found


def test_a_stall_is_seen_from_start_to_end_and_ends_at_its_deadline(world: World) -> None:
    _, target = world_of(world)
    fault = stall(0.6)
    receipt = world.plan(fault, target)
    process = receipt.instances[0].processes[0]
    before = time.monotonic_ns()
    run(fault.inject(receipt, target))
    evidence = run(fault.verify(receipt, target))
    assert evidence.summary == f"pid {process.pid} stopped (state T)"
    assert before <= evidence.at_monotonic_ns <= time.monotonic_ns()
    assert state_of(process) == "T"
    seen = run(fault.observe(receipt, target))
    assert seen.acting
    assert seen.ended_early is None

    wait_for(lambda: runs(process), "the deadline")
    wait_for(lambda: keeper.read_log(receipt).first("after"), "the last sample")
    over = run(fault.observe(receipt, target))
    assert (over.acting, over.ended_early) == (False, None)
    result = run(fault.revert(receipt, target))
    assert result.outcome == "reverted"
    assert result.summary.startswith(f"pid {process.pid}: T at start, T in the middle, T before SIGCONT; ")
    log = keeper.read_log(receipt)
    after, last = log.first("after"), log.first("before")
    assert after is not None
    assert last is not None
    # The instant of the revert is that of the helper's SIGCONT, not that of our asking.
    assert result.at_monotonic_ns == after.at_monotonic_ns
    assert receipt.deadline_monotonic_ns is not None
    assert last.at_monotonic_ns >= receipt.deadline_monotonic_ns
    assert last.cause == "deadline"
    assert after.states[process.pid] != "T"


def test_the_deadline_holds_when_the_monitor_is_killed(world: World) -> None:
    _, target = world_of(world)
    fault = stall(2.0)
    receipt = world.plan(fault, target)
    process = receipt.instances[0].processes[0]
    script = (
        "import asyncio, sys, time\n"
        "from faults.base import Receipt\n"
        "from faults.process import ProcessStall\n"
        "receipt = Receipt.model_validate_json(sys.argv[1])\n"
        "fault = ProcessStall.model_validate(receipt.fault)\n"
        "asyncio.run(fault.inject(receipt, None))\n"
        "asyncio.run(fault.verify(receipt, None))\n"
        "print('stalled', flush=True)\n"
        "time.sleep(600)\n"
    )
    fresh = receipt.model_copy(update={"deadline_monotonic_ns": time.monotonic_ns() + 4_000_000_000})
    with subprocess.Popen(
        [sys.executable, "-c", script, fresh.model_dump_json()], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as monitor:
        assert monitor.stdout is not None
        assert monitor.stdout.readline() == "stalled\n"
        monitor.kill()
    assert state_of(process) == "T"
    assert keeper.alive(fresh)
    wait_for(lambda: runs(process), "the deadline")
    wait_for(lambda: not keeper.alive(fresh), "the helper to end")
    before = keeper.read_log(fresh).first("before")
    assert before is not None
    assert before.cause == "deadline"
    assert before.states == {process.pid: "T"}
    assert before.at_monotonic_ns >= (fresh.deadline_monotonic_ns or 0)


def test_a_revert_from_the_receipt_alone_works_in_another_process_and_twice(world: World) -> None:
    _, target = world_of(world)
    fault = stall(LONG)
    receipt, process = started(world, target, fault)
    script = (
        "import asyncio, sys\n"
        "from faults.base import Receipt\n"
        "from faults.process import ProcessStall\n"
        "receipt = Receipt.model_validate_json(sys.argv[1])\n"
        "print(asyncio.run(ProcessStall.model_validate(receipt.fault).revert(receipt, None)).model_dump_json())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, receipt.model_dump_json()],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert runs(process)
    assert not keeper.alive(receipt)
    first = json.loads(done.stdout)
    second = run(fault.revert(receipt, None))
    assert first["outcome"] == second.outcome == "reverted"
    assert second.at_monotonic_ns == first["at_monotonic_ns"]
    assert second.summary == first["summary"]


def test_a_killed_helper_is_noticed_and_the_revert_still_works(world: World) -> None:
    _, target = world_of(world)
    fault = stall(LONG)
    receipt, process = started(world, target, fault)
    signal_once(helper_of(receipt), signal.SIGKILL)
    wait_for(lambda: not keeper.alive(receipt), "the helper to be gone")
    seen = run(fault.observe(receipt, target))
    assert seen.acting
    assert "helper is gone" in seen.summary
    result = run(fault.revert(receipt, None))
    assert result.outcome == "reverted"
    assert "T before SIGCONT" in result.summary
    assert runs(process)


def test_a_foreign_sigcont_is_seen_and_said(world: World) -> None:
    _, target = world_of(world)
    fault = stall(LONG)
    receipt, process = started(world, target, fault)
    os.kill(process.pid, signal.SIGCONT)
    wait_for(lambda: runs(process), "the foreign SIGCONT")
    seen = run(fault.observe(receipt, target))
    assert not seen.acting
    assert seen.ended_early is not None
    assert seen.ended_early.startswith(f"SIGCONT by somebody else: pid {process.pid}")
    wait_for(lambda: keeper.read_log(receipt).first("after"), "the helper to notice and end")
    later = run(fault.observe(receipt, target))
    assert later.ended_early is not None
    assert "SIGCONT by somebody else" in later.ended_early
    result = run(fault.revert(receipt, target))
    assert result.outcome == "reverted"
    assert "ended early: continued" in result.summary


def test_a_replacement_by_the_supervisor_during_the_stall_is_seen(world: World) -> None:
    folder, target = world_of(world)
    fault = stall(LONG)
    receipt, process = started(world, target, fault)
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: run(target.replacement_of(receipt.instances[0])), "the replacement")
    fresh = world.process(folder, "worker-0")
    seen = run(fault.observe(receipt, target))
    assert not seen.acting
    assert seen.ended_early == f"pid {process.pid} is gone; worker-0 was replaced by pid {fresh.pid}"
    result = run(fault.revert(receipt, target))
    assert result.outcome == "target_gone"
    assert runs(fresh)
    assert run(fault.revert(receipt, None)).outcome == "target_gone"


def test_sigterm_to_the_helper_continues_at_once_and_is_said(world: World) -> None:
    _, target = world_of(world)
    fault = stall(LONG)
    receipt, process = started(world, target, fault)
    signal_once(helper_of(receipt), signal.SIGTERM)
    wait_for(lambda: runs(process), "the end of the stall")
    wait_for(lambda: not keeper.alive(receipt), "the end of the helper")
    seen = run(fault.observe(receipt, target))
    assert not seen.acting
    assert seen.ended_early == "its helper was ended by SIGTERM"


def test_a_receipt_of_a_former_owner_of_the_pid_touches_nothing(world: World) -> None:
    _, target = world_of(world)
    fault = stall(LONG)
    receipt = world.plan(fault, target)
    real = receipt.instances[0].processes[0]
    former = real.model_copy(update={"start_ticks": real.start_ticks - 1})
    instance = receipt.instances[0].model_copy(update={"processes": (former,)})
    stale = receipt.model_copy(update={"instances": (instance,)})
    with pytest.raises(NotInjected, match="was gone before SIGSTOP"):
        run(fault.inject(stale, target))
    assert runs(real)
    # The helper itself refuses too, and so does a revert.
    keeper.start(stale, [former])
    wait_for(lambda: not keeper.alive(stale), "the helper to refuse")
    log = keeper.read_log(stale)
    assert log.refused is not None
    assert "gone or another process" in str(log.events[-1].reason)
    assert log.first("start") is None
    assert runs(real)
    os.kill(real.pid, signal.SIGSTOP)
    wait_for(lambda: state_of(real) == "T", "the foreign stop")
    (Path(stale.state_dir) / "stall.jsonl").unlink()
    assert run(fault.revert(stale, None)).outcome != "reverted"
    assert state_of(real) == "T"


def test_one_that_is_stopped_already_is_left_to_whoever_stopped_it(world: World) -> None:
    _, target = world_of(world)
    fault = stall(LONG)
    receipt = world.plan(fault, target)
    process = receipt.instances[0].processes[0]
    os.kill(process.pid, signal.SIGSTOP)
    wait_for(lambda: state_of(process) == "T", "the foreign stop")
    with pytest.raises(NotInjected, match="is stopped already"):
        run(fault.inject(receipt, target))
    assert run(fault.revert(receipt, None)).outcome == "nothing_to_do"
    assert state_of(process) == "T"


def test_a_receipt_that_never_acted_is_reverted_and_stays_harmless(world: World) -> None:
    """The monitor died between storing the receipt and acting; a helper that comes late must not begin."""
    _, target = world_of(world)
    fault = stall(LONG)
    receipt = world.plan(fault, target)
    process = receipt.instances[0].processes[0]
    assert run(fault.revert(receipt, None)).outcome == "nothing_to_do"
    run(fault.inject(receipt, target))
    with pytest.raises(NotInjected, match="reverted before it began"):
        run(fault.verify(receipt, target))
    assert runs(process)


def test_a_deadline_that_has_passed_stops_nothing(world: World) -> None:
    _, target = world_of(world)
    fault = stall(LONG)
    receipt = world.plan(fault, target).model_copy(update={"deadline_monotonic_ns": time.monotonic_ns()})
    run(fault.inject(receipt, target))
    with pytest.raises(NotInjected, match="deadline had passed"):
        run(fault.verify(receipt, target))
    assert runs(receipt.instances[0].processes[0])


def test_a_crash_receipt_with_stopped_processes_and_no_files_is_still_reverted(world: World) -> None:
    _, target = world_of(world)
    fault = stall(LONG)
    receipt, process = started(world, target, fault)
    signal_once(helper_of(receipt), signal.SIGKILL)
    wait_for(lambda: not keeper.alive(receipt), "the helper to be gone")
    for file in Path(receipt.state_dir).iterdir():
        file.unlink()
    assert run(fault.revert(receipt, None)).outcome == "reverted"
    assert runs(process)


def test_all_or_none_when_one_is_gone(world: World) -> None:
    _, target = world_of(world, replicas=2)
    fault = stall(LONG, "all")
    receipt = world.plan(fault, target)
    first, second = (instance.processes[0] for instance in receipt.instances)
    os.kill(second.pid, signal.SIGKILL)
    wait_for(lambda: state_of(second) == "gone", "the second to end")
    with pytest.raises(NotInjected, match=f"pid {second.pid} .* was gone before SIGSTOP"):
        run(fault.inject(receipt, target))
    # What the helper does when it is the one to find out.
    keeper.start(receipt, [first, second])
    wait_for(lambda: not keeper.alive(receipt), "the helper to refuse")
    assert runs(first)


def test_one_of_two_that_goes_on_is_an_early_end_and_the_other_is_put_back(world: World) -> None:
    _, target = world_of(world, replicas=2)
    fault = stall(LONG, "all")
    receipt, first = started(world, target, fault)
    second = receipt.instances[1].processes[0]
    assert state_of(second) == "T"
    os.kill(first.pid, signal.SIGCONT)
    wait_for(lambda: runs(first), "the foreign SIGCONT")
    seen = run(fault.observe(receipt, target))
    assert seen.acting
    assert seen.ended_early is not None
    assert f"pid {first.pid}" in seen.ended_early
    assert run(fault.revert(receipt, None)).outcome == "reverted"
    assert runs(second)


def test_a_log_that_cannot_be_written_costs_samples_and_not_the_deadline(world: World) -> None:
    _, target = world_of(world)
    fault = stall(LONG)
    receipt = world.plan(fault, target)
    receipt = receipt.model_copy(update={"deadline_monotonic_ns": time.monotonic_ns() + 3_000_000_000})
    (Path(receipt.state_dir) / "stall.jsonl").mkdir()
    process = receipt.instances[0].processes[0]
    run(fault.inject(receipt, target))
    assert "state T" in run(fault.verify(receipt, target)).summary
    wait_for(lambda: runs(process), "the deadline")
    wait_for(lambda: time.monotonic_ns() >= (receipt.deadline_monotonic_ns or 0), "the deadline by the clock")
    assert run(fault.observe(receipt, target)).ended_early is None


def test_a_stall_shorter_than_any_look_is_proven_by_its_samples(world: World) -> None:
    _, target = world_of(world)
    fault = stall(LONG)
    receipt = world.plan(fault, target)
    receipt = receipt.model_copy(update={"deadline_monotonic_ns": time.monotonic_ns() + 1_000_000_000})
    run(fault.inject(receipt, target))
    wait_for(lambda: keeper.read_log(receipt).first("after"), "the end of the stall")
    assert "state T" in run(fault.verify(receipt, target)).summary


def test_a_process_that_dies_at_once_is_not_injected(world: World) -> None:
    _, target = world_of(world)
    fault = stall(LONG)
    receipt = world.plan(fault, target)
    process = receipt.instances[0].processes[0]
    run(fault.inject(receipt, target))
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(NotInjected) as caught:
        wait_for(lambda: state_of(process) == "gone", "its end")
        run(fault.verify(receipt, target))
    assert f"pid {process.pid}" in str(caught.value)
    assert not keeper.alive(receipt)


def test_the_helper_stands_on_its_own(world: World) -> None:
    _, target = world_of(world)
    fault = stall(LONG)
    receipt, _ = started(world, target, fault)
    helper = helper_of(receipt)
    found = procfs.stat(helper.pid)
    assert found is not None
    assert found.session == helper.pid
    assert Path(f"/proc/{helper.pid}/cwd").readlink() == Path("/")
    links = {str(Path(f"/proc/{helper.pid}/fd/{fd}").readlink()) for fd in fds_of(helper.pid)}
    assert all(link == "/dev/null" or "pidfd" in link for link in links), links
    run(fault.revert(receipt, None))


@pytest.mark.parametrize("seconds", [0, -1, 3601])
def test_durations_outside_the_facts_are_refused(seconds: float) -> None:
    with pytest.raises(ValidationError):
        stall(seconds)
