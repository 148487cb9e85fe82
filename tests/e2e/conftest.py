"""Real programs for end-to-end tests. Every fixture that starts something ends it, and fails when it could not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from monitor.demo.deployment import Deployment
from monitor.demo.prometheus import Prometheus, ScrapeTarget
from monitor.demo.provision import DEFAULT_FOLDER, Tools, missing, provision
from monitor.demo.topology import Topology
from tests.support.debian import skip_or_fail


class MakeDynamo(Protocol):
    """Starts a deployment; the arguments are those of `Topology`."""

    def __call__(self, **options: Any) -> Deployment: ...


class MakePrometheus(Protocol):
    """Starts a Prometheus that scrapes the targets."""

    def __call__(self, targets: Sequence[ScrapeTarget]) -> Prometheus: ...


@pytest.fixture(scope="session")
def tools() -> Tools:
    """ai-dynamo, NATS, etcd and Prometheus; installed first under CI, else the test is skipped where one is missing."""
    lacking = missing(DEFAULT_FOLDER, etcd=True)
    if lacking and os.environ.get("CI") != "true":
        pytest.skip(f"not installed: {', '.join(lacking)}; `make tools` installs it")
    found = provision(DEFAULT_FOLDER, print, etcd=True)
    if found.prometheus is None:
        skip_or_fail(found.absent[0])
    return found


@pytest.fixture
def dynamo(tools: Tools, tmp_path: Path) -> Iterator[MakeDynamo]:
    """Makes running deployments that are gone after the test."""
    started: list[Deployment] = []

    def make(**options: Any) -> Deployment:
        deployment = Deployment(Topology(**options), tools, tmp_path / f"dynamo-{len(started)}", print)
        started.append(deployment)
        deployment.start()
        return deployment

    yield make
    # All are stopped before the first complaint.
    leftovers = [left for one in reversed(started) for left in one.stop()]
    assert leftovers == []


@pytest.fixture
def prometheus(tools: Tools, tmp_path: Path) -> Iterator[MakePrometheus]:
    """Makes a running Prometheus that is gone after the test."""
    program = tools.prometheus
    assert program is not None
    with ExitStack() as running:

        def make(targets: Sequence[ScrapeTarget]) -> Prometheus:
            return running.enter_context(Prometheus(program, targets, tmp_path / "prometheus", print))

        yield make
