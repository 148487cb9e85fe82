"""Finding and fetching programs, with commands of our own in place of apt-get and uv."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from monitor.demo import provision as provision_module
from monitor.demo.debian import NATS, fetch_program, find_program
from monitor.demo.errors import DemoError
from monitor.demo.provision import missing, provision
from monitor.demo.steps import StepFailed, run_step

# Bash with its full path: PATH holds only what a test put there.
DOWNLOADS = """#!/bin/bash
[[ "$*" == *download* ]] || exit 0
: > "nats-server_1_amd64.deb"
"""
UNPACKS = """#!/bin/bash
/bin/mkdir -p "$3/usr/sbin"
printf '#!/bin/bash\\nexit 0\\n' > "$3/usr/sbin/nats-server"
/bin/chmod +x "$3/usr/sbin/nats-server"
"""
UV = """#!/bin/bash
if [[ $1 == venv ]]; then
    /bin/mkdir -p "${@: -1}/bin"
    printf '#!/bin/bash\\nexit 0\\n' > "${@: -1}/bin/python"
    /bin/chmod +x "${@: -1}/bin/python"
fi
echo "$1 $2" >> "$UV_DIARY"
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("monitor.demo.debian._SYSTEM_FOLDERS", ())
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(provision_module, "DEFAULT_FOLDER", tmp_path / "nowhere")
    return folder


def put(folder: Path, name: str, text: str = "#!/bin/bash\nexit 0\n") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_program_on_path_is_taken(programs: Path, tmp_path: Path) -> None:
    assert find_program(NATS, tmp_path / "debian") is None
    mine = put(programs, "nats-server")
    assert find_program(NATS, tmp_path / "debian") == mine


def test_a_package_is_unpacked_and_found_again(programs: Path, tmp_path: Path) -> None:
    put(programs, "apt-get", DOWNLOADS)
    put(programs, "dpkg-deb", UNPACKS)
    said: list[str] = []
    program = fetch_program(NATS, tmp_path / "debian", said.append)
    assert program.exists()
    assert find_program(NATS, tmp_path / "debian") == program
    assert "nats-server" in said[0]
    assert not list((tmp_path / "debian").glob(".fetch-*")), "scratch folders are removed"


def test_a_program_that_does_not_run_is_not_kept(programs: Path, tmp_path: Path) -> None:
    put(programs, "apt-get", DOWNLOADS)
    put(programs, "dpkg-deb", UNPACKS.replace("exit 0", "echo wrong machine >&2; exit 1"))
    with pytest.raises(DemoError, match="does not run: wrong machine"):
        fetch_program(NATS, tmp_path / "debian", lambda _: None)
    assert find_program(NATS, tmp_path / "debian") is None


def test_an_interrupted_unpacking_leaves_nothing_that_looks_whole(programs: Path, tmp_path: Path) -> None:
    put(programs, "apt-get", DOWNLOADS)
    put(programs, "dpkg-deb", UNPACKS + "exit 1\n")
    with pytest.raises(DemoError):
        fetch_program(NATS, tmp_path / "debian", lambda _: None)
    assert find_program(NATS, tmp_path / "debian") is None


@pytest.mark.parametrize("user", [0, 1000])
def test_only_root_renews_the_lists(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int) -> None:
    diary = tmp_path / "diary"
    put(programs, "apt-get", f'#!/bin/bash\necho "$*" >> {diary}\necho "E: Unable to locate package"\nexit 100\n')
    put(programs, "dpkg-deb")
    monkeypatch.setattr("monitor.demo.debian.os.geteuid", lambda: user)
    with pytest.raises(DemoError) as failed:
        fetch_program(NATS, tmp_path / "debian", lambda _: None)
    assert ("update" in diary.read_text().split()) is (user == 0)
    text = str(failed.value)
    assert "\n" not in text
    assert "nats-server" in text
    assert "E: Unable to locate package" in text
    assert "run `apt-get update` as root" in text


