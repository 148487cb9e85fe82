"""Help, unreachable services, tokens, unforeseen errors, terminals."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from monitor.model import Phase
from tests.cli.conftest import Cli, Stub, make_run

COMMANDS = [
    "demo",
    "serve",
    "check",
    "status",
    "inject",
    "recover",
    "stop",
    "resume",
    "runs ls",
    "runs show",
    "faults ls",
    "faults show",
    "dashboards build",
    "dashboards publish",
    "rules build",
    "schedules",
    "supervise",
]
ASKING = [
    ["status"],
    ["inject", "none"],
    ["inject", "none", "--dry-run"],
    ["recover", "--all"],
    ["stop"],
    ["resume"],
    ["runs", "ls"],
    ["runs", "show", "r1"],
    ["schedules"],
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_it_does_with_an_example_and_exit_codes(cli: Cli, command: str) -> None:
    done = cli(*command.split(), "--help")
    assert done.code == 0
    assert re.search(rf"Examples?:\s+aftershock {command}", done.out), done.out
    assert "Exit codes: 0 " in done.out


def test_help_of_the_program_lists_every_command(cli: Cli) -> None:
    out = cli("--help").out
    for command in {one.split()[0] for one in COMMANDS}:
        assert re.search(rf"^  {command} ", out, re.MULTILINE), command


def test_version(cli: Cli) -> None:
    done = cli("--version")
    assert done.code == 0
    assert re.fullmatch(r"aftershock \d+\.\d+\.\d+\n", done.out)


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_an_unreachable_service_is_exit_3_and_one_line(nobody: str, cli: Cli, command: list[str]) -> None:
    done = cli(*command)
    assert done.code == 3
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert nobody in done.err
    assert "aftershock serve -c" in done.err


def test_something_else_at_the_address_is_exit_3(stub: Stub, cli: Cli) -> None:
    stub.answers["GET", "/api/v1/status"] = (200, ["not", "ours"])
    done = cli("status")
    assert done.code == 3
    assert "something else answers" in done.err


def test_a_run_of_another_version_is_one_line(stub: Stub, cli: Cli) -> None:
    stub.answers["GET", "/api/v1/runs/r1"] = (200, {"id": "r1", "from_the_future": 1})
    done = cli("runs", "show", "r1")
    assert done.code == 1
    assert "another version" in done.err


@pytest.mark.parametrize("url", ["127.0.0.1:8600", "ftp://host", "http://[::1"])
def test_an_address_that_is_none_is_exit_2(cli: Cli, url: str) -> None:
    done = cli("status", "--url", url)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1


def test_the_address_may_stand_before_or_after_the_command(stub: Stub, cli: Cli, nobody: str) -> None:
    assert cli("status").code == 3
    assert cli("--url", stub.url, "status").code == 0
    assert cli("status", "--url", stub.url).code == 0
    assert cli("--url", nobody, "status", "--url", stub.url).code == 0


def test_the_token_comes_from_the_environment(stub: Stub, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("status")
    assert "authorization" not in stub.headers[0]
    monkeypatch.setenv("AFTERSHOCK_TOKEN", "s3cret")
    cli("status")
    assert stub.headers[-1]["authorization"] == "Bearer s3cret"


def test_a_proxy_of_the_shell_is_not_asked(stub: Stub, cli: Cli, nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", nobody)
    assert cli("status", "--url", stub.url).code == 0


class TestUnforeseen:
    def test_is_one_line(self, stub: Stub, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("monitor.cli.serving.show_status", lambda _: 1 / 0)
        done = cli("status")
        assert done.code == 1
        assert done.err.splitlines() == [
            "aftershock: unexpected error: ZeroDivisionError: division by zero (`aftershock --debug ...` shows where)"
        ]

    def test_debug_shows_the_trace_wherever_it_stands(
        self, stub: Stub, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("monitor.cli.serving.show_status", lambda _: 1 / 0)
        for arguments in (("--debug", "status"), ("status", "--debug")):
            done = cli(*arguments)
            assert done.code == 1
            assert "Traceback" in done.err

    @pytest.mark.parametrize("arguments", [["foo"], ["inject"], ["runs", "ls", "--limit", "x"], ["status", "--nope"]])
    def test_bad_usage_is_exit_2(self, cli: Cli, arguments: list[str]) -> None:
        assert cli(*arguments).code == 2


def program(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "monitor.cli.app", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | env,
    )


class TestAsAProgram:
    """Exit codes and tracebacks of the real thing."""

    def test_unreachable(self, nobody: str) -> None:
        done = program("runs", "ls", AFTERSHOCK_URL=nobody)
        assert done.returncode == 3
        assert "Traceback" not in done.stderr

    def test_a_bad_configuration(self, tmp_path: Path) -> None:
        path = tmp_path / "config.yaml"
        path.write_text("probes: [{name: chat, request_rate: -1}]\nfoo: 1\n", encoding="utf-8")
        for command in (["check", str(path)], ["serve", "-c", str(path)]):
            done = program(*command)
            assert done.returncode == 2
            assert "Traceback" not in done.stderr
            lines = done.stderr.splitlines()
            assert any(line.startswith(f"{path}:1: probes[0].request_rate: -1 ") for line in lines)
            assert any(line.startswith(f"{path}:2: foo: unknown key") for line in lines)

    @pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
    @pytest.mark.parametrize(
        ("words", "reader"),
        [("runs ls", "head -1"), ("runs ls", "true"), ("--version", "true")],
    )
    def test_a_reader_that_goes_away_is_no_drama(self, stub: Stub, words: str, reader: str, unbuffered: str) -> None:
        more_than_a_pipe_holds = 2000
        stub.runs.update({str(n): make_run(f"r{n:010d}") for n in range(more_than_a_pipe_holds)})
        command = f"{sys.executable} -m monitor.cli.app {words} | {reader}; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ | {"AFTERSHOCK_URL": stub.url, "PYTHONUNBUFFERED": unbuffered},
        )
        *seen, code = done.stdout.splitlines()
        assert bool(seen) == (reader == "head -1")
        assert code == "1"
        assert done.stderr == ""

    @pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
    @pytest.mark.parametrize(
        ("into", "code", "says"),
        [
            (">/dev/full", 1, ["No space left on device"]),
            (">&-", 0, []),
            (">&- 2>&-", 0, []),
        ],
    )
    def test_output_that_cannot_be_written(self, into: str, code: int, says: list[str], unbuffered: str) -> None:
        done = subprocess.run(
            ["bash", "-c", f"{sys.executable} -m monitor.cli.app --version {into}"],
            capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
        assert done.returncode == code
        lines = done.stderr.splitlines()
        assert len(lines) == len(says)
        assert all(word in line for word, line in zip(says, lines, strict=True))

    def test_ctrl_c_while_waiting(self, stub: Stub) -> None:
        stub.unfold[:] = [make_run(phase=Phase.EFFECTIVE, verdict=None)]
        env = os.environ | {"AFTERSHOCK_URL": stub.url}
        command = [sys.executable, "-m", "monitor.cli.app", "inject", "worker"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
            assert process.stderr is not None
            assert "the fault is acting" in process.stderr.readline()
            process.send_signal(2)
            rest = process.stderr.read()
            assert process.wait(20) == 130
        assert "goes on without you" in rest
        assert "Traceback" not in rest


def on_a_terminal(columns: int, *arguments: str, **env: str) -> str:
    """What a terminal of that width is sent."""
    try:
        parent, child = pty.openpty()
    except OSError as error:
        pytest.skip(f"this machine gives no pseudo terminal: {error}")
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    clean = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "NO_COLOR", "FORCE_COLOR"}}
    command = [sys.executable, "-m", "monitor.cli.app", *arguments]
    with subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, env=clean | {"TERM": "xterm"} | env, close_fds=True
    ) as process:
        os.close(child)
        seen = b""
        while True:
            try:
                part = os.read(parent, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            seen += part
        assert process.wait(30) == 0
    os.close(parent)
    return seen.decode()


class TestTerminal:
    def test_narrow_is_a_block_a_run_and_nothing_is_cut(self, stub: Stub) -> None:
        stub.runs["a"] = make_run()
        text = on_a_terminal(50, "runs", "ls", AFTERSHOCK_URL=stub.url, NO_COLOR="1")
        plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
        assert re.search(r"^verdict +recovered", plain, re.MULTILINE)
        assert all(len(line) <= 50 for line in plain.splitlines())

    def test_wide_is_a_table_in_colour(self, stub: Stub) -> None:
        stub.runs["a"] = make_run()
        text = on_a_terminal(200, "runs", "ls", AFTERSHOCK_URL=stub.url)
        assert "\x1b[32mrecovered" in text

    def test_no_color_is_obeyed(self, stub: Stub) -> None:
        stub.runs["a"] = make_run()
        text = on_a_terminal(200, "runs", "show", "r00", AFTERSHOCK_URL=stub.url, NO_COLOR="1")
        assert not re.search(r"\x1b\[(?:[0-9;]*;)?3[0-9]", text)
        assert "recovered" in text

    def test_progress_is_drawn_over_one_line(self, stub: Stub) -> None:
        end = make_run()
        stub.unfold[:] = [end.model_copy(update={"phase": Phase.EFFECTIVE, "verdict": None}), end]
        text = on_a_terminal(120, "inject", "worker", AFTERSHOCK_URL=stub.url)
        assert "\r\x1b[K" in text
