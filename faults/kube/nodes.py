"""Nodes: cordoned with a mark that says by which run, so that only our own cordon is ever lifted."""

from __future__ import annotations

from dataclasses import dataclass

from faults.base import ClusterNode
from faults.kube.api import MERGE, Api, Json
from faults.kube.errors import ClusterError, Request

MARK = "aftershock/cordoned-by"
PERMISSIONS = ("get nodes", "patch nodes")
TRIES = 5
"""The kubelet writes to its node too; a change that met another one is made anew."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """One look at a node."""

    node: ClusterNode
    version: str
    mark: str | None
    """The run that cordoned it, if one did."""


async def look(api: Api, name: str) -> NodeView | None:
    """None when there is no such node. Raises `ClusterError`."""
    try:
        raw = await api.get(Request("get", "nodes", "", name), f"/api/v1/nodes/{name}")
    except ClusterError as error:
        if error.gone:
            return None
        raise
    meta, spec = raw["metadata"], raw.get("spec") or {}
    return NodeView(
        node=ClusterNode(name=name, uid=meta["uid"], unschedulable=bool(spec.get("unschedulable"))),
        version=meta["resourceVersion"],
        mark=(meta.get("annotations") or {}).get(MARK),
    )


async def cordon(api: Api, node: ClusterNode, run_id: str) -> str | None:
    """Cordon it unless somebody has by now; None when it is done, else why not. Raises `ClusterError`."""
    for tries_left in reversed(range(TRIES)):
        found = await look(api, node.name)
        if found is None or found.node.uid != node.uid:
            return f"node {node.name} is gone or was made anew"
        if found.node.unschedulable:
            return f"node {node.name} was cordoned by somebody else meanwhile"
        try:
            await _patch(api, found, run_id, unschedulable=True)
        except ClusterError as error:
            if error.status != 409 or not tries_left:
                raise
        else:
            return None
    raise AssertionError("unreachable")


async def uncordon(api: Api, found: NodeView) -> bool:
    """Lift the cordon and the mark; False when the node was changed meanwhile. Raises `ClusterError`."""
    try:
        await _patch(api, found, None, unschedulable=None)
    except ClusterError as error:
        if error.status == 409:
            return False
        raise
    return True


async def _patch(api: Api, found: NodeView, mark: str | None, *, unschedulable: bool | None) -> None:
    """Only onto the very version that was looked at."""
    name = found.node.name
    body: Json = {
        "metadata": {"uid": found.node.uid, "resourceVersion": found.version, "annotations": {MARK: mark}},
        "spec": {"unschedulable": unschedulable},
    }
    await api.ask(Request("patch", "nodes", "", name), "PATCH", f"/api/v1/nodes/{name}", body=body, content=MERGE)
