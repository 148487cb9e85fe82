"""What the rig says of a machine; no cluster needed."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from monitor.demo.errors import DemoError
from tests.cluster.rig import __main__ as rig
from tests.cluster.rig.node import Node, _identity
from tests.cluster.rig.places import Places
from tests.cluster.rig.preflight import _memory, _root_mounts


@pytest.fixture
def running(tmp_path: Path) -> Places:
    """A node that seems to run: any process with a child."""
    places = Places(tmp_path / "cache", tmp_path / "state")
    for folder in (places.base, places.node, places.programs, places.state):
        folder.mkdir(parents=True)
    return places


def meminfo(folder: Path, free_gb: float) -> Path:
    file = folder / "meminfo"
    file.write_text(f"MemTotal: 99999999 kB\nMemAvailable: {int(free_gb * 1e6)} kB\n", encoding="utf-8")
    return file


def test_memory_is_asked_for_as_much_as_is_to_be_done(tmp_path: Path) -> None:
    assert _memory(tmp_path, meminfo(tmp_path, 6)) == []
    assert _memory(tmp_path, meminfo(tmp_path, 4)) == ["4.0 GB of memory are free; building takes 5 GB"]
    (tmp_path / "bin").mkdir()
    assert _memory(tmp_path, meminfo(tmp_path, 4)) == []
    assert _memory(tmp_path, meminfo(tmp_path, 2)) == ["2.0 GB of memory are free; running takes 3 GB"]


@pytest.mark.parametrize(("reasons", "code", "said"), [([], 0, ""), (["no disk", "no root"], 3, "no disk; no root\n")])
def test_why_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reasons: list[str], code: int, said: str
) -> None:
    monkeypatch.setattr(rig, "reasons_against", lambda _: reasons)
    assert rig.main(["why-not"]) == code
    assert capsys.readouterr().out == said


def test_a_node_of_somebodys_tests_is_used_but_never_owned(running: Places) -> None:
    parent = subprocess.Popen(["sh", "-c", "sleep 60 & wait"])
    try:
        lines: list[str] = []
        node = Node(running, lines.append)
        (running.state / "pid").write_text(json.dumps(_identity(parent.pid)), encoding="utf-8")
        (running.state / "ready").touch()
        (running.state / "tether").write_text("4711", encoding="utf-8")
        deadline = time.monotonic() + 10
        while not node.running:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        node.up(tethered=True)
        assert not node.started
        assert "for process 4711" in lines[-1]
        with pytest.raises(DemoError, match="for process 4711, and ends with it; try again then"):
            node.up()
        (running.state / "tether").unlink()
        node.up()
        assert not node.started
    finally:
        for child in psutil.Process(parent.pid).children():
            child.terminate()
        parent.wait()


def test_a_chroot_is_told_by_what_is_mounted_at_its_root() -> None:
    machine = "21 1 254:0 / / rw - ext4 /dev/vda rw\n22 21 0:20 / /proc rw - proc proc rw\n"
    chrooted = "90 21 254:0 /srv/debian / rw - ext4 /dev/vda rw\n91 90 0:20 / /proc rw - proc proc rw\n"
    plain_folder = "91 21 0:20 / /proc rw - proc proc rw\n"
    assert _root_mounts(machine) == ["21"]
    assert _root_mounts(chrooted) == ["90"]
    assert _root_mounts(plain_folder) == []
