"""The program that is sent into containers, where it is not in one."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import pytest

from faults.kube import inside


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Pid 2, and the cgroups of it (2) and of whoever asks (0)."""
    seen: dict[str, object] = {"comm": b"kthreadd\n", "cgroups": {2: b"0::/\n", 0: b"0::/\n"}}

    def cgroup(pid: int) -> bytes:
        cgroups = seen["cgroups"]
        assert isinstance(cgroups, Mapping)
        found = cgroups[2 if pid == 2 else 0]
        assert isinstance(found, bytes)
        return found

    monkeypatch.setattr(inside, "read", lambda _pid, _file: seen["comm"])
    monkeypatch.setattr(inside, "cgroup", cgroup)
    return seen


@pytest.mark.parametrize("words", [["list"], ["kill", "SIGKILL", "1", "1:1"], ["stall", "run", "1", "1:1"]])
def test_nothing_is_done_on_the_machine_itself(
    machine: dict[str, object], words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for verb in ("list_processes", "kill", "stall", "release"):
        monkeypatch.setattr(inside, verb, lambda *_: pytest.fail("it went on"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    inside.main(words)
    ready, refused = (json.loads(line) for line in capfd.readouterr().out.splitlines())
    assert ready["event"] == "ready"
    assert refused["event"] == "refused"
    assert "no container" in refused["reason"]


def test_a_pod_that_shares_the_nodes_processes_has_a_cgroup_of_its_own(machine: dict[str, object]) -> None:
    machine["cgroups"] = {2: b"0::/../../..\n", 0: b"0::/\n"}
    inside.must_be_inside()


def test_a_second_process_of_a_container_is_no_thread_of_the_kernel(machine: dict[str, object]) -> None:
    machine["comm"] = b"python3\n"
    inside.must_be_inside()


def test_without_a_second_process_there_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_pid: int, _file: str) -> bytes:
        raise FileNotFoundError

    monkeypatch.setattr(inside, "read", gone)
    inside.must_be_inside()
