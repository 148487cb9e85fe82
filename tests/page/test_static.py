"""The files themselves: what is vendored is what is locked, nothing comes from outside, and no text becomes markup."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tests.page.scripted import STATIC

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "tools/vendor.sha256"
OURS = sorted(p for p in STATIC.iterdir() if not p.name.startswith("uPlot."))
MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc|setHTML"
)
OUTSIDE = re.compile(r"(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}|\bstyle=|\son[a-z]+=\"", re.IGNORECASE)


def test_vendored_files_are_the_locked_ones() -> None:
    lines = [line.split() for line in LOCK.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert {name for _, name in lines} == {p.name for p in STATIC.glob("uPlot.*")}
    for digest, name in lines:
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest, f"{name}: renew it with tools/vendor"


def test_the_vendored_licence_is_there() -> None:
    assert "MIT License" in (STATIC / "uPlot.LICENSE.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", OURS, ids=lambda p: p.name)
def test_a_file_of_ours_is_small_and_safe(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 250
    assert not MARKUP.search(text)
    assert not OUTSIDE.search(text.replace("http://www.w3.org/2000/svg", ""))


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"/static/([\w.]+)", (STATIC / "index.html").read_text(encoding="utf-8")))
    for script in STATIC.glob("*.js"):
        named |= set(re.findall(r'from "\./([\w.]+)"', script.read_text(encoding="utf-8")))
    assert named <= {p.name for p in STATIC.iterdir()}
    assert {p.name for p in STATIC.glob("*.js")} == {n for n in named if n.endswith(".js")}
