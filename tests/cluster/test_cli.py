"""The README's way over Kubernetes, line by line, and the command line from outside the cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.accounts import account
from tests.cluster.manifests import Graph
from tests.cluster.release import RELEASE, gone, volume
from tests.cluster.rig.images import AFTERSHOCK
from tests.cluster.rig.places import REPOSITORY
from tests.cluster.world import ASK, Cluster

NEEDED = ("list services", "get endpoints", "get pods", "get pods/portforward", "create pods/portforward")


def readme_lines() -> tuple[str, list[str]]:
    """The line with the variables, and those to run."""
    section = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("\n## On Kubernetes\n")[2]
    block = section.partition("\n```\n")[2].partition("\n```\n")[0]
    first, *rest = block.splitlines()
    return first, rest


@dataclass
class Shell:
    """Lines as a person types them, in the repository, with the variables of the README's first line."""

    env: dict[str, str]
    done: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)

    def __call__(self, line: str) -> subprocess.CompletedProcess[str]:
        words = ["bash", "-euo", "pipefail", "-c", line]
        self.done[line] = subprocess.run(
            words, capture_output=True, text=True, check=False, env=self.env, cwd=REPOSITORY, timeout=300
        )
        return self.done[line]


@pytest.fixture(scope="module")
def lines() -> Callable[[str], str]:
    """The README's line with these words."""
    _, known = readme_lines()

    def one(words: str) -> str:
        (found,) = [line for line in known if re.search(words, line)]
        return found

    return one


@pytest.fixture(scope="module")
def shell(
    *,
    cluster: Cluster,
    namespace: str,
    graph: Graph,
    clients: dict[str, Path],
    lines: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shell]:
    """A shell with the release that the README's line made."""
    repository, _, tag = cluster.image(AFTERSHOCK).rpartition(":")
    service: Any = cluster.core.read_namespaced_service(f"{graph.name}-frontend", namespace, _request_timeout=ASK)
    given = {
        "AFTERSHOCK_NAMESPACE": namespace,
        "DEPLOYMENT": graph.name,
        "ENDPOINT": f"http://{service.spec.cluster_ip}:8000",  # no cluster DNS is needed
        "IMAGE": repository,
        "TAG": tag,
    }
    first, _ = readme_lines()
    assert set(re.findall(r"(\w+)=", first)) == set(given), "the README's variables are others"
    path = [str(Path(sys.executable).parent), *{str(one.parent) for one in clients.values()}, os.environ["PATH"]]
    home = tmp_path_factory.mktemp("helm")
    own = {name: str(home / name.lower()) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AFTERSHOCK_")}
    shell = Shell(inherited | own | given | {"PATH": ":".join(path), "KUBECONFIG": str(cluster.kubeconfig)})
    with volume(cluster, namespace, graph.image):
        installed = shell(lines("^helm install"))
        try:
            assert installed.returncode == 0, installed.stderr
            yield shell
        finally:
            shell(f"helm uninstall {RELEASE} --namespace {namespace} --no-hooks --wait --ignore-not-found")


@pytest.mark.timeout(600)
def test_the_first_fault_as_in_the_readme(shell: Shell, lines: Callable[[str], str]) -> None:
    seen = shell(lines("aftershock status"))
    assert seen.returncode == 0, seen.stderr
    assert "mocker" in seen.stdout
    dry = shell(lines("--dry-run"))
    assert dry.returncode in {0, 1}, dry.stderr  # 1: it would be refused, for the load has only just begun
    assert "mocker-vllmdecodeworker-" in dry.stdout
    run = shell(lines("inject worker_pod --retry-for"))
    assert run.returncode in {0, 1}, run.stderr  # 1: an objective was missed, which a busy machine may do
    assert re.search("recovered|no_impact", run.stdout), run.stdout + run.stderr
    assert "worker_pod" in shell(lines("runs ls")).stdout


@pytest.mark.timeout(600)
def test_every_command_from_outside(shell: Shell, cluster: Cluster, namespace: str) -> None:
    context = yaml.safe_load(Path(shell.env["KUBECONFIG"]).read_text(encoding="utf-8"))["current-context"]
    ours = f"aftershock --context {context} --namespace {namespace} --release {RELEASE}"
    assert "worker_stall" in shell(f"{ours} faults ls").stdout
    begun = shell(f"{ours} inject none --retry-for 120 --no-wait --json")
    assert begun.returncode == 0, begun.stderr
    run = yaml.safe_load(begun.stdout)["id"]
    assert run in shell(f"{ours} runs show {run}").stdout
    assert shell(f"{ours} schedules").returncode == 0
    assert shell(f"{ours} recover --all").returncode == 0
    assert run in shell(f"{ours} report {run}").stdout
    stopped = shell(f"{ours} stop")
    assert stopped.returncode == 0, stopped.stderr
    assert "stopped" in shell(f"{ours} inject none --dry-run").stdout
    assert shell(f"{ours} resume").returncode == 0


def test_what_is_not_there_is_one_line(shell: Shell, namespace: str) -> None:
    wrong = {
        "aftershock --namespace default status": ("no release of aftershock in namespace default", namespace),
        "aftershock --context elsewhere status": ("no context elsewhere", "there is"),
        f"aftershock --namespace {namespace} --release other status": ("no release other", RELEASE),
    }
    for line, words in wrong.items():
        done = shell(line)
        assert done.returncode == 3, done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert all(one in done.stderr for one in words)


def test_the_rights_of_the_readme_are_enough_and_the_missing_one_is_named(
    shell: Shell, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    whole = account(cluster, namespace, "cli-whole", [*NEEDED, "get secrets"], tmp_path)
    less = account(cluster, namespace, "cli-less", NEEDED, tmp_path)
    line = f"aftershock --namespace {namespace} status"
    done = Shell(shell.env | {"KUBECONFIG": str(whole)})(line)
    assert done.returncode == 0, done.stderr
    done = Shell(shell.env | {"KUBECONFIG": str(less)})(line)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "get on secrets" in done.stderr and "AFTERSHOCK_TOKEN" in done.stderr


@pytest.mark.timeout(400)
def test_the_emergency_stop_and_the_uninstall_of_the_readme(
    shell: Shell, cluster: Cluster, namespace: str, lines: Callable[[str], str]
) -> None:
    stopped = shell(lines("aftershock stop"))
    assert stopped.returncode == 0, stopped.stderr
    uninstalled = shell(lines("^helm uninstall"))
    assert uninstalled.returncode == 0, uninstalled.stderr
    gone(cluster, namespace)
