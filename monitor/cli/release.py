"""A release of the chart in a cluster: its Service, the pod behind it, the token."""

from __future__ import annotations

import base64
import binascii
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.base import FaultError
from faults.kube.api import SERVICE_ACCOUNT, Api
from faults.kube.errors import ClusterError, Request
from monitor.cli.errors import UNREACHABLE, BadUsage, CliError

NAME = "app.kubernetes.io/name=aftershock"
INSTANCE = "app.kubernetes.io/instance"
TOKEN = "AFTERSHOCK_TOKEN"  # noqa: S105 - the variable's name
PORT = "http"


class NoWay(CliError):
    """The cluster, the release in it or a pod of it cannot be found or reached."""

    code = UNREACHABLE


@dataclass(frozen=True, slots=True)
class Place:
    """What the user said of where the release is; empty for what the kubeconfig says, or for the only one."""

    context: str = ""
    namespace: str = ""
    release: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """Where the API is just now."""

    pod: str
    port: int
    container: Mapping[str, Any]
    """The one that serves, as in the pod's spec."""


class Release:
    """One release. Every method raises `NoWay`."""

    def __init__(self, api: Api, namespace: str, name: str, service: str) -> None:
        self._api = api
        self.namespace = namespace
        self.name = name
        self.service = service

    async def way(self) -> Way:
        """The pod that the Service's Endpoints name; whichever replica leads may have written them."""
        where = f"release {self.name} in namespace {self.namespace}"
        found = await _get(self._api, Request("get", "endpoints", self.namespace, self.service), "endpoints")
        idle = f"no pod stands behind its Service {self.service}"
        for subset in found.get("subsets") or ():
            ports = [int(one["port"]) for one in subset.get("ports") or () if one.get("name") == PORT]
            addresses = [*(subset.get("addresses") or ()), *(subset.get("notReadyAddresses") or ())]
            for port, address in itertools.product(ports, addresses):
                pod = await self._pod(address)
                why = "is gone" if pod is None else _idle(pod)
                if pod is not None and not why:
                    return Way(pod["metadata"]["name"], port, _serving(pod))
                idle = f"pod {_target(address) or address['ip']} {why}"
        raise NoWay(f"{where} has no running pod: {idle}; `kubectl -n {self.namespace} get pods` shows them")

    async def token(self, way: Way) -> str | None:
        """The bearer token, out of where the pod has it from; None when it has none."""
        variables = [one for one in way.container.get("env") or () if one.get("name") == TOKEN]
        if not variables:
            return None
        wanted = (variables[0].get("valueFrom") or {}).get("secretKeyRef")
        if wanted is None:
            return str(variables[0].get("value") or "") or None
        request = Request("get", "secrets", self.namespace, wanted["name"])
        try:
            secret = await _get(self._api, request, "secrets")
            return base64.b64decode(secret["data"][wanted["key"]], validate=True).decode()
        except NoWay as error:
            raise NoWay(f"{error}; or give the token in {TOKEN}") from None
        except (KeyError, TypeError, binascii.Error, UnicodeDecodeError):
            text = f"Secret {wanted['name']} in namespace {self.namespace} has no token under {wanted['key']}"
            raise NoWay(f"{text}; give it in {TOKEN}") from None

    async def _pod(self, address: Mapping[str, Any]) -> dict[str, Any] | None:
        name, path = _target(address), f"/api/v1/namespaces/{self.namespace}/pods"
        try:
            if name:
                return await self._api.get(Request("get", "pods", self.namespace, name), f"{path}/{name}")
            query = {"fieldSelector": f"status.podIP={address['ip']}"}
            found = await self._api.get(Request("list", "pods", self.namespace), path, query)
        except ClusterError as error:
            if error.gone:
                return None
            raise NoWay(str(error)) from None
        except FaultError as error:
            raise NoWay(str(error)) from None
        return next(iter(found.get("items") or ()), None)


async def find(api: Api, place: Place, namespace: str) -> Release:
    """The release that was meant. Raises `NoWay`, or `BadUsage` when several could be."""
    found = await _services(api, namespace)
    names = ", ".join(found) or "none"
    if place.release:
        if place.release not in found:
            raise NoWay(f"no release {place.release} of aftershock in namespace {namespace}; there is {names}")
        return Release(api, namespace, place.release, found[place.release])
    if not found:
        raise NoWay(f"no release of aftershock in namespace {namespace}{await _elsewhere(api)}")
    if len(found) > 1:
        raise BadUsage(f"namespace {namespace} has several releases of aftershock ({names}); say which with --release")
    ((name, service),) = found.items()
    return Release(api, namespace, name, service)


