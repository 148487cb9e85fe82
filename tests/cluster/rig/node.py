"""Start the node, wait until it is ready, end it and leave nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from monitor.demo.errors import DemoError
from monitor.demo.steps import Report
from tests.cluster.rig.cgroups import Cgroup
from tests.cluster.rig.places import Places
from tests.cluster.rig.trees import CLEAN, alone, make_all, remove_tree

LINK = "aftershock0"
MACHINE_ADDRESS, NODE_ADDRESS = "10.213.255.1", "10.213.255.2"
ROUTES = ("10.213.0.0/24", "10.213.16.0/20")
_HERE = Path(__file__).parent
_NAMESPACES = ("--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "--propagation", "private")
_JOIN = 'while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs" || :; shift; done; shift; exec "$@"'


class Node:
    """The one node of the cluster. `tethered`: it ends with the process (and thread) that started it."""

    def __init__(self, places: Places, report: Report) -> None:
        self.places = places
        self._report = report
        self._cgroup = Cgroup("aftershock-node")
        self.started = False
        """Whether `up` had to start it; else somebody else did, and keeps it."""

    @property
    def running(self) -> bool:
        """Whether its first process lives."""
        return self._pid() is not None

    def up(self, *, tethered: bool = False) -> Path:
        """Start what is not there yet; returns the kubeconfig. Raises `DemoError` and leaves nothing."""
        make_all(self.places, self._report)
        self.places.state.parent.mkdir(parents=True, exist_ok=True)
        with alone(self.places.state.with_name(f"{self.places.state.name}.lock"), self._report):
            if self.running and (self.places.state / "ready").exists():
                self._join_running(tethered)
                return self.places.kubeconfig
            if not (self.places.state / "pid").exists():
                self._refuse_a_foreign_link()  # its node shares our cgroup's name, and would be ended for a remnant
            self._end()  # what an interrupted start left, too
            self._refuse_a_foreign_link()
            try:
                self._start(tethered)
                self.started = True
            except BaseException:
                self._end()
                raise
        return self.places.kubeconfig

    def down(self) -> None:
        """End everything that `up` began; does nothing when there is nothing."""
        if self.running:
            self._report("stopping Kubernetes")
        self._end()

    def remains(self) -> list[str]:
        """What is left on the machine after `down`, one line each; empty is what it should be."""
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
        left = [f"mount {line.split()[1]}" for line in mounts if str(self.places.state) in line.split()[1]]
        left += [f"cgroup {folder}" for folder in self._cgroup.folders if folder.exists()]
        left += [f"link {LINK}"] if (Path("/sys/class/net") / LINK).exists() else []
        left += [f"state {self.places.state}"] if self.places.state.exists() else []
        return left

    def run(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command on the node."""
        pid = self._pid()
        if pid is None:
            raise DemoError("the node is not running")
        enter = ["nsenter", f"--target={pid}", "--mount", "--net", "--pid", "--ipc", "--root", "--wd=/"]
        command = [*enter, *(str(word) for word in words)]
        return subprocess.run(command, capture_output=True, text=True, check=check, env=CLEAN)

    def kill(self, program: str, signum: signal.Signals) -> None:
        """Send a signal to one of the node's programs, such as `apiserver`; it is started again when it ends."""
        pid = (self.places.state / "shared/pids" / program).read_text(encoding="utf-8")
        self.run("kill", f"-{int(signum)}", pid)

    @contextmanager
    def without(self, program: str) -> Iterator[None]:
        """One of the node's programs is killed, and not started again before the end."""
        hold = self.places.state / "shared/hold" / program
        hold.touch()
        try:
            self.kill(program, signal.SIGKILL)
            yield
        finally:
            hold.unlink()

    @contextmanager
    def stopped(self, program: str) -> Iterator[None]:
        """One of the node's programs stands still: connections stay open and nothing answers."""
        self.kill(program, signal.SIGSTOP)
        try:
            yield
        finally:
            self.kill(program, signal.SIGCONT)

    def take_image(self, archive: Path) -> None:
        """Import an archive into the node's store. Raises `DemoError`."""
        inside = self.places.state / "shared" / archive.name
        inside.hardlink_to(archive)
        try:
            done = self.run("ctr", "-n", "k8s.io", "images", "import", f"/state/{archive.name}", check=False)
        finally:
            inside.unlink()
        if done.returncode != 0:
            raise DemoError(f"containerd does not take {archive.name}: {done.stderr.strip()[-300:]}")

    def _join_running(self, tethered: bool) -> None:
        tether = self.places.state / "tether"
        if not tether.exists():
            self._report("Kubernetes is running already")
            return
        words = f"Kubernetes is running already, for process {tether.read_text(encoding='utf-8')}, and ends with it"
        if not tethered:
            raise DemoError(f"{words}; try again then")
        self._report(words)

    # --- start ------------------------------------------------------------------------------------

    def _start(self, tethered: bool) -> None:
        began = time.monotonic()
        self._report("starting Kubernetes")
        state = self.places.state
        state.mkdir(mode=0o700)
        self.places.containerd.mkdir(parents=True, exist_ok=True)
        if tethered:
            (state / "tether").write_text(str(os.getpid()), encoding="utf-8")
        self._cgroup.make()
        process = self._unshare(tethered)
        (state / "pid").write_text(json.dumps(_identity(process.pid)), encoding="utf-8")
        self._until("the node's namespaces", 20, lambda: self._pid() is not None, process)
        self._link()
        self._until("the node to be set up", 60, (state / "shared/started").exists, process)
        shutil.copyfile(state / "shared/kubeconfig", self.places.kubeconfig)
        self.places.kubeconfig.chmod(0o600)
        self._until("the API server", 90, lambda: _healthy(self.places.kubeconfig), process)
        self._until("the node to be ready", 90, lambda: _node_ready(self.places.kubeconfig), process)
        (state / "ready").touch()
        self._report(f"Kubernetes is ready after {time.monotonic() - began:.0f} s: KUBECONFIG={self.places.kubeconfig}")

    def _unshare(self, tethered: bool) -> subprocess.Popen[bytes]:
        places = self.places
        enter = [_HERE / "enter-node", places.node, places.state, places.containerd, places.programs, _HERE / "init.py"]
        # The cgroup namespace comes after the process was put into its cgroup, so that it sees that as the root.
        join = ["sh", "-c", _JOIN, "join", *self._cgroup.folders, "--", "unshare", "--cgroup", *enter]
        tether = ["setpriv", "--pdeathsig", "KILL"] if tethered else []
        words = [*tether, "unshare", *_NAMESPACES, *join]
        with (places.state / "node.log").open("ab") as log:
            return subprocess.Popen(
                [str(word) for word in words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _link(self) -> None:
        """A pair of links between the machine and the node; it goes with the node."""
        pid = str(self._pid())
        for words in (
            ("link", "add", LINK, "type", "veth", "peer", "name", "node0"),
            ("link", "set", "node0", "netns", pid),
            ("address", "add", f"{MACHINE_ADDRESS}/30", "dev", LINK),
            ("link", "set", LINK, "up"),
            *(("route", "add", route, "via", NODE_ADDRESS) for route in ROUTES),
        ):
            self._ip(*words)

    def _ip(self, *words: str, check: bool = True) -> str:
        # The tree's own program: a bare machine has none.
        command = ["chroot", str(self.places.node), "ip", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=CLEAN)
        if check and done.returncode != 0:
            raise DemoError(f"ip {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def _refuse_a_foreign_link(self) -> None:
        if (Path("/sys/class/net") / LINK).exists():
            raise DemoError(f"another node is running on this machine (link {LINK}); end it with its own `down` first")
        for route in self._ip("-4", "route", "show").splitlines():
            if route.startswith("10.213."):
                raise DemoError(f"this machine's network has a route into the node's: {route}")

    def _until(self, what: str, seconds: float, reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        deadline, told = time.monotonic() + seconds, time.monotonic()
        while not reached():
            if process.poll() is not None or time.monotonic() >= deadline:
                ended = f"it ended with {process.returncode}" if process.poll() is not None else f"{seconds:g} s over"
                raise DemoError(f"waiting for {what}: {ended}; {self._last_words()}")
            if time.monotonic() - told > 10:
                self._report(f"still waiting for {what}")
                told = time.monotonic()
            time.sleep(0.2)

    def _last_words(self) -> str:
        lines = []
        for log in (self.places.state / "node.log", *sorted((self.places.state / "shared/logs").glob("*.log"))):
            tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:] if log.exists() else []
            lines += [f"{log.stem}: {line.strip()[:200]}" for line in tail]
        return "; ".join(lines)

    # --- end --------------------------------------------------------------------------------------

    def _pid(self) -> int | None:
        """Pid, on the machine, of the node's first process."""
        try:
            who = json.loads((self.places.state / "pid").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if _identity(who["pid"]) != who:
            return None
        try:
            children = Path(f"/proc/{who['pid']}/task/{who['pid']}/children").read_text(encoding="utf-8").split()
        except OSError:
            return None
        return int(children[0]) if children else None

    def _end(self) -> None:
        pid = self._pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        self._cgroup.empty()
        self._remove_remains()

    def _remove_remains(self) -> None:
        """What is left of a node that ended in whatever way: its cgroups and its state."""
        self._cgroup.remove()
        deadline = time.monotonic() + 10
        while (Path("/sys/class/net") / LINK).exists() and not self.running and time.monotonic() < deadline:
            time.sleep(0.1)  # the kernel takes a network namespace apart on its own time
        if self.places.state.exists():
            for entry in self.places.state.iterdir():
                remove_tree(entry) if entry.is_dir() else entry.unlink()
            self.places.state.rmdir()


def _identity(pid: int) -> dict[str, int]:
    """A process, told apart from a later owner of its pid; start time -1 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return {"pid": pid, "start": -1}
    return {"pid": pid, "start": int(fields[19]) if fields[0] not in "ZX" else -1}


def api(kubeconfig: Path) -> client.ApiClient:
    """A client of the cluster."""
    return config.new_client_from_config(str(kubeconfig))


def _healthy(kubeconfig: Path) -> bool:
    try:
        with api(kubeconfig) as connection:
            client.VersionApi(connection).get_code(_request_timeout=2)
            client.CoreV1Api(connection).read_namespaced_service_account("default", "default", _request_timeout=2)
    except (client.ApiException, HTTPError):
        return False
    return True


def _node_ready(kubeconfig: Path) -> bool:
    try:
        with api(kubeconfig) as connection:
            nodes = client.CoreV1Api(connection).list_node(_request_timeout=2).items
    except (client.ApiException, HTTPError):
        return False
    states = [one.status for node in nodes for one in node.status.conditions or () if one.type == "Ready"]
    return bool(states) and all(state == "True" for state in states)
