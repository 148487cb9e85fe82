"""A websocket to the API server, of which commands and port-forwards are made."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import websocket

from faults.kube.api import Api
from faults.kube.errors import ClusterError, Request, explained

_PROTOCOL = "v4.channel.k8s.io"
HALF_SECONDS = 0.5
"""Longest that a reader keeps writers out for the rest of a frame of which only a part has come."""


class Channel:
    """A connection that one thread reads while others write to it and cut it.

    OpenSSL allows one thread at a time on a connection, so nobody waits for data inside of it. And only the reader
    closes it: its descriptor would else be another connection's by the time the reader looks at it again.
    """

    def __init__(self, connection: websocket.WebSocket, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._alone = threading.Lock()

    def send(self, content: bytes) -> None:
        """Raises OSError or WebSocketException."""
        with self._alone:
            self._connection.settimeout(self._seconds)
            self._connection.send_binary(content)

    def receive(self) -> tuple[int, bytes]:
        """Opcode and content of the next frame; blocks until one comes. Raises OSError or WebSocketException."""
        while True:
            self._wait()
            with self._alone, contextlib.suppress(websocket.WebSocketTimeoutException):
                self._connection.settimeout(HALF_SECONDS)
                return self._connection.recv_data()

    def cut(self) -> None:
        """End it from any thread; the reader sees its end at once."""
        with self._alone, contextlib.suppress(OSError):
            if self._connection.sock is not None:
                self._connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """For the reader, when it is done. Without a farewell, for which everybody else would have to wait."""
        with self._alone:
            self._connection.shutdown()  # type: ignore[no-untyped-call]  # theirs

    def _wait(self) -> None:
        with self._alone:
            sock = self._connection.sock
            if sock is None or (isinstance(sock, ssl.SSLSocket) and sock.pending()):
                return
        ready = select.poll()
        ready.register(sock, select.POLLIN)
        ready.poll()


def open_channel(
    api: Api, request: Request, path: str, query: Sequence[tuple[str, str | int]], seconds: float | None = None
) -> websocket.WebSocket:
    """Connect within `seconds` (by default the API's own); blocks. Raises `ClusterError`."""
    configuration, _ = api.connection()
    base = configuration.host.rstrip("/").replace("http", "ws", 1)
    socket = websocket.WebSocket(sslopt=_tls(configuration), enable_multithread=True)
    socket.settimeout(seconds or api.ask_seconds)
    headers = [f"{key}: {value}" for key, value in api.credentials().items()]
    try:
        socket.connect(f"{base}{path}?{urlencode(query)}", header=headers, subprotocols=[_PROTOCOL])  # type: ignore[no-untyped-call]  # theirs
    except websocket.WebSocketBadStatusException as error:
        raise explained(request, error.status_code, error.resp_body or b"", error.resp_headers or {}) from None
    except (OSError, websocket.WebSocketException) as error:
        raise ClusterError(f"{request}: the API server cannot be reached ({error})") from None
    socket.settimeout(None)
    return socket


def _tls(configuration: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"cert_reqs": ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE}
    if configuration.verify_ssl and configuration.ssl_ca_cert:
        options["ca_certs"] = configuration.ssl_ca_cert
    if configuration.cert_file:
        options |= {"certfile": configuration.cert_file, "keyfile": configuration.key_file}
    if configuration.tls_server_name:
        options["server_hostname"] = configuration.tls_server_name
    return options
