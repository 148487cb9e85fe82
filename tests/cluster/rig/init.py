"""The node's first process: sets it up, keeps its programs running, takes in orphans. Standard library only.

/state is shared with the machine: `pki/`, `kubeconfig`, `logs/`, `pids/NAME` of each program, and
`hold/NAME`, which keeps a program from being started again for as long as the file is there.
Programs that end are started again after a second; ending this process ends the node.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

STATE = Path("/state")
PKI = STATE / "pki"
LINK = "10.213.255.2"
PODS = "10.213.0.0/24"
GATEWAY = "10.213.0.1"
SERVICES = "10.213.16.0/20"
API_SERVICE = "10.213.16.1"
API = "https://127.0.0.1:6443"
ETCD = "http://127.0.0.1:2379"
RUNTIME = "/run/containerd/containerd.sock"
ADMIN = "/state/admin.kubeconfig"

CONTAINERD = """version = 2
[plugins."io.containerd.grpc.v1.cri"]
  # Without CAP_SYS_RESOURCE runc cannot lower oom_score_adj, and every sandbox would fail with
  # "can't get final child's PID from pipe: EOF".
  restrict_oom_score_adj = true
  sandbox_image = "docker.io/local/pause:1"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "/etc/cni/net.d"
"""
KUBELET = {
    "kind": "KubeletConfiguration",
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "cgroupDriver": "cgroupfs",
    "failSwapOn": False,
    "authentication": {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": False},
        "x509": {"clientCAFile": str(PKI / "ca.crt")},
    },
    "authorization": {"mode": "AlwaysAllow"},
    "evictionHard": {},
    "maxPods": 60,
    "imageGCHighThresholdPercent": 100,
    "nodeStatusUpdateFrequency": "4s",
}
NETWORK = {
    "cniVersion": "0.4.0",
    "name": "node",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "isDefaultGateway": True,
            "ipMasq": False,
            "hairpinMode": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


def run(*words: str) -> None:
    subprocess.run(words, check=True)


def network() -> None:
    """Links of the node; the one to the machine is moved here by the rig."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "cni0", "type", "bridge")
    run("ip", "address", "add", f"{GATEWAY}/24", "dev", "cni0")
    run("ip", "link", "set", "cni0", "up")
    bridged = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if bridged.exists():
        bridged.write_text("1")
    until("the link to the machine", 30, lambda: Path("/sys/class/net/node0").exists())
    run("ip", "address", "add", f"{LINK}/30", "dev", "node0")
    run("ip", "link", "set", "node0", "up")
    # Some programs look for a default route to learn their own address.
    run("ip", "route", "add", "default", "via", LINK.rsplit(".", 1)[0] + ".1")


def certificate(name: str, subject: str, names: str = "") -> None:
    key, request, done = (str(PKI / f"{name}.{kind}") for kind in ("key", "csr", "crt"))
    openssl("genrsa", "-out", key, "2048")
    openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
    extensions = PKI / f"{name}.ext"
    extensions.write_text(f"subjectAltName={names}\n" if names else "basicConstraints=CA:FALSE\n")
    authority = ("-CA", str(PKI / "ca.crt"), "-CAkey", str(PKI / "ca.key"), "-CAcreateserial")
    openssl("x509", "-req", "-in", request, *authority, "-days", "30", "-extfile", str(extensions), "-out", done)


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def secrets_of_the_node() -> None:
    PKI.mkdir(mode=0o700, exist_ok=True)
    openssl("genrsa", "-out", str(PKI / "ca.key"), "2048")
    ca = ("-key", str(PKI / "ca.key"), "-subj", "/CN=node-ca", "-days", "30", "-out", str(PKI / "ca.crt"))
    openssl("req", "-x509", "-new", *ca)
    addresses = ",".join(f"IP:{one}" for one in ("127.0.0.1", LINK, API_SERVICE, GATEWAY))
    names = "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost," + addresses
    certificate("api", "/CN=kube-apiserver", names)
    certificate("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
    openssl("genrsa", "-out", str(PKI / "sa.key"), "2048")
    token = secrets.token_hex(16)
    (PKI / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    Path(ADMIN).write_text(kubeconfig(API, token))
    (STATE / "kubeconfig").write_text(kubeconfig(f"https://{LINK}:6443", token))
    for secret in (Path(ADMIN), STATE / "kubeconfig"):
        secret.chmod(0o600)


def kubeconfig(server: str, token: str) -> str:
    authority = base64.b64encode((PKI / "ca.crt").read_bytes()).decode()
    cluster = {"server": server, "certificate-authority-data": authority}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "node", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "node", "context": {"cluster": "node", "user": "admin"}}],
            "current-context": "node",
        },
        indent=1,
    )


def files() -> None:
    Path("/etc/containerd").mkdir(exist_ok=True)
    Path("/etc/containerd/config.toml").write_text(CONTAINERD)
    Path("/etc/cni/net.d").mkdir(parents=True, exist_ok=True)
    Path("/etc/cni/net.d/10-node.conflist").write_text(json.dumps(NETWORK))
    Path("/state/kubelet.json").write_text(json.dumps(KUBELET))


def cgroups() -> None:
    """Version 2: no process may be where controllers are handed on."""
    root = Path("/sys/fs/cgroup")
    if not (root / "cgroup.controllers").exists():
        return
    (root / "init").mkdir(exist_ok=True)
    (root / "init/cgroup.procs").write_text("0")
    wanted = (root / "cgroup.controllers").read_text().split()
    (root / "cgroup.subtree_control").write_text(" ".join(f"+{one}" for one in wanted))


