"""Programs out of Debian's packages, with the libraries that this machine lacks; unpacked and never installed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from monitor.demo.provision import DEFAULT_FOLDER

_AS_USER = ("-o", "APT::Sandbox::User=root")


class NotFetchedError(Exception):
    """The packages are not here and cannot be had; one line with the reason."""


def unpacked(name: str, packages: Sequence[str], folder: Path = DEFAULT_FOLDER) -> Path:
    """Where they are unpacked, once for all processes. Raises `NotFetchedError`."""
    root = folder / "debian" / name
    root.parent.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            unpack(packages, root)
    return root


def libraries(root: Path) -> str:
    """What was unpacked of libraries, for LD_LIBRARY_PATH."""
    both = (root / "usr/lib", root / "lib")  # some packages still put theirs where /usr was apart
    found = sorted({str(p.parent) for folder in both for p in folder.glob("*-linux-gnu*/**/*.so*")})
    return ":".join([*found, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])


def skip_or_fail(reason: str) -> NoReturn:
    """For a fixture: under CI everything has to be there, elsewhere its lack is a reason to skip."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def unpack(packages: Sequence[str], root: Path) -> None:
    """Packages and what they need that is not installed, into a folder that is not there yet. Raises `NotFetchedError`."""
    lacking = [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]
    if lacking:
        raise NotFetchedError(f"nothing can be fetched without {', '.join(lacking)}")
    # Unpacked elsewhere and renamed: an interruption leaves nothing half done.
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".fetch-") as scratch:
        work = Path(scratch)
        _apt(["apt-get", "-q", *_AS_USER, "download", *_wanted(packages)], work)
        for package in sorted(work.glob("*.deb")):
            _run(["dpkg-deb", "-x", package, work / "unpacked"], work)
        (work / "unpacked").chmod(0o755)
        (work / "unpacked").rename(root)


def _wanted(packages: Sequence[str]) -> list[str]:
    """The packages that an installation would add to this machine; a simulation says so to any user."""
    plan = _apt(["apt-get", "-s", "--no-install-recommends", "install", *packages], Path("/"))
    return [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]


def _apt(command: Sequence[str], where: Path) -> str:
    """Once more with fresh lists: those of a bare image are empty, those of an old one name files that are gone."""
    try:
        return _run(command, where)
    except NotFetchedError:
        if os.geteuid() != 0:
            raise
        _run(["apt-get", "update"], Path("/"))
        return _run(command, where)


def _run(command: Sequence[str | Path], where: Path) -> str:
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise NotFetchedError(
            f"`{' '.join(map(str, command[:4]))} ...` failed ({last}); run `apt-get update` as root and try again"
        )
    return done.stdout
