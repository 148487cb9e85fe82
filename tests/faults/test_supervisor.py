"""The supervisor: order, readiness, restarts, exit codes, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from faults import procfs
from faults.base import Process
from faults.targets.state import StateWriter, keep_small
from faults.targets.supervisor import STOP_SECONDS
from tests.faults.world import IDLE, IGNORES_TERM, PYTHON, ROOT, World, fds_of, identified, runs, state_of, wait_for

# Listens half a second after its start, and tells which signal state it inherited.
SERVER = (
    "import socket, sys, time; time.sleep(0.5); s = socket.socket(); "
    "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen()\n"
    "while True:\n"
    "    c, _ = s.accept(); c.recv(1000); c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nall ready'); c.close()\n"
)
CHILD_IN_ANOTHER_GROUP = (
    "import os, subprocess, sys, time; "
    "subprocess.Popen([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(600)'], process_group=0); "
    "print('up', flush=True); time.sleep(600)"
)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def kinds(world: World, folder: Path, name: str) -> list[str]:
    return [one["event"] for one in world.events(folder) if one["instance"] == name]


def restarting(code: str, **restart: Any) -> dict[str, Any]:
    return {"name": "worker", "command": [*PYTHON, code], "restart": restart}


def test_state_folder_tells_of_every_instance(world: World) -> None:
    folder = world.supervisor([{"name": "worker", "command": [*PYTHON, IDLE], "replicas": 2}])
    supervisor = json.loads((folder / "supervisor.json").read_text(encoding="utf-8"))
    assert supervisor["name"] == "demo"
    assert procfs.is_alive(Process(pid=supervisor["pid"], start_ticks=supervisor["start_ticks"], command=""))
    entries = world.instances(folder)
    assert [one["name"] for one in entries] == ["worker-0", "worker-1"]
    for entry in entries:
        process = identified(entry["pid"])
        assert process.start_ticks == entry["start_ticks"]
        found = procfs.stat(process.pid)
        assert found is not None
        assert found.session == process.pid
        # No descriptor of the supervisor reaches its children; while it starts, Python reads files of its own.
        pid = process.pid
        wait_for(lambda pid=pid: fds_of(pid) == {0, 1, 2} or None, f"no other descriptor, not {fds_of(pid)}")
    assert kinds(world, folder, "worker-0") == ["started", "ready"]


def test_readiness_and_order(world: World) -> None:
    tcp, http = free_port(), free_port()
    folder = world.supervisor(
        [
            {"name": "last", "command": [*PYTHON, IDLE], "start_after": ["web"]},
            {
                "name": "web",
                "command": [*PYTHON, SERVER, "{PORT}"],
                "env": {"PORT": http},
                "ready": {"http": "http://127.0.0.1:{PORT}/health", "contains": "ready", "timeout_seconds": 30},
                "start_after": ["store"],
            },
            {"name": "store", "command": [*PYTHON, SERVER, str(tcp)], "ready": {"tcp": f"127.0.0.1:{tcp}"}},
        ]
    )
    told = [(one["instance"], one["event"]) for one in world.events(folder)]
    assert told == [
        ("store-0", "started"),
        ("store-0", "ready"),
        ("web-0", "started"),
        ("web-0", "ready"),
        ("last-0", "started"),
        ("last-0", "ready"),
    ]


def test_an_answer_without_the_text_is_not_ready(world: World) -> None:
    port = free_port()
    ready = {"http": f"http://127.0.0.1:{port}/", "contains": "something else", "timeout_seconds": 0.8}
    folder = world.supervisor(
        [
            {"name": "web", "command": [*PYTHON, SERVER, str(port)], "ready": ready},
            {"name": "after", "command": [*PYTHON, IDLE], "start_after": ["web"]},
        ],
        ready=False,
    )
    wait_for(lambda: "not_ready" in kinds(world, folder, "web-0"), "the ready check to be late")
    entries = {one["name"]: one for one in world.instances(folder)}
    assert entries["web-0"]["state"] == "starting"
    assert entries["web-0"]["pid"] is not None
    assert (entries["after-0"]["state"], entries["after-0"]["pid"]) == ("waiting", None)


def test_always_restarts_after_the_delay_and_records_the_signal(world: World) -> None:
    folder = world.supervisor([restarting(IDLE, when="always", delay_seconds=0.5)])
    first = world.process(folder, "worker-0")
    os.kill(first.pid, signal.SIGKILL)
    wait_for(lambda: kinds(world, folder, "worker-0").count("ready") == 2, "the restart")
    events = world.events(folder)
    assert [one["event"] for one in events] == ["started", "ready", "exited", "started", "ready"]
    ended, again = events[2], events[3]
    assert (ended["pid"], ended["start_ticks"]) == (first.pid, first.start_ticks)
    assert (ended["signal"], ended["code"]) == (signal.SIGKILL, None)
    assert again["monotonic_ns"] - ended["monotonic_ns"] >= 500_000_000
    assert world.instances(folder)[0]["restarts"] == 1


@pytest.mark.parametrize(
    ("when", "code", "again"), [("never", 3, False), ("on_failure", 0, False), ("on_failure", 3, True)]
)
def test_policies(world: World, when: str, code: int, again: bool) -> None:
    folder = world.supervisor([restarting(f"raise SystemExit({code})", when=when, delay_seconds=0.05)], ready=False)
    if again:
        wait_for(lambda: kinds(world, folder, "worker-0").count("exited") >= 2, "the restart")
    else:
        wait_for(lambda: "gave_up" in kinds(world, folder, "worker-0"), "the end")
        assert kinds(world, folder, "worker-0").count("started") == 1
        assert world.instances(folder)[0]["state"] == "exited"
        assert world.instances(folder)[0]["pid"] is None
    ended = next(one for one in world.events(folder) if one["event"] == "exited")
    assert (ended["signal"], ended["code"]) == (None, code)


def test_what_waits_for_one_that_gave_up_gives_up_too(world: World) -> None:
    port = free_port()
    first = restarting("raise SystemExit(1)", when="never") | {"ready": {"tcp": f"127.0.0.1:{port}"}}
    folder = world.supervisor(
        [first, {"name": "b", "command": [*PYTHON, IDLE], "start_after": ["worker"]}], ready=False
    )
    wait_for(lambda: "gave_up" in kinds(world, folder, "b-0"), "b to give up")
    assert "started" not in kinds(world, folder, "b-0")


def test_output_goes_to_the_instances_log(world: World) -> None:
    folder = world.supervisor([{"name": "worker", "command": [*PYTHON, "print('up', flush=True); " + IDLE]}])
    assert (folder / "logs" / "worker-0.log").read_text(encoding="utf-8") == "up\n"


def test_sigint_reaches_children_of_a_supervisor_that_ignores_it(world: World) -> None:
    """A shell starts background jobs with SIGINT ignored, and Python keeps what it inherits."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        folder = world.supervisor([{"name": "worker", "command": [*PYTHON, "print('up', flush=True); " + IDLE]}])
    finally:
        signal.signal(signal.SIGINT, previous)
    process = world.process(folder, "worker-0")
    os.kill(process.pid, signal.SIGINT)
    wait_for(lambda: state_of(process) == "gone", "SIGINT to end it")


