"""PDF: by a real Chromium where there is one, and one clear line where there is none."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from monitor.report.html.run_page import run_page
from monitor.report.model import RunReport
from monitor.report.pdf import PdfError, find_browser, write_pdf
from tests.support.chromium import chromium_or_skip


def program(folder: Path, body: str) -> str:
    """A program of our own in the place of the browser."""
    path = folder / "browser"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> str:
    """A real one, fetched first where it is missing."""
    found = chromium_or_skip()
    for name, value in found.env.items():
        monkeypatch.setenv(name, value)
    return str(found.program)


def test_a_real_pdf(one: RunReport, tmp_path: Path, browser: str) -> None:
    target = tmp_path / "run.pdf"
    write_pdf(run_page(one), target, browser)
    assert target.read_bytes().startswith(b"%PDF")
    assert target.stat().st_size > 10_000
    assert list(tmp_path.iterdir()) == [target]


def test_without_a_browser_the_way_to_one_is_told() -> None:
    with pytest.raises(PdfError, match="apt-get install chromium"):
        find_browser(lambda _name: None)


def test_the_first_one_that_is_there_is_taken() -> None:
    assert find_browser(lambda name: f"/x/{name}" if name == "google-chrome" else None) == "/x/google-chrome"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo no display >&2; exit 3", "ended with exit code 3: no display"),
        ("exit 0", "made no PDF"),
        ("sleep 60", "did not end within 0.5 s"),
    ],
)
def test_a_browser_that_fails_is_one_line(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(PdfError, match=words) as caught:
        write_pdf("<p>x", tmp_path / "x.pdf", program(tmp_path, body), seconds=0.5 if "sleep" in body else 20)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x.pdf").exists()


def test_a_browser_that_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(PdfError, match="cannot be started"):
        write_pdf("<p>x", tmp_path / "x.pdf", str(tmp_path / "nothing"))