def test_another_system_is_told_what_to_install(programs: Path, tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=r"not Debian.*install nats-server with your system's packages"):
        fetch_program(NATS, tmp_path / "debian", lambda _: None)


def test_without_prometheus_the_demo_goes_on_and_says_so(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(programs, "nats-server")
    put(programs, "uv", UV)
    monkeypatch.setenv("UV_DIARY", str(tmp_path / "uv-diary"))
    said: list[str] = []
    tools = provision(tmp_path / "tools", said.append)
    assert tools.prometheus is None
    assert "prometheus is not on PATH" in tools.absent[0]
    assert tools.absent[0] in said
    assert missing(tmp_path / "tools") == ("prometheus",)


def test_a_second_call_installs_nothing(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nats-server", "prometheus"):
        put(programs, name)
    put(programs, "uv", UV)
    diary = tmp_path / "uv-diary"
    monkeypatch.setenv("UV_DIARY", str(diary))
    assert missing(tmp_path / "tools") == ("ai-dynamo",)
    first = provision(tmp_path / "tools", lambda _: None)
    assert diary.read_text().splitlines() == ["venv --relocatable", "pip install"]
    said: list[str] = []
    assert provision(tmp_path / "tools", said.append) == first
    assert len(diary.read_text().splitlines()) == 2
    assert said == []


def test_a_failed_install_of_dynamo_is_one_line_and_leaves_no_environment(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(programs, "uv", UV + '[[ $1 == venv ]] || { echo "no wheel for this machine" >&2; exit 1; }\n')
    monkeypatch.setenv("UV_DIARY", str(tmp_path / "uv-diary"))
    with pytest.raises(DemoError, match=r"ai-dynamo could not be installed \(no wheel for this machine\)"):
        provision(tmp_path / "tools", lambda _: None)
    assert "ai-dynamo" in missing(tmp_path / "tools")


def test_without_uv_the_way_out_is_named(programs: Path, tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="make setup"):
        provision(tmp_path / "tools", lambda _: None)


def test_two_at_once_do_not_install_into_each_other(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nats-server", "prometheus"):
        put(programs, name)
    slow = UV.replace("#!/bin/bash\n", "#!/bin/bash\n/bin/sleep 0.5\n")
    put(programs, "uv", slow)
    diary = tmp_path / "uv-diary"
    monkeypatch.setenv("UV_DIARY", str(diary))
    said: list[str] = []
    both = [threading.Thread(target=provision, args=(tmp_path / "tools", said.append)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(30)
    assert len(diary.read_text().splitlines()) == 2, "installed once"
    assert any("waiting for another process" in line for line in said)


def test_a_step_tells_that_it_still_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.demo.steps._TELL_EVERY_SECONDS", 0.1)
    said: list[str] = []
    run_step("waiting", ["/bin/sleep", "0.5"], said.append, log=tmp_path / "log")
    assert said
    assert all(line.startswith("waiting: still at it after") for line in said)


def test_a_step_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(StepFailed, match=r"not done after 0\.3 s"):
        run_step(
            "sleeping",
            ["/bin/bash", "-c", f"echo $$ > {pid_file}; exec sleep 60"],
            lambda _: None,
            log=tmp_path / "log",
            timeout_seconds=0.3,
        )
    assert not Path(f"/proc/{int(pid_file.read_text())}").exists()


def test_fetch_prints_one_line_and_exits_1(programs: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PATH": str(programs), "UV": "", "PYTHONPATH": str(Path(__file__).parents[2])}
    script = (
        "import sys; from monitor.demo import debian, provision, fetch\n"
        f"provision.DEFAULT_FOLDER = provision.Path({str(tmp_path)!r})\n"
        f"sys.exit(fetch.main(['--tools', {str(tmp_path / 'tools')!r}]))\n"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1, f"after {time.monotonic() - began:.0f} s: {done.stdout}"
    assert len(done.stderr.splitlines()) == 1
    assert "make setup" in done.stderr
