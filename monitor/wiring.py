"""Makes parts from settings; used by the service and by the commands that work without one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from faults.base import Target
from faults.kube.api import Api
from faults.kube.graph import Component
from faults.targets.kubernetes import KubernetesTarget, Selection
from faults.targets.local import LocalTarget
from monitor.config.settings import Settings
from monitor.config.targets import KubernetesTargetSpec


class AlreadyRunningError(Exception):
    """Another service holds the data folder."""


def store_url(settings: Settings) -> str:
    """The store's SQLAlchemy URL; SQLite in data_dir unless configured."""
    if settings.store.url:
        return settings.store.url
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{(settings.data_dir / 'aftershock.db').absolute()}"


def make_target(settings: Settings, may_write: Callable[[], str | None] = lambda: None) -> Target | None:
    """The configured target, or None. Raises FaultError when its supervisor cannot be found.

    `may_write` says, right before anything in a cluster is changed, why that must not be.
    """
    spec = settings.deployment.target
    if spec is None:
        return None
    if isinstance(spec, KubernetesTargetSpec):
        return _kubernetes(settings.deployment.name, spec, may_write)
    attach = [(a.component, a.pattern) for a in spec.attach]
    return LocalTarget(settings.deployment.name, supervisor_dir=spec.supervisor_dir, attach=attach)


def _kubernetes(name: str, spec: KubernetesTargetSpec, may_write: Callable[[], str | None]) -> Target:
    key, _, value = (spec.opt_in or "").partition("=")
    selection = Selection(
        namespace=spec.namespace,
        graph_deployment=spec.graph_deployment,
        components=tuple(
            Component(one.component, one.component, (one.selector,), one.container) for one in spec.components
        ),
        opt_in=(key, value) if key else None,
    )
    api = Api(kubeconfig=spec.kubeconfig, context=spec.context, ask_seconds=spec.timeout_seconds, may_write=may_write)
    return KubernetesTarget(name, selection, api)


def lock_data_dir(data_dir: Path) -> TextIO:
    """Hold the data folder for this process; the kernel lets go when it ends. Raises AlreadyRunningError.

    Two services on one store could inject at once, and the second would revert the first one's fault as left behind.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    handle = (data_dir / "lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        holder = handle.read().strip() or "unknown"
        handle.close()
        text = f"{data_dir} is in use by another aftershock service (pid {holder}); stop it, or choose another data_dir"
        raise AlreadyRunningError(text) from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle
