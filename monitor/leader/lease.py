"""The Lease (coordination.k8s.io) as plain JSON; every method blocks."""

from __future__ import annotations

import copy
import math
from datetime import UTC, datetime
from typing import Any, cast

from faults.kube.api import Api, Json
from faults.kube.errors import ClusterError, Request
from monitor.leader.election import Record

RESOURCE = "leases.coordination.k8s.io"


class Outrun(Exception):
    """The Lease is not what it was: somebody else wrote, or it was deleted."""


class Lease:
    """One Lease. What the API server refuses is a `ClusterError`."""

    def __init__(self, api: Api, namespace: str, name: str, identity: str, seconds: float) -> None:
        self._api = api
        self.namespace, self.name = namespace, name
        self._identity, self._seconds = identity, seconds
        self._folder = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._path = f"{self._folder}/{name}"

    def read(self) -> Record | None:
        """As it is; None when there is none."""
        try:
            return _record(self._ask("get", "GET", self._path))
        except ClusterError as error:
            if error.gone:
                return None
            raise

    def write(self, over: Record | None) -> Record:
        """Our name in it, in place of what was read. Raises `Outrun`."""
        now = _now()
        raw = _object(self.namespace, self.name) if over is None else copy.deepcopy(over.raw)
        ours = over is not None and over.holder == self._identity
        spec = cast("dict[str, Any]", raw.setdefault("spec", {}))
        spec |= {"holderIdentity": self._identity, "leaseDurationSeconds": math.ceil(self._seconds), "renewTime": now}
        if not ours:
            spec |= {"acquireTime": now, "leaseTransitions": (over.transitions if over else 0) + 1}
        return self._put(raw, fresh=over is None)

    def release(self) -> None:
        """Give it back if it is ours, so that another may lead at once. Raises `Outrun`."""
        held = self.read()
        if held is None or held.holder != self._identity:
            return
        raw = copy.deepcopy(held.raw)
        raw["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        self._put(raw, fresh=False)

    def _put(self, raw: Json, *, fresh: bool) -> Record:
        verb, method, path = ("create", "POST", self._folder) if fresh else ("update", "PUT", self._path)
        try:
            return _record(self._ask(verb, method, path, raw))
        except ClusterError as error:
            if error.status in {404, 409, 410}:
                raise Outrun(str(error)) from None
            raise

    def _ask(self, verb: str, method: str, path: str, body: Json | None = None) -> Json:
        request = Request(verb, RESOURCE, self.namespace, self.name)
        return self._api.ask_blocking(request, method, path, body=body)


def _record(raw: Json) -> Record:
    spec = raw.get("spec") or {}
    never = not spec.get("renewTime")
    return Record(
        holder=None if never else str(spec.get("holderIdentity") or ""),
        seconds=float(spec.get("leaseDurationSeconds") or 0),
        version=str(raw["metadata"]["resourceVersion"]),
        transitions=int(spec.get("leaseTransitions") or 0),
        raw=raw,
    )


def _object(namespace: str, name: str) -> Json:
    metadata = {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": "aftershock"}}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}


def _now() -> str:
    """Only for people: nobody compares clocks of two machines."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
