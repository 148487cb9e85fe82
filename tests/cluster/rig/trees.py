"""The Debian trees: a base, the node's root, and the Kubernetes programs built from Debian's source package."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from monitor.demo.errors import DemoError
from monitor.demo.steps import Report, run_step
from tests.cluster.rig.places import Places
from tests.support.debian import NotFetchedError, unpack

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
BASE_PACKAGES = ("ca-certificates", "python3", "python3-venv")
NODE_PACKAGES = (
    *("etcd-server", "containerd", "runc", "containernetworking-plugins", "iptables", "conntrack", "ebtables"),
    *("iproute2", "socat", "ethtool", "busybox-static", "openssl", "kmod", "buildah", "procps"),
)
BUILD_PACKAGES = (
    *("golang-go", "golang-github-modern-go-reflect2-dev", "make", "rsync", "jq", "bsdmainutils", "dpkg-dev", "git"),
    *("build-essential", "curl"),
)
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
_BUILD = Path(__file__).with_name("build-kubernetes")
_NO_SERVICES = "#!/bin/sh\nexit 101\n"


def make_all(places: Places, report: Report) -> None:
    """Everything that is made once and kept; does nothing when it is there. Raises `DemoError`."""
    places.cache.mkdir(parents=True, exist_ok=True)
    with alone(places.cache / ".lock", report):
        _made(places.base, lambda fresh: _base(fresh, places, report))
        _made(places.node, lambda fresh: _node(fresh, places, report))
        _made(places.programs, lambda fresh: _programs(fresh, places, report))


@contextmanager
def alone(lock: Path, report: Report) -> Iterator[None]:
    """Only one process at a time; the lock goes with the process."""
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"waiting for another process that works in {lock.parent}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _made(place: Path, make: object) -> None:
    """Made under another name and renamed, so that an interruption leaves nothing half done."""
    if place.exists():
        return
    fresh = place.with_name(f"{place.name}.new")
    remove_tree(fresh)
    assert callable(make)
    try:
        make(fresh)
    except BaseException:
        remove_tree(fresh)
        raise
    fresh.rename(place)


def remove_tree(place: Path) -> None:
    """Remove a tree, but never what is mounted in it."""
    if place.exists():
        subprocess.run(["rm", "-rf", "--one-file-system", str(place)], check=False)


def _base(fresh: Path, places: Places, report: Report) -> None:
    report(f"making a minimal Debian ({SUITE}, about 1 minute, 280 MB)")
    include = ",".join(BASE_PACKAGES)
    tool, env = _debootstrap(places, report)
    command = [tool, "--variant=minbase", f"--include={include}", SUITE, fresh, _mirror()]
    run_step("debootstrap", command, report, log=places.logs / "base.log", env=env)
    shutil.rmtree(fresh / "var/cache/apt/archives", ignore_errors=True)
    (fresh / "var/cache/apt/archives/partial").mkdir(parents=True)


def _debootstrap(places: Places, report: Report) -> tuple[Path | str, dict[str, str]]:
    """debootstrap from PATH, or out of its Debian package."""
    env = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive", "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    found = shutil.which("debootstrap", path=env["PATH"])
    if found and shutil.which("wget", path=env["PATH"]):
        return found, env
    folder = places.cache / "debootstrap"
    if not folder.exists():
        report("fetching debootstrap")
        try:
            unpack(("debootstrap", "wget"), folder)
        except NotFetchedError as error:
            raise DemoError(str(error)) from None
    libraries = folder / "usr/lib" / f"{os.uname().machine}-linux-gnu"
    env["PATH"] = f"{folder / 'usr/bin'}:{env['PATH']}"
    env["LD_LIBRARY_PATH"] = str(libraries)
    env["DEBOOTSTRAP_DIR"] = str(folder / "usr/share/debootstrap")
    return folder / "usr/sbin/debootstrap", env


def _mirror() -> str:
    """The machine's own mirror where it names one for Debian, so that a company's mirror is used."""
    for file in (*Path("/etc/apt/sources.list.d").glob("*.sources"), Path("/etc/apt/sources.list")):
        if not file.exists():
            continue
        for word in file.read_text(encoding="utf-8").split():
            if word.startswith(("http://", "https://")) and word.rstrip("/").endswith("/debian"):
                return word.rstrip("/")
    return MIRROR


def _node(fresh: Path, places: Places, report: Report) -> None:
    report("making the node's tree (about 1 minute, 700 MB)")
    _copy(places.base, fresh, places, report)
    _install(fresh, NODE_PACKAGES, places.logs / "node.log", report)
    shutil.rmtree(fresh / "var/lib/apt/lists", ignore_errors=True)


def _copy(source: Path, to: Path, places: Places, report: Report) -> None:
    run_step(f"copying {source.name}", ["cp", "-a", "--reflink=auto", source, to], report, log=places.logs / "copy.log")


def _install(tree: Path, packages: Sequence[str], log: Path, report: Report) -> None:
    """Install packages in a tree. Their services are not started: the policy file forbids it."""
    policy = tree / "usr/sbin/policy-rc.d"
    policy.write_text(_NO_SERVICES, encoding="utf-8")
    policy.chmod(0o755)
    borrow_network(tree)
    mirror = _mirror()
    lines = [f"{kind} {mirror} {SUITE} main" for kind in ("deb", "deb-src")]
    (tree / "etc/apt/sources.list").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for what, words in {
        "apt-get update": ["update"],
        "installing packages": ["install", "-y", "--no-install-recommends", *packages],
        "cleaning up": ["clean"],
    }.items():
        run_step(f"{what} in {tree.name}", in_tree(tree, ["apt-get", "-q", *words]), report, log=log, env=CLEAN)


CLEAN = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "DEBIAN_FRONTEND": "noninteractive",
    "HOME": "/root",
    "LC_ALL": "C",
}


def in_tree(
    tree: Path, command: Sequence[str | Path], *binds: tuple[Path, str], overlay: bool = False
) -> list[str | Path]:
    """A command with a tree as its root, in mount and pid namespaces that end with it.

    `binds` are places of the machine and where they are seen in the tree. With `overlay` nothing is
    written into the tree.
    """
    lines = ["set -e; root=$1; shift"]
    if overlay:
        lines += [
            "mount -t tmpfs tmpfs /mnt && mkdir /mnt/upper /mnt/work /mnt/root",
            'mount -t overlay overlay -o "lowerdir=$root,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root',
            "root=/mnt/root",
        ]
    lines += ['mount -t proc proc "$root/proc"', 'mount --rbind /dev "$root/dev"', 'mount --rbind /sys "$root/sys"']
    for source, inside in binds:
        make = "mkdir -p" if source.is_dir() else "touch"
        lines.append(f'{make} "$root{inside}"; mount --bind "{source}" "$root{inside}"')
    lines.append('exec chroot "$root" "$@"')
    own = ["unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--propagation", "private"]
    return [*own, "sh", "-c", "; ".join(lines), "in-tree", tree, *command]


def borrow_network(tree: Path) -> None:
    """Names are resolved as on the machine, and its certificates are believed."""
    for name in ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"):
        source = Path("/") / name
        if source.exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).unlink(missing_ok=True)
            shutil.copyfile(source, tree / name)
    for proxy in Path("/etc/apt/apt.conf.d").glob("*proxy*"):
        shutil.copyfile(proxy, tree / "etc/apt/apt.conf.d" / proxy.name)


def _programs(fresh: Path, places: Places, report: Report) -> None:
    report("building Kubernetes from Debian's source package (3 to 6 minutes on 2 cores, needs 4 GB while it builds)")
    fresh.mkdir()
    tree = places.cache / "builder"
    remove_tree(tree)
    try:
        _copy(places.base, tree, places, report)
        _install(tree, BUILD_PACKAGES, places.logs / "builder.log", report)
        shutil.copyfile(_BUILD, tree / "build-kubernetes")
        command = in_tree(tree, ["bash", "/build-kubernetes", *PROGRAMS], (fresh, "/out"))
        run_step("building Kubernetes", command, report, log=places.logs / "kubernetes.log", env=CLEAN)
    finally:
        remove_tree(tree)
