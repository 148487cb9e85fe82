"""Debian's Chromium for Playwright: from PATH, or unpacked into `.tools`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.debian import NotFetchedError, libraries, skip_or_fail, unpacked

PACKAGES = ("chromium", "fonts-dejavu-core")
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


def chromium_or_skip() -> Chromium:
    """For a fixture."""
    try:
        return chromium()
    except NotFetchedError as error:
        skip_or_fail(f"no chromium on PATH, and {error}")
