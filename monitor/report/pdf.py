"""PDF, printed by a headless Chromium from the HTML report."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
SECONDS = 120.0


class PdfError(Exception):
    """One line for a person."""


def find_browser(which: Callable[[str], str | None] = shutil.which) -> str:
    """The program that prints. Raises PdfError with how to install one."""
    found = next((path for path in map(which, PROGRAMS) if path), None)
    if found is None:
        raise PdfError(
            "a PDF is printed by chromium, which is not installed: `apt-get install chromium` (Debian) or your system's "
            "way to it; or write .html and print that"
        )
    return found


def write_pdf(html: str, path: Path, browser: str, seconds: float = SECONDS) -> None:
    """Print the page. Raises PdfError; leaves neither a process nor another file behind."""
    with tempfile.TemporaryDirectory(prefix="aftershock-pdf-") as folder:
        page, made = Path(folder) / "report.html", Path(folder) / "report.pdf"
        page.write_text(html, encoding="utf-8")
        command = [
            browser,
            "--headless",
            "--disable-gpu",
            "--no-first-run",
            "--no-pdf-header-footer",
            f"--user-data-dir={folder}/profile",
            f"--print-to-pdf={made}",
            # The sandbox does not work for root; the page is ours, has no script and may load nothing.
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            page.as_uri(),
        ]
        _print(command, browser, seconds)
        if not made.exists() or not made.read_bytes().startswith(b"%PDF"):
            raise PdfError(f"{browser} made no PDF; write .html and print that")
        shutil.copyfile(made, path)


def _print(command: list[str], browser: str, seconds: float) -> None:
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise PdfError(f"{browser} cannot be started: {error.strerror or error}") from None
    with process:
        try:
            _, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise PdfError(f"{browser} did not end within {seconds:g} s; write .html and print that") from None
        finally:
            # A browser is a family of processes; none of them outlives the report.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != 0:
        last = said.decode(errors="replace").strip().splitlines()[-1:] or ["no further words"]
        raise PdfError(f"{browser} ended with exit code {process.returncode}: {last[0]}")
