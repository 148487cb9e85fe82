"""Debian's Chromium for Playwright: from PATH, or unpacked into `.tools` with the libraries that this machine lacks.

Never installed, so no root is needed and nothing else on the machine changes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from monitor.demo.provision import DEFAULT_FOLDER

PACKAGES = ("chromium", "fonts-dejavu-core")
_INSIDE = "usr/lib/chromium/chromium"
_AS_USER = ("-o", "APT::Sandbox::User=root")
_FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{root}/usr/share/fonts</dir><cachedir>{root}/cache</cachedir></fontconfig>
"""


class NoChromiumError(Exception):
    """Chromium is not here and cannot be had; one line with the way out."""


@dataclass(frozen=True)
class Chromium:
    """A program and what it needs in its environment."""

    program: Path
    env: dict[str, str] = field(default_factory=dict)


def chromium(folder: Path = DEFAULT_FOLDER) -> Chromium:
    """Find or fetch it. Raises `NoChromiumError`."""
    if found := shutil.which("chromium"):
        return Chromium(Path(found))
    root = folder / "debian" / "chromium"
    root.parent.mkdir(parents=True, exist_ok=True)
    with (folder / ".chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / _INSIDE).exists():
            _fetch(root)
    return Chromium(root / _INSIDE, _environment(root))


def _fetch(root: Path) -> None:
    lacking = [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]
    if lacking:
        raise NoChromiumError(f"no chromium on PATH, and it cannot be fetched without {', '.join(lacking)}")
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".fetch-") as scratch:
        work = Path(scratch)
        _run(["apt-get", *_AS_USER, "download", *_wanted()], work)
        for package in sorted(work.glob("*.deb")):
            _run(["dpkg-deb", "-x", package, work / "unpacked"], work)
        shutil.rmtree(root, ignore_errors=True)
        (work / "unpacked").rename(root)


def _wanted() -> list[str]:
    """The packages that an installation would add to this machine; a simulation says so to any user."""
    command = ["apt-get", "-s", "--no-install-recommends", "install", *PACKAGES]
    try:
        plan = _run(command, Path("/"))
    except NoChromiumError:
        if os.geteuid() != 0:
            raise
        _run(["apt-get", "update"], Path("/"))  # the lists of a bare image are empty
        plan = _run(command, Path("/"))
    return [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]


def _run(command: Sequence[str | Path], where: Path) -> str:
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise NoChromiumError(
            f"no chromium on PATH, and `{' '.join(map(str, command[:4]))} ...` failed ({last}): "
            "run `apt-get update` as root, or install chromium"
        )
    return done.stdout


def _environment(root: Path) -> dict[str, str]:
    libraries = sorted({str(p.parent) for p in (root / "usr/lib").glob("*-linux-gnu*/**/*.so*")})
    env = {"LD_LIBRARY_PATH": ":".join([*libraries, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])}
    if not Path("/etc/fonts/fonts.conf").exists():
        config = root / "fonts.conf"
        config.write_text(_FONTS.format(root=root), encoding="utf-8")
        env["FONTCONFIG_FILE"] = str(config)
    return env


def chromium_or_skip() -> Chromium:
    """For a fixture: under CI it has to be there, elsewhere its lack is a reason to skip."""
    try:
        return chromium()
    except NoChromiumError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
