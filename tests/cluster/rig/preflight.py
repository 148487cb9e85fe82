"""Whether this machine can carry the node, and if not, why."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

NEEDED_GB = 8
"""Of disk, to build."""
BUILD_MEMORY_GB = 5
RUN_MEMORY_GB = 3
_PROGRAMS = ("unshare", "nsenter", "chroot", "mount", "apt-get", "dpkg-deb")
_TRIAL = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/a /mnt/b && mount -t overlay overlay -o lowerdir=/mnt/a:/mnt/b /mnt/b"


def reasons_against(cache: Path) -> list[str]:
    """Each in one line; empty when the node can be built and started here."""
    if os.uname().sysname != "Linux" or os.geteuid() != 0:
        return [f"a Kubernetes of our own needs root on Linux (this is uid {os.geteuid()} on {os.uname().sysname})"]
    lacking = [name for name in _PROGRAMS if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None]
    if lacking:
        return [
            f"{', '.join(lacking)} not found: the node is made of Debian's packages and needs a Debian-like machine"
        ]
    if os.uname().machine not in {"x86_64", "aarch64"}:
        return [f"no Debian packages are known for {os.uname().machine}"]
    return [*_chroot(), *_namespaces(), *_disk(cache), *_memory(cache)]


def _chroot() -> list[str]:
    """Who joins a mount namespace that was made in a chroot is outside of it: `exec` would act on the machine itself."""
    look = ["cat", "/proc/self/mountinfo"]
    ours = subprocess.run(look, capture_output=True, text=True, check=False)
    joined = subprocess.run(
        ["nsenter", "--mount=/proc/self/ns/mnt", *look], capture_output=True, text=True, check=False
    )
    if joined.returncode != 0:
        return [f"no mount namespace can be joined here ({joined.stderr.strip() or 'no message'})"]
    if _root_mounts(ours.stdout) != _root_mounts(joined.stdout):
        return ["this is a chroot, which no container on its node would be kept in: boot or pivot_root into it"]
    return []


def _root_mounts(mountinfo: str) -> list[str]:
    """Ids of what is mounted at `/`."""
    lines = [line.split() for line in mountinfo.splitlines()]
    return [words[0] for words in lines if words[4] == "/"]


def _namespaces() -> list[str]:
    words = ["unshare", "--mount", "--pid", "--net", "--ipc", "--cgroup", "--fork", "--propagation", "private"]
    tried = subprocess.run([*words, "sh", "-ec", _TRIAL], capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return []
    said = tried.stderr.strip().splitlines()
    return [f"namespaces or overlay mounts are not allowed here ({said[-1] if said else 'no message'})"]


def _built(cache: Path) -> bool:
    return (cache / "bin").exists()


def _memory(cache: Path, meminfo: Path = Path("/proc/meminfo")) -> list[str]:
    lines = dict(line.split(":", 1) for line in meminfo.read_text(encoding="utf-8").splitlines())
    free, needed = int(lines["MemAvailable"].split()[0]) / 1e6, RUN_MEMORY_GB if _built(cache) else BUILD_MEMORY_GB
    what = "running" if _built(cache) else "building"
    return [] if free >= needed else [f"{free:.1f} GB of memory are free; {what} takes {needed} GB"]


def _disk(cache: Path) -> list[str]:
    if _built(cache):
        return []
    there = next(place for place in (cache, *cache.parents) if place.exists())
    free = shutil.disk_usage(there).free / 1e9
    return [] if free > NEEDED_GB else [f"{there} has {free:.1f} GB free; building takes {NEEDED_GB} GB"]
