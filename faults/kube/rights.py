"""What we may do in the cluster, asked of the cluster itself before anything is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from faults.kube.api import Api, Json
from faults.kube.errors import ClusterError, Request

CLUSTER_WIDE = frozenset({"nodes"})
"""Resources that belong to no namespace: a Role cannot grant them."""
KEEP_SECONDS = 2.0
"""How long a yes is believed; a no is asked for anew every time."""
_PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True, slots=True)
class Right:
    """One permission of a fault, taken apart."""

    verb: str
    group: str
    resource: str
    sub: str

    @classmethod
    def parse(cls, permission: str) -> Right:
        """`verb resource.group/subresource`; group and subresource may be missing."""
        verb, _, whole = permission.partition(" ")
        name, _, sub = whole.partition("/")
        resource, _, group = name.partition(".")
        return cls(verb, group, resource, sub)

    @property
    def cluster_wide(self) -> bool:
        return self.resource in CLUSTER_WIDE


class Rights:
    """Answers for one namespace, and for what belongs to none."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._yes: dict[str, float] = {}

    async def missing(self, permissions: Sequence[str]) -> list[str]:
        """Those that we lack, each with where. Raises `ClusterError` when the cluster cannot be asked."""
        allowed = await asyncio.gather(*(self._allowed(one) for one in permissions))
        return [self._with_place(one) for one, yes in zip(permissions, allowed, strict=True) if not yes]

    def _with_place(self, permission: str) -> str:
        wide = Right.parse(permission).cluster_wide
        return f"{permission} in the whole cluster" if wide else f"{permission} in namespace {self._namespace}"

    async def _allowed(self, permission: str) -> bool:
        if time.monotonic() - self._yes.get(permission, float("-inf")) < KEEP_SECONDS:
            return True
        right = Right.parse(permission)
        attributes = {"verb": right.verb, "group": right.group, "resource": right.resource, "subresource": right.sub}
        if not right.cluster_wide:
            attributes["namespace"] = self._namespace
        body: Json = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        request = Request("create", "selfsubjectaccessreviews.authorization.k8s.io")
        try:
            answer = await self._api.ask(request, "POST", _PATH, body=body)
        except ClusterError as error:
            if error.status in {403, 404, 405}:
                return True  # nobody tells us; the fault's own requests will
            raise
        if not (answer.get("status") or {}).get("allowed"):
            return False
        self._yes[permission] = time.monotonic()
        return True
