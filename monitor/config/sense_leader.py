"""Mistakes in the settings of replicas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitor.config.problem import Finding
from monitor.config.settings import Settings
from monitor.config.targets import LocalTargetSpec
from monitor.config.yamlfile import Location

ENABLED: Location = ("leader", "enabled")


def leader_findings(settings: Settings, env: Mapping[str, str]) -> Iterator[Finding]:
    """Replicas must share their store, and reach what another has broken."""
    spec = settings.leader
    if not spec.enabled:
        return
    if not (settings.store.url or "").startswith("postgres"):
        right = "set store.url to a PostgreSQL (AFTERSHOCK_STORE__URL), or run one replica without leader"
        yield Finding(
            ENABLED, "replicas must share their store, and SQLite is a file of one", right, (("store", "url"),)
        )
    if isinstance(settings.deployment.target, LocalTargetSpec):
        right = "configure a target of kind kubernetes, or run one replica without leader"
        what = "the target is of kind local, and what one machine broke no other can put back"
        yield Finding(ENABLED, what, right, (("deployment", "target"),))
    if spec.service is not None and not env.get("POD_IP"):
        right = "set it to this replica's own address (in a pod: fieldRef status.podIP)"
        yield Finding(("leader", "service"), "the environment variable POD_IP is not set", right)
