"""A websocket to the API server, of which commands and port-forwards are made."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import websocket

from faults.kube.api import Api
from faults.kube.errors import ClusterError, Request, explained

_PROTOCOL = "v4.channel.k8s.io"


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