class Program:
    """One program of the node, started again whenever it ends."""

    def __init__(self, name: str, words: list[str]) -> None:
        self.name = name
        self.words = words
        self.process: subprocess.Popen[bytes] | None = None
        self.not_before = 0.0

    def keep(self) -> None:
        if self.process is not None and self.process.poll() is None:
            return
        if self.process is not None:
            print(f"{self.name} ended with {self.process.returncode}", flush=True)
            self.process = None
            self.not_before = time.monotonic() + 1.0
            (STATE / "pids" / self.name).unlink(missing_ok=True)
        if time.monotonic() < self.not_before or (STATE / "hold" / self.name).exists():
            return
        with (STATE / "logs" / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        (STATE / "pids" / self.name).write_text(str(self.process.pid))


def programs() -> list[Program]:
    serving = ["--kubeconfig", ADMIN]
    api = [
        *("kube-apiserver", f"--etcd-servers={ETCD}", "--secure-port=6443", "--bind-address=0.0.0.0"),
        *(f"--advertise-address={LINK}", f"--tls-cert-file={PKI}/api.crt", f"--tls-private-key-file={PKI}/api.key"),
        *(f"--client-ca-file={PKI}/ca.crt", f"--token-auth-file={PKI}/tokens.csv", "--authorization-mode=RBAC"),
        *(f"--service-cluster-ip-range={SERVICES}", "--service-account-issuer=https://kubernetes.default.svc"),
        *(f"--service-account-signing-key-file={PKI}/sa.key", f"--service-account-key-file={PKI}/sa.key"),
        *("--allow-privileged=true", "--kubelet-preferred-address-types=InternalIP"),
        *(f"--kubelet-client-certificate={PKI}/kubelet-client.crt", f"--kubelet-client-key={PKI}/kubelet-client.key"),
    ]
    manager = [
        *("kube-controller-manager", *serving, f"--service-account-private-key-file={PKI}/sa.key", "--port=0"),
        *(f"--root-ca-file={PKI}/ca.crt", "--use-service-account-credentials=true", "--secure-port=0"),
        "--leader-elect=false",
    ]
    kubelet = [
        *("kubelet", *serving, "--config=/state/kubelet.json", "--hostname-override=node1"),
        *("--container-runtime=remote", f"--container-runtime-endpoint=unix://{RUNTIME}", f"--node-ip={LINK}"),
    ]
    etcd = [
        *("etcd", "--data-dir=/state/etcd", "--unsafe-no-fsync", f"--listen-client-urls={ETCD}"),
        *(f"--advertise-client-urls={ETCD}", "--listen-peer-urls=http://127.0.0.1:2380"),
    ]
    return [
        Program("etcd", etcd),
        Program("containerd", ["containerd"]),
        Program("apiserver", api),
        Program("controller-manager", manager),
        Program("scheduler", ["kube-scheduler", *serving, "--port=0", "--leader-elect=false"]),
        Program("kubelet", kubelet),
        Program("proxy", ["kube-proxy", *serving, "--hostname-override=node1", "--conntrack-max-per-core=0"]),
    ]


def until(what: str, seconds: float, reached: object) -> None:
    assert callable(reached)
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() >= deadline:
            sys.exit(f"timed out waiting for {what}")
        time.sleep(0.1)


def ctr(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ctr", "-n", "k8s.io", *words], capture_output=True, text=True, check=False)


def fresh_containers() -> None:
    """containerd's store is kept for its images; containers of an earlier node are dead and forgotten here."""
    until("containerd", 30, lambda: ctr("version").returncode == 0)
    for container in ctr("containers", "ls", "-q").stdout.split():
        ctr("tasks", "rm", "-f", container)
        ctr("containers", "rm", container)
    for snapshot in ctr("snapshots", "ls").stdout.splitlines()[1:]:
        words = snapshot.split()
        if words and words[-1] == "Active":
            ctr("snapshots", "rm", words[0])


def pause_image() -> None:
    """The image of pod sandboxes: one layer, whose only program is busybox."""
    name = "docker.io/local/pause:1"
    if name in ctr("images", "ls", "-q").stdout.split():
        return
    work = Path("/run/pause")
    (work / "layer/bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", work / "layer/bin/busybox")
    run("tar", "-C", str(work / "layer"), "-cf", str(work / "layer.tar"), "bin")
    digest = hashlib.sha256((work / "layer.tar").read_bytes()).hexdigest()
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Cmd": ["/bin/busybox", "sleep", "2147483647"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    (work / "config.json").write_text(json.dumps(config))
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    (work / "manifest.json").write_text(json.dumps(manifest))
    run("tar", "-C", str(work), "-cf", str(work / "pause.tar"), "config.json", "manifest.json", "layer.tar")
    ctr("images", "import", str(work / "pause.tar"))
    shutil.rmtree(work)


def take_in_orphans(known: set[int]) -> None:
    """Children that are nobody's any more, such as container shims, are ours to bury."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in known:
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] == "Z" and fields[1] == "1":
            try:
                os.waitpid(int(entry.name), os.WNOHANG)
            except ChildProcessError:
                continue


def main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for folder in ("logs", "pids", "hold"):
        (STATE / folder).mkdir(exist_ok=True)
    cgroups()
    files()
    secrets_of_the_node()
    network()
    kept = programs()
    for program in kept[:2]:
        program.keep()
    fresh_containers()
    pause_image()
    (STATE / "started").touch()
    while True:
        for program in kept:
            program.keep()
        take_in_orphans({one.process.pid for one in kept if one.process is not None})
        time.sleep(0.5)


if __name__ == "__main__":
    main()
