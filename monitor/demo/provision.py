"""What the demo needs beside our own environment, found or put into one folder.

Everything is installed under a temporary name and renamed, so that an interruption leaves nothing
half done, and a second call finds all of it and does nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from monitor.demo.debian import ETCD, NATS, PROMETHEUS, Package, fetch_program, find_program
from monitor.demo.errors import DemoError
from monitor.demo.steps import Report, StepFailed, run_step

_ROOT = Path(__file__).resolve().parents[2]
# Installed without a checkout, the packages are no place to write to.
REPOSITORY = _ROOT if (_ROOT / "pyproject.toml").exists() else Path.cwd()
DEFAULT_FOLDER = REPOSITORY / ".tools"
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PINS = Path(__file__).with_name("dynamo.txt")


@dataclass(frozen=True)
class Tools:
    """Where everything is. `absent` names, one line each, the programs that the demo goes on without."""

    dynamo_python: Path
    nats: Path
    etcd: Path | None
    prometheus: Path | None
    absent: tuple[str, ...] = ()


def provision(folder: Path, report: Report, *, etcd: bool = False, prometheus: bool = True) -> Tools:
    """Find or install the programs. Raises `DemoError` for one that is needed and cannot be had.

    Prometheus is not needed: without it the demo has no server witness, and says so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder, report):
        dynamo_python = _dynamo(folder, report)
        nats = _program(NATS, folder, report)
        etcd_path = _program(ETCD, folder, report) if etcd else None
        prometheus_path, absent = _optional(PROMETHEUS, folder, report) if prometheus else (None, ())
    return Tools(dynamo_python, nats, etcd_path, prometheus_path, absent)


def missing(folder: Path, *, etcd: bool = False, prometheus: bool = True) -> tuple[str, ...]:
    """The programs that `provision` would have to install."""
    wanted = [NATS, *([ETCD] if etcd else []), *([PROMETHEUS] if prometheus else [])]
    lacking = [one.program for one in wanted if find_program(one, folder / "debian") is None]
    return tuple(lacking if _dynamo_python(folder).exists() else ["ai-dynamo", *lacking])


@contextmanager
def _alone(folder: Path, report: Report) -> Iterator[None]:
    """Only one process at a time installs into a folder. The lock goes with the process."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"waiting for another process that is installing into {folder}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def program(wanted: Package, folder: Path, report: Report) -> Path:
    """Find or install one more of Debian's programs. Raises `DemoError`."""
    with _alone(folder, report):
        return _program(wanted, folder, report)


def _program(wanted: Package, folder: Path, report: Report) -> Path:
    debian = folder / "debian"
    return find_program(wanted, debian) or fetch_program(wanted, debian, report)


def _optional(wanted: Package, folder: Path, report: Report) -> tuple[Path | None, tuple[str, ...]]:
    try:
        return _program(wanted, folder, report), ()
    except DemoError as error:
        report(str(error))
        return None, (str(error),)


def _dynamo_python(folder: Path) -> Path:
    """The Python of ai-dynamo's own environment, whose libraries must not hold back ours."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(PINS.read_bytes()).hexdigest()[:10]
    return folder / f"dynamo-py{version}-{digest}" / "bin" / "python"


def _dynamo(folder: Path, report: Report) -> Path:
    python = _dynamo_python(folder)
    if python.exists():
        return python
    environment = python.parent.parent
    uv = find_uv(folder)
    fresh = folder / f".{environment.name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    log = folder / "dynamo.log"
    report(f"installing ai-dynamo into {environment} (about 450 MB)")
    environment_of_uv = environment_for_uv()
    try:
        run_step(
            "making the environment",
            [uv, "venv", "--relocatable", "--python", sys.executable, fresh],
            report,
            log=log,
            env=environment_of_uv,
        )
        install: list[str | Path] = [uv, "pip", "install", "--python", fresh / "bin" / "python", "--requirements", PINS]
        run_step("installing ai-dynamo", install, report, log=log, env=environment_of_uv)
        run_step("trying ai-dynamo", [fresh / "bin" / "python", "-c", "import dynamo.runtime"], report, log=log)
    except StepFailed as failed:
        raise DemoError(
            f"ai-dynamo could not be installed ({failed.last_words}); the whole output is in {log}; it has wheels "
            "for Linux on x86_64 and aarch64 with Python 3.11 to 3.13"
        ) from None
    fresh.rename(environment)
    return python


def environment_for_uv() -> dict[str, str]:
    """This process's, without our own environment's marks, which would send uv to the wrong one; with the system's certificates."""
    own = {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"}
    environment = {name: value for name, value in os.environ.items() if name not in own}
    # uv brings certificates of its own, which do not know a company's.
    if "SSL_CERT_FILE" not in environment and SYSTEM_CERTIFICATES.exists():
        environment.setdefault("UV_SYSTEM_CERTS", "true")
    if (DEFAULT_FOLDER / "tmp").is_dir():  # uv keeps a lock file in the temporary folder for ever
        environment["TMPDIR"] = str(DEFAULT_FOLDER / "tmp")
    if (DEFAULT_FOLDER / "cache").is_dir():  # the bootstrap found no cache of uv's and made one there
        environment.setdefault("UV_CACHE_DIR", str(DEFAULT_FOLDER / "cache"))
    return environment


def find_uv(folder: Path) -> Path:
    """uv as the bootstrap installed it, or from PATH."""
    candidates = (os.environ.get("UV"), folder / "uv" / "bin" / "uv", DEFAULT_FOLDER / "uv" / "bin" / "uv")
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            return Path(candidate)
    found = shutil.which("uv")
    if found is None:
        raise DemoError("uv is not there: run `make setup`, which installs it into .tools/uv")
    return Path(found)
