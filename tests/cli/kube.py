"""A scripted API server with a release in it; its port-forward leads to a real port of this machine."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse

from tests.faults.kube_server import kubeconfig
from tests.support.serving import served

TOKEN = "of-the-secret"  # noqa: S105
PLACE = "/api/v1/namespaces/place"
Json = dict[str, Any]


@dataclass
class Kube:
    """Objects by path; what is not there is 404. `url` is where the pods' port 8600 leads."""

    config: Path
    url: str = ""
    objects: dict[str, Json | int] = field(default_factory=dict)
    """A number is the status of a refusal."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    forwards: list[str] = field(default_factory=list)
    """Pods that were forwarded to."""
    refusal: str = ""
    """What the node says of the port instead of forwarding."""
    cut_after: int | None = None
    """Bytes of the answer after which the connection breaks."""

    def release(self, name: str = "aftershock", *pods: str, service: str = "", **spec: Any) -> None:
        """Add a release: Service, Endpoints, pods and Secret."""
        service = service or name
        self.add_service(service, name, **spec)
        names = pods or (f"{name}-pod",)
        addresses = [{"ip": "10.0.0.9", "targetRef": {"kind": "Pod", "name": one}} for one in names]
        self.endpoints(service, *addresses)
        for one in names:
            self.objects[f"{PLACE}/pods/{one}"] = pod(one, f"{name}-token")
        self.objects[f"{PLACE}/secrets/{name}-token"] = {"data": {"token": base64.b64encode(TOKEN.encode()).decode()}}

    def add_service(self, service: str, release: str, **spec: Any) -> None:
        labels = {"app.kubernetes.io/name": "aftershock", "app.kubernetes.io/instance": release}
        body = {"metadata": {"name": service, "namespace": "place", "labels": labels}}
        body["spec"] = {"clusterIP": "10.1.1.1", "ports": [{"name": "http", "port": 80}]} | spec
        for path in (f"{PLACE}/services", "/api/v1/services"):
            held = self.objects.setdefault(path, {"items": []})
            assert isinstance(held, dict)
            held["items"].append(body)

    def endpoints(self, service: str, *addresses: Json) -> None:
        ports = [{"name": "otlp-grpc", "port": 4317}, {"name": "http", "port": 8600}]
        subsets = [{"addresses": list(addresses), "ports": ports}] if addresses else []
        self.objects[f"{PLACE}/endpoints/{service}"] = {"subsets": subsets}


def pod(name: str, secret: str = "", *, phase: str = "Running", waiting: str = "", leaving: bool = False) -> Json:
    """A pod of the chart."""
    reference = {"name": "AFTERSHOCK_TOKEN", "valueFrom": {"secretKeyRef": {"name": secret, "key": "token"}}}
    ours = {"name": "aftershock", "ports": [{"name": "http", "containerPort": 8600}], "env": [reference]}
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    meta = {"name": name} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if leaving else {})
    return {
        "metadata": meta,
        "spec": {"containers": [{"name": "mesh"}, ours if secret else ours | {"env": []}]},
        "status": {"phase": phase, "containerStatuses": [{"state": state}]},
    }


@contextmanager
def kube_server(folder: Path) -> Iterator[Kube]:
    """The server and its kubeconfig."""
    app, kube = FastAPI(), Kube(folder / "kubeconfig")

    @app.websocket(f"{PLACE}/pods/{{name}}/portforward")
    async def forward(socket: WebSocket, name: str) -> None:
        kube.forwards.append(name)
        assert socket.query_params["ports"] == "8600"
        await socket.accept(subprotocol="v4.channel.k8s.io")
        for channel in (0, 1):
            await socket.send_bytes(bytes((channel,)) + (8600).to_bytes(2, "little"))
        if kube.refusal:
            await socket.send_bytes(b"\x01" + kube.refusal.encode())
        else:
            await _pipe(kube, socket)

    @app.get("/{path:path}")
    async def objects(path: str, request: Request) -> JSONResponse:
        query = str(request.query_params.get("fieldSelector", ""))
        kube.asked.append((f"/{path}", query))
        found = kube.objects.get(f"/{path}{f'?{query}' if query else ''}", 404)
        if isinstance(found, int):
            return JSONResponse({"kind": "Status", "message": f"{path} is not for you"}, status_code=found)
        return JSONResponse(found)

    with served(app) as url:
        kubeconfig(folder, url)
        yield kube


async def _pipe(kube: Kube, socket: WebSocket) -> None:
    parts = urlsplit(kube.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)

    async def back() -> None:
        sent = 0
        while content := await reader.read(65_536):
            content = content[: None if kube.cut_after is None else kube.cut_after - sent]
            await socket.send_bytes(b"\x00" + content)
            sent += len(content)
            if sent == kube.cut_after:
                await socket.close()
                return

    task = asyncio.create_task(back())
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            content = await socket.receive_bytes()
            assert content[0] == 0
            writer.write(content[1:])
    task.cancel()
    writer.close()
