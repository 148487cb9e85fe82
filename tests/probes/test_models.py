"""Without a configured model, the only one that the endpoint lists is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from probes.command import SegmentPaths, arguments, environment
from probes.models import NoModel, only_model
from probes.spec import EndpointSpec, ProbeSpec


class Server(HTTPServer):
    """Answers /v1/models with a body, and remembers who asked."""

    body = b""
    seen: list[tuple[str, str | None]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server(("127.0.0.1", 0), Handler)
    found.seen = []
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def url_of(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def listing(*names: str) -> bytes:
    return json.dumps({"data": [{"id": name} for name in names]}).encode()


def test_the_only_model_is_found(server: Server) -> None:
    server.body = listing("llama")
    assert only_model(url_of(server), {}) == "llama"
    assert server.seen == [("/v1/models", None)]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (listing(), r"lists 0 models \(none\)"),
        (listing("a", "b"), r"set deployment.endpoint.model: .* lists 2 models \(a, b\)"),
        (b"<html>", "no list of models"),
        (b"[]", "no list of models"),
    ],
)
def test_anything_else_is_said(server: Server, body: bytes, says: str) -> None:
    server.body = body
    with pytest.raises(NoModel, match=says):
        only_model(url_of(server), {})


def test_nobody_there_is_said() -> None:
    with pytest.raises(NoModel, match="does not answer"):
        only_model("http://127.0.0.1:1", {})


def test_the_program_is_started_with_the_model_and_the_key(server: Server, tmp_path: Path) -> None:
    server.body = listing("llama")
    endpoint = EndpointSpec(url=url_of(server), api_key_env="KEY")
    spec, paths = ProbeSpec(name="p"), SegmentPaths(tmp_path)
    words = arguments(spec, endpoint, paths, "/tok")
    aiperf = words.index("aiperf")
    words[aiperf - 1 : aiperf + 1] = ["-c", "import sys; print(sys.argv)"]
    env = environment(spec, endpoint, paths, {"KEY": "k3y"})
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    assert "'--model', 'llama'" in done.stdout
    assert server.seen == [("/v1/models", "Bearer k3y")]


def test_a_configured_model_is_not_asked_for() -> None:
    words = arguments(ProbeSpec(name="p"), EndpointSpec(url="http://a", model="m"), SegmentPaths(Path("/x")), "/tok")
    assert words[:4] == [sys.executable, "-m", "aiperf", "profile"]
    assert words[words.index("--model") + 1] == "m"
