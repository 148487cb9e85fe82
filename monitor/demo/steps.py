"""Long commands, made visible."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from monitor.demo.errors import DemoError

Report = Callable[[str], None]
"""Takes one line of progress for a person."""

_TELL_EVERY_SECONDS = 10.0
_LAST_LINES = 3


class StepFailed(DemoError):
    """A command ended with an error; `last_words` is the end of its output."""

    def __init__(self, what: str, last_words: str) -> None:
        super().__init__(f"{what} failed: {last_words}")
        self.last_words = last_words


def run_step(
    what: str,
    command: Sequence[str | Path],
    report: Report,
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 1_800.0,
) -> None:
    """Run a command, its output in `log`, and say every ten seconds that it still runs.

    Raises `StepFailed`. When the caller is interrupted the command is ended too.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=env,
            )
        except OSError as error:
            raise StepFailed(what, f"{command[0]}: {error.strerror}") from None
        with process:
            try:
                code = _wait(process, what, report, began, timeout_seconds)
            except BaseException:
                process.kill()
                raise
    if code != 0:
        raise StepFailed(what, _last_words(log) or f"exit code {code}")


def _wait(process: subprocess.Popen[bytes], what: str, report: Report, began: float, timeout_seconds: float) -> int:
    while True:
        left = began + timeout_seconds - time.monotonic()
        if left <= 0:
            raise StepFailed(what, f"not done after {timeout_seconds:g} s")
        try:
            return process.wait(min(_TELL_EVERY_SECONDS, left))
        except subprocess.TimeoutExpired:
            report(f"{what}: still at it after {time.monotonic() - began:.0f} s")


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "; ".join(line.strip() for line in lines[-_LAST_LINES:] if line.strip())
