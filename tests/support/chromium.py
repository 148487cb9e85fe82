"""Debian's Chromium for Playwright: from PATH, or unpacked into `.tools`."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Playwright, sync_playwright

from tests.support.debian import NotFetchedError, libraries, skip_or_fail, unpacked

PACKAGES = ("chromium", "fonts-dejavu-core")
DRIVER_LIBRARY, DRIVER_PACKAGES = "libatomic.so.1", ("libatomic1",)
"""What the Node.js needs that Playwright brings along; a small installation lacks it."""
_INSIDE = "usr/lib/chromium/chromium"
_FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{root}/usr/share/fonts</dir><cachedir>{root}/cache</cachedir></fontconfig>
"""


@dataclass(frozen=True)
class Chromium:
    """A program and what it needs in its environment."""

    program: Path
    env: dict[str, str] = field(default_factory=dict)


def chromium() -> Chromium:
    """Find or fetch it. Raises `NotFetchedError`."""
    if found := shutil.which("chromium"):
        return Chromium(Path(found))
    root = unpacked("chromium", PACKAGES)
    return Chromium(root / _INSIDE, _environment(root))


def _environment(root: Path) -> dict[str, str]:
    env = {"LD_LIBRARY_PATH": libraries(root)}
    if not Path("/etc/fonts/fonts.conf").exists():
        config = root / "fonts.conf"
        config.write_text(_FONTS.format(root=root), encoding="utf-8")
        env["FONTCONFIG_FILE"] = str(config)
    return env


@contextmanager
def playwright_or_skip() -> Iterator[Playwright]:
    """Playwright's driver, for a fixture."""
    with pytest.MonkeyPatch.context() as patch:
        if not _loads(DRIVER_LIBRARY):
            try:
                patch.setenv("LD_LIBRARY_PATH", libraries(unpacked("playwright", DRIVER_PACKAGES)))
            except NotFetchedError as error:
                skip_or_fail(f"Playwright's driver needs {DRIVER_LIBRARY}, and {error}")
        with sync_playwright() as playwright:
            yield playwright


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def chromium_or_skip() -> Chromium:
    """For a fixture."""
    try:
        return chromium()
    except NotFetchedError as error:
        skip_or_fail(f"no chromium on PATH, and {error}")
