"""A channel is read by one thread while others write and cut: over TLS, as to a real API server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
import websocket
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from faults.kube.channel import Channel
from tests.support.monitor import wait_for
from tests.support.serving import running


@dataclass
class Peer:
    """What the server has got, and whether it talks all the time."""

    url: str = ""
    talks: bool = False
    got: list[int] = field(default_factory=list)

    async def serve(self, socket: WebSocket) -> None:
        await socket.accept()
        talking = asyncio.create_task(self._talk(socket)) if self.talks else None
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                self.got.append(int(await socket.receive_bytes()))
        if talking is not None:
            talking.cancel()

    async def _talk(self, socket: WebSocket) -> None:
        number = 0
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await socket.send_bytes(b"%d" % number)
                number += 1
                await asyncio.sleep(0)


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    made, app = Peer(), FastAPI()
    app.websocket("/")(made.serve)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(["openssl", *words, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tls = {"ssl_keyfile": str(key), "ssl_certfile": str(certificate)}
    with running(uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", **tls))) as url:  # type: ignore[arg-type]
        made.url = url.replace("http", "wss", 1)
        yield made


def connected(peer: Peer) -> tuple[Channel, int]:
    """A channel, and its descriptor."""
    connection = websocket.WebSocket(sslopt={"cert_reqs": ssl.CERT_NONE}, enable_multithread=True)
    connection.connect(peer.url, timeout=5)  # type: ignore[no-untyped-call]
    return Channel(connection, 5.0), connection.sock.fileno()


class Reader(threading.Thread):
    """Takes frames until the end."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(daemon=True)
        self.channel = channel
        self.got: list[int] = []
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError, websocket.WebSocketException):
            while True:
                code, content = self.channel.receive()
                if code == websocket.ABNF.OPCODE_CLOSE:
                    break
                self.got.append(int(content))


def test_both_directions_at_once_lose_and_mix_nothing(peer: Peer) -> None:
    peer.talks = True
    channel, _ = connected(peer)
    reader = Reader(channel)
    for number in range(2000):
        channel.send(b"%d" % number)
    wait_for("all to have come", lambda: len(peer.got) == 2000, 20)
    wait_for("answers", lambda: len(reader.got) >= 2000, 20)
    channel.cut()
    reader.join(5)
    assert not reader.is_alive()
    channel.close()
    assert peer.got == list(range(2000))
    assert reader.got == list(range(len(reader.got)))


def test_a_reader_that_waits_keeps_no_writer_out(peer: Peer) -> None:
    channel, _ = connected(peer)
    reader = Reader(channel)
    channel.send(b"1")
    wait_for("it to come", lambda: peer.got == [1], 5)
    channel.cut()
    reader.join(5)
    assert not reader.is_alive()
    channel.close()


def test_a_cut_leaves_the_descriptor_to_the_reader(peer: Peer) -> None:
    """Closed by the cut, it would be the next connection's, of which the reader then took the bytes."""
    channel, descriptor = connected(peer)
    before = os.fstat(descriptor).st_ino
    channel.cut()
    assert os.fstat(descriptor).st_ino == before
    with pytest.raises((OSError, websocket.WebSocketException)):
        channel.receive()
    channel.close()
    channel.cut()
    with pytest.raises((OSError, websocket.WebSocketException)):
        channel.receive()