def usual_namespace(place: Place, kubeconfig: str | None) -> str:
    """The namespace that was said, else the context's own, else the pod's. Raises `NoWay` for a context that is not there."""
    inside = SERVICE_ACCOUNT / "namespace"
    if not kubeconfig and not place.context and inside.exists():
        return place.namespace or inside.read_text(encoding="utf-8").strip()
    from kubernetes import config  # noqa: PLC0415 - see faults.kube.api
    from kubernetes.config.config_exception import ConfigException  # noqa: PLC0415

    try:
        known, current = config.list_kube_config_contexts(kubeconfig)  # type: ignore[no-untyped-call]  # theirs
    except (ConfigException, OSError) as error:
        said = (str(error).strip().splitlines() or ["it cannot be read"])[0]
        raise NoWay(f"no way to a cluster: {kubeconfig or 'the kubeconfig'}: {said}") from None
    by_name = {one["name"]: one.get("context") or {} for one in known}
    if place.context and place.context not in by_name:
        raise NoWay(f"no context {place.context} in the kubeconfig; there is {', '.join(by_name) or 'none'}")
    chosen = by_name[place.context] if place.context else (current or {}).get("context") or {}
    return place.namespace or chosen.get("namespace") or "default"


def given_kubeconfig() -> str | None:
    """What KUBECONFIG says now; the kubernetes client looks only once, when it is loaded."""
    return os.environ.get("KUBECONFIG") or None


def api_for(place: Place, kubeconfig: str | None) -> Api:
    """A connection, made when first used."""
    return Api(kubeconfig=Path(kubeconfig) if kubeconfig else None, context=place.context or None)


async def _services(api: Api, namespace: str) -> dict[str, str]:
    """Service by release, without those that only list every replica."""
    path = f"/api/v1/namespaces/{namespace}/services"
    items = (await _asked(api, Request("list", "services", namespace), path, {"labelSelector": NAME})).get("items")
    found: dict[str, str] = {}
    for one in items or ():
        name, spec = one["metadata"]["name"], one.get("spec") or {}
        has_port = any(port.get("name") == PORT for port in spec.get("ports") or ())
        if has_port and spec.get("clusterIP") != "None":
            found[(one["metadata"].get("labels") or {}).get(INSTANCE) or name] = name
    return dict(sorted(found.items()))


async def _elsewhere(api: Api) -> str:
    """Where there is one; a help, for those who may look everywhere."""
    query = {"labelSelector": NAME}
    try:
        found = await api.ask(Request("list", "services"), "GET", "/api/v1/services", query=query)
    except FaultError:
        return "; say where with --namespace"
    names = sorted({one["metadata"]["namespace"] for one in found.get("items") or ()})
    return f"; there is one in namespace {', '.join(names)}" if names else "; nor in any other namespace"


async def _get(api: Api, request: Request, plural: str) -> dict[str, Any]:
    return await _asked(api, request, f"/api/v1/namespaces/{request.namespace}/{plural}/{request.name}")


async def _asked(api: Api, request: Request, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
    try:
        return await api.get(request, path, query)
    except FaultError as error:
        raise NoWay(str(error)) from None


def _target(address: Mapping[str, Any]) -> str:
    return str((address.get("targetRef") or {}).get("name") or "")


def _serving(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    containers: list[dict[str, Any]] = pod["spec"]["containers"]
    named = [one for one in containers if any(port.get("name") == PORT for port in one.get("ports") or ())]
    return (named or containers)[0]


def _idle(pod: Mapping[str, Any]) -> str:
    """Why nothing can be listening in it; empty when something can."""
    if pod["metadata"].get("deletionTimestamp"):
        return "is on its way out"
    status = pod.get("status") or {}
    if status.get("phase") == "Running":
        return ""
    states = [one.get("state") or {} for one in status.get("containerStatuses") or ()]
    reasons = [one["waiting"]["reason"] for one in states if (one.get("waiting") or {}).get("reason")]
    return f"is {status.get('phase') or 'Unknown'}{f' ({reasons[0]})' if reasons else ''}"
