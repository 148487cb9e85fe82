"""Leads a Service without a selector to this replica, by the Endpoints of its name."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from faults.base import FaultError
from faults.kube.api import Api, Json
from faults.kube.errors import ClusterError, Request

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Place:
    """A Service."""

    namespace: str
    service: str


class Endpoints:
    """The Endpoints of one Service. `address` is this pod's, `ports` are its ports by the Service's names."""

    def __init__(self, api: Api, place: Place, address: str, ports: Mapping[str, int], pod: str | None = None) -> None:
        self._api = api
        namespace = self._namespace = place.namespace
        self._service = place.service
        self._folder = f"/api/v1/namespaces/{namespace}/endpoints"
        target = {"targetRef": {"kind": "Pod", "namespace": namespace, "name": pod}} if pod else {}
        self._ours: list[Json] = [
            {
                "addresses": [{"ip": address, **target}],
                "ports": [{"name": name, "port": port, "protocol": "TCP"} for name, port in ports.items()],
            }
        ]
        self._trouble = ""

    async def keep(self) -> None:
        """See to it, for as long as this replica leads."""
        while True:
            try:
                await self._put(self._ours)
                self._trouble = ""
            except FaultError as error:
                if str(error) != self._trouble:
                    log.warning("the Service does not lead here yet: %s", error)
                self._trouble = str(error)
            await asyncio.sleep(LOOK_SECONDS)

    async def clear(self) -> None:
        """Lead nowhere: whoever asks now is refused at once, instead of waiting for a pod that is gone."""
        try:
            await self._put([])
        except FaultError as error:
            log.info("the Service still leads here: %s", error)

    async def _put(self, subsets: list[Json]) -> None:
        found = await self._read()
        if found is None:
            await self._ask("create", "POST", self._folder, self._object(subsets))
        elif _plain(found.get("subsets")) != _plain(subsets):
            wanted = copy.deepcopy(found) | {"subsets": subsets}
            await self._ask("update", "PUT", f"{self._folder}/{self._service}", wanted)
            log.info("Service %s leads %s", self._service, "to this replica" if subsets else "nowhere")

    async def _read(self) -> Json | None:
        try:
            return await self._ask("get", "GET", f"{self._folder}/{self._service}")
        except ClusterError as error:
            if error.gone:
                return None
            raise

    async def _ask(self, verb: str, method: str, path: str, body: Json | None = None) -> Json:
        return await self._api.ask(Request(verb, "endpoints", self._namespace, self._service), method, path, body=body)

    def _object(self, subsets: list[Json]) -> Json:
        labels = {"app.kubernetes.io/name": "aftershock"}
        metadata = {"name": self._service, "namespace": self._namespace, "labels": labels}
        return {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}


def _plain(subsets: Any) -> list[Any]:
    """What matters of them, whatever the server adds."""
    return [
        (sorted(a["ip"] for a in one.get("addresses") or ()), sorted((p["name"], p["port"]) for p in one["ports"]))
        for one in subsets or ()
    ]