def test_leftovers_of_an_ended_instance_are_killed(world: World) -> None:
    folder = world.supervisor([restarting(CHILD_IN_ANOTHER_GROUP, delay_seconds=600)])
    main = world.process(folder, "worker-0")
    below = child_of(world, main)
    os.kill(main.pid, signal.SIGKILL)
    wait_for(lambda: state_of(below) == "gone", "the leftover to end")


def child_of(world: World, main: Process) -> Process:
    pid = wait_for(lambda: next(iter(procfs.children(main.pid, procfs.table())), None), "the child")
    assert pid is not None
    found = identified(pid)
    world.processes.append(found)
    return found


def mixed(world: World) -> tuple[Path, list[Process]]:
    folder = world.supervisor(
        [
            {"name": "store", "command": [*PYTHON, IDLE]},
            {"name": "worker", "command": [*PYTHON, CHILD_IN_ANOTHER_GROUP], "replicas": 2, "start_after": ["store"]},
        ]
    )
    mains = [world.process(folder, name) for name in ("store-0", "worker-0", "worker-1")]
    return folder, [*mains, *(child_of(world, main) for main in mains[1:])]


def test_sigterm_stops_all_in_reverse_order_and_leaves_nothing(world: World) -> None:
    folder, processes = mixed(world)
    os.kill(processes[1].pid, signal.SIGSTOP)
    wait_for(lambda: state_of(processes[1]) == "T", "one to stand still")
    (supervisor,) = world.supervisors
    helpers = [identified(pid) for pid in procfs.children(supervisor.pid, procfs.table())]
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(30) == 0
    assert [state_of(one) for one in [*processes, *helpers]] == ["gone"] * (len(processes) + len(helpers))
    ended = [one for one in world.events(folder) if one["event"] == "exited"]
    assert ended[-1]["instance"] == "store-0"
    assert {one["signal"] for one in ended} == {signal.SIGTERM}
    assert all(one["pid"] is None for one in world.instances(folder))


