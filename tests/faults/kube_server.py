"""A scripted API server on loopback: what it answers is put in beforehand, what it was asked is kept."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Answer:
    """One answer. `status` 0: the connection is closed without one."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    lines: tuple[Any, ...] | None = None
    """For a watch: events, one a line; the connection ends after the last."""

    @classmethod
    def error(cls, status: int, message: str, **headers: str) -> Answer:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return cls(status, {"kind": "Status", "code": status, "message": message}, named)


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    body: Any


class Script:
    """Answers by `METHOD path`: a list is used up one by one, its last stays.

    ` watch` behind it is for a watch, ` all` for the list without a selector that a watch begins with.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[Asked] = []
        self._lock = threading.Lock()
        self.closing = threading.Event()

    def put(self, route: str, *answers: Answer) -> None:
        with self._lock:
            self.answers[route] = list(answers)

    def take(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            route = f"{asked.method} {asked.path}"
            if asked.query.get("watch") == "true":
                route += " watch"
            elif asked.path.endswith("/pods") and "labelSelector" not in asked.query:
                # The watch's own list, which must not use up what is meant for another question.
                route = f"{route} all" if f"{route} all" in self.answers else route
                if not route.endswith(" all") and route in self.answers:
                    return self.answers[route][0]
            known = self.answers.get(route)
            if not known:
                return Answer.error(404, f"{asked.path} not found")
            return known.pop(0) if len(known) > 1 else known[0]

    def count(self, method: str) -> int:
        with self._lock:
            return sum(one.method == method for one in self.asked)


class _Handler(BaseHTTPRequestHandler):
    script: Script
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        parts = urlsplit(self.path)
        asked = Asked(self.command, parts.path, dict(parse_qsl(parts.query)), json.loads(raw) if raw else None)
        answer = self.script.take(asked)
        if answer.delay:
            self.script.closing.wait(answer.delay)
        if answer.status == 0:
            self.close_connection = True
            return
        if answer.lines is not None:
            content = b"".join(json.dumps(line).encode() + b"\n" for line in answer.lines)
        else:
            content = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for key, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **answer.headers,
        }.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    def __getattr__(self, name: str) -> Any:
        """Every method is served alike: the base class looks for `do_GET` and its like."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        return


@contextmanager
def api_server(folder: Path) -> Iterator[tuple[Script, Path]]:
    """The script and a kubeconfig for it."""
    script = Script()
    handler = type("Handler", (_Handler,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield script, kubeconfig(folder, f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        script.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def kubeconfig(folder: Path, address: str) -> Path:
    """A kubeconfig file for an address."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "scripted", "cluster": {"server": address}}],
        "users": [{"name": "nobody", "user": {"token": "secret-token"}}],
        "contexts": [{"name": "scripted", "context": {"cluster": "scripted", "user": "nobody"}}],
        "current-context": "scripted",
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def pod(name: str, uid: str = "", *, owner: str = "ReplicaSet/set", **more: Any) -> dict[str, Any]:
    """A running, ready pod of component worker."""
    kind, _, owner_name = owner.partition("/")
    meta: dict[str, Any] = {
        "name": name,
        "namespace": "place",
        "uid": uid or f"uid-{name}",
        "resourceVersion": "7",
        "creationTimestamp": more.pop("created", "2026-01-01T00:00:00Z"),
        "labels": more.pop("labels", {"app": "worker"}),
        "annotations": more.pop("annotations", {}),
    }
    if owner:
        meta["ownerReferences"] = [{"kind": kind, "name": owner_name, "controller": True}]
    if more.pop("terminating", False):
        meta["deletionTimestamp"] = "2026-01-01T00:00:01Z"
    state = {"name": "main", "containerID": f"containerd://{name}", "restartCount": 0, "state": {"running": {}}}
    return {
        "metadata": meta,
        "spec": {"containers": [{"name": "main"}], "nodeName": "node1"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:02Z"}],
            "containerStatuses": [state],
        },
    }


def pods(*items: dict[str, Any]) -> Answer:
    """A list of pods."""
    return Answer(body={"kind": "PodList", "metadata": {"resourceVersion": "10"}, "items": list(items)})


def wait_until(reached: Any, seconds: float = 10.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)
