"""Programs out of Debian's packages, unpacked into our own folder.

Never installed: an installed server package starts a service on somebody's machine, and needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from monitor.demo.errors import DemoError
from monitor.demo.steps import Report, StepFailed, run_step

_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin")  # often not on a user's PATH, and where Debian puts servers


@dataclass(frozen=True)
class Package:
    """A program and the Debian package that has it."""

    program: str
    package: str
    inside: str
    """Path of the program in the package."""


PROMETHEUS = Package("prometheus", "prometheus", "usr/bin/prometheus")
PROMTOOL = Package("promtool", "prometheus", "usr/bin/promtool")
ALERTMANAGER = Package("prometheus-alertmanager", "prometheus-alertmanager", "usr/bin/prometheus-alertmanager")
ETCD = Package("etcd", "etcd-server", "usr/bin/etcd")
NATS = Package("nats-server", "nats-server", "usr/sbin/nats-server")


def find_program(wanted: Package, folder: Path) -> Path | None:
    """The program on PATH or as unpacked earlier; None when it has to be fetched."""
    unpacked = folder / wanted.package / wanted.inside
    if unpacked.exists():
        return unpacked
    path = os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM_FOLDERS))
    found = shutil.which(wanted.program, path=path)
    return Path(found) if found else None


def fetch_program(wanted: Package, folder: Path, report: Report) -> Path:
    """Download the package with apt-get and unpack it below `folder`. Raises `DemoError` with the way out."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise DemoError(
            f"{wanted.program} is not on PATH and this is not Debian, so it cannot be fetched here: install "
            f"{wanted.program} with your system's packages and put it on PATH"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # Unpacked elsewhere and renamed: an interruption leaves no half a program behind.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        work = Path(scratch)
        report(f"fetching {wanted.program} (Debian package {wanted.package}, unpacked into {folder / wanted.package})")
        _download(wanted, work, folder / f"{wanted.package}.log", report)
        deb = next(work.glob("*.deb"))
        unpacked = work / "unpacked"
        run_step(
            f"unpacking {wanted.package}",
            ["dpkg-deb", "-x", deb, unpacked],
            report,
            log=folder / f"{wanted.package}.log",
        )
        _must_run(unpacked / wanted.inside, wanted)
        target = folder / wanted.package
        shutil.rmtree(target, ignore_errors=True)
        unpacked.rename(target)
    return target / wanted.inside


def _download(wanted: Package, work: Path, log: Path, report: Report) -> None:
    command = ["apt-get", "-o", "APT::Sandbox::User=root", "download", wanted.package]
    what = f"downloading {wanted.package}"
    try:
        run_step(what, command, report, log=log, cwd=work, timeout_seconds=300)
    except StepFailed as failed:
        if os.geteuid() != 0:
            raise _way_out(wanted, failed) from None
    else:
        return
    # Lists that are empty or older than the mirror are the usual cause; only root may renew them.
    try:
        run_step("apt-get update", ["apt-get", "update"], report, log=log, timeout_seconds=300)
        run_step(what, command, report, log=log, cwd=work, timeout_seconds=300)
    except StepFailed as failed:
        raise _way_out(wanted, failed) from None


def _way_out(wanted: Package, failed: StepFailed) -> DemoError:
    return DemoError(
        f"{wanted.program} is not on PATH and `apt-get download {wanted.package}` failed ({failed.last_words}): "
        f"run `apt-get update` as root and try again, or put {wanted.program} on PATH"
    )


def _must_run(program: Path, wanted: Package) -> None:
    try:
        tried = subprocess.run([program, "--version"], capture_output=True, check=False, timeout=30)
    except OSError as error:
        raise DemoError(f"{wanted.program} from Debian's {wanted.package} does not run: {error.strerror}") from None
    if tried.returncode != 0:
        said = tried.stderr.decode(errors="replace").strip()[-200:]
        raise DemoError(f"{wanted.program} from Debian's {wanted.package} does not run: {said}")
