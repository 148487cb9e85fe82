"""The supervisor's file: placeholders, and one clear line for each mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from faults.targets.spec import SpecError, fill, load, prepare
from tests.faults.world import ROOT


def mistakes(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "deployment.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        prepare(load(file), tmp_path, {"PATH": "/usr/bin:/bin"})
    return [line.removeprefix(f"{file}: ") for line in caught.value.lines]


def test_placeholders_are_filled_for_each_instance(tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(
        """
name: demo
components:
  - name: web
    command: [sh, -c, 'echo ${HOME} {name} {PORT} {"a": 1}', "{dir}/x"]
    env: {COMMON: "n{index}"}
    instances:
      - env: {PORT: 9001}
      - env: {PORT: 9002, URL: "http://127.0.0.1:{PORT}/{COMMON}"}
    ready: {http: "http://127.0.0.1:{PORT}/health", contains: ready}
""",
        encoding="utf-8",
    )
    first, second = prepare(load(file), tmp_path, {"PATH": "/usr/bin:/bin"})
    assert (first.name, second.name) == ("web-0", "web-1")
    assert second.command == ("sh", "-c", 'echo ${HOME} web-1 9002 {"a": 1}', f"{tmp_path}/x")
    assert first.env == {"COMMON": "n0", "PORT": "9001"}
    assert second.env["URL"] == "http://127.0.0.1:9002/n1"
    assert first.ready is not None
    assert first.ready.http == "http://127.0.0.1:9001/health"
    assert first.component.restart.when == "always"
    assert first.component.restart.delay_seconds == 1.0


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "must hold a mapping with the key components"),
        ("a: [", "is not YAML: "),
        ("components: []", "components: "),
        ("components: [{name: a, command: [sh], colour: red}]", "components[0].colour: unknown key"),
        ("components: [{name: A B, command: [sh]}]", "components[0].name: "),
        ("components: [{name: a, command: []}]", "components[0].command: "),
        ("components: [{name: a, command: [sh]}, {name: a, command: [sh]}]", "component names must differ; a is there"),
        ("components: [{name: a, command: [sh], start_after: [b]}]", "a.start_after: no component is called b"),
        (
            "components: [{name: a, command: [sh], start_after: [b]}, {name: b, command: [sh], start_after: [a]}]",
            "start_after goes in a circle: a, b",
        ),
        (
            "components: [{name: a, command: [sh], ready: {timeout_seconds: 3}}]",
            "components[0].ready: give either http or tcp",
        ),
        ("components: [{name: a, command: [sh], ready: {tcp: here}}]", "components[0].ready: tcp must be host:port"),
        ("components: [{name: a, command: [sh], ready: {http: here}}]", "components[0].ready: http must be an http://"),
        ("components: [{name: a, command: [sh], stop_signal: TERM}]", "components[0].stop_signal: 'TERM' is not"),
        ("components: [{name: a, command: [sh], replicas: 3, instances: [{}, {}]}]", "components[0]: replicas is 3"),
        ("components: [{name: a, command: [sh], env: {A: true}}]", "components[0].env.A: write it in quotes"),
        ("components: [{name: a, command: [sh], restart: {when: often}}]", "components[0].restart.when: "),
        ("components: [{name: a, command: [no-such-program-here]}]", "a-0: command: the program no-such-program-here"),
        (
            "components: [{name: a, command: [sh, '{PORT}']}]",
            "a-0: unknown placeholder {PORT}; there is dir, index, name",
        ),
        ("components: [{name: a, command: [sh], env: {A: '{B}', B: '{A}'}}]", "a-0: placeholders go in a circle"),
    ],
)
def test_each_mistake_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    found = mistakes(tmp_path, text)
    assert any(one.startswith(line) for one in found), found
    assert all("\n" not in one for one in found)


def test_several_mistakes_are_all_told(tmp_path: Path) -> None:
    text = "components: [{name: a, command: [sh], x: 1, stop_signal: NOPE}, {name: b}]"
    assert len(mistakes(tmp_path, text)) == 3


def test_dollar_braces_belong_to_the_shell() -> None:
    assert fill("${A} {A}", {"A": "1"}) == "${A} 1"


def test_a_bad_file_ends_with_2_and_no_traceback(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "faults.targets.supervise",
        str(tmp_path / "none.yaml"),
        "--state",
        str(tmp_path / "s"),
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == f"{tmp_path / 'none.yaml'}: No such file or directory\n"