def test_nothing_outlives_a_supervisor_that_is_killed(world: World) -> None:
    _, processes = mixed(world)
    (supervisor,) = world.supervisors
    helpers = [identified(pid) for pid in procfs.children(supervisor.pid, procfs.table())]
    supervisor.kill()
    supervisor.wait()
    for process in [*processes, *helpers]:
        wait_for(lambda process=process: state_of(process) == "gone", f"{process.command} to end")  # type: ignore[misc]


def test_children_die_with_the_supervisor_even_when_its_reaper_is_gone(world: World) -> None:
    folder = world.supervisor([{"name": "worker", "command": [*PYTHON, IDLE]}])
    process = world.process(folder, "worker-0")
    (supervisor,) = world.supervisors
    table = procfs.table()
    (reaper,) = [pid for pid in procfs.children(supervisor.pid, table) if "reap.py" in procfs.command(pid)]
    os.kill(reaper, signal.SIGKILL)
    supervisor.kill()
    supervisor.wait()
    wait_for(lambda: state_of(process) == "gone", "the kernel to end it")


def test_a_second_signal_ends_the_patience(world: World) -> None:
    folder = world.supervisor([{"name": "worker", "command": [*PYTHON, IGNORES_TERM]}])
    process = world.process(folder, "worker-0")
    (supervisor,) = world.supervisors
    supervisor.send_signal(signal.SIGTERM)
    log = folder.with_suffix(".log")
    assert runs(process)
    supervisor.send_signal(signal.SIGINT)
    # Less than the patience of STOP_SECONDS.
    assert supervisor.wait(STOP_SECONDS - 2) == 0
    assert state_of(process) == "gone"
    assert "killed, it did not end by SIGTERM" in log.read_text(encoding="utf-8")


def test_one_state_folder_has_one_supervisor(world: World) -> None:
    folder = world.supervisor([{"name": "worker", "command": [*PYTHON, IDLE]}])
    words = [sys.executable, "-m", "faults.targets.supervise", f"{folder}.yaml", "--state", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == f"{folder}: another supervisor runs in this state folder\n"
    assert runs(world.process(folder, "worker-0"))


def test_large_files_are_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    keep_small(path)
    path.write_bytes(b"12345")
    keep_small(path, limit=5)
    assert path.exists()
    keep_small(path, limit=4)
    assert not path.exists()
    assert (tmp_path / "x.log.1").read_bytes() == b"12345"
    assert StateWriter(tmp_path).log_of("a-0") == tmp_path / "logs" / "a-0.log"
