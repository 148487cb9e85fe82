"""Mistakes in where the service listens, and in where it sends what it receives."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from monitor.config.problem import Finding, path_text, shown
from monitor.config.settings import Settings
from monitor.config.yamlfile import Location


def listen_findings(settings: Settings) -> Iterator[Finding]:
    """Addresses that are none, taken twice, or open to others without a token."""
    yield from _api(settings)
    yield from _traces(settings)


def _api(settings: Settings) -> Iterator[Finding]:
    api = settings.api
    yield from _listening(api.listen, ("api", "listen"), api.token_env, "127.0.0.1:8600")


def _traces(settings: Settings) -> Iterator[Finding]:
    traces = settings.traces
    if traces is None:
        return
    ways = {
        "grpc_listen": (traces.grpc_listen, "127.0.0.1:4317"),
        "http_listen": (traces.http_listen, "127.0.0.1:4318"),
    }
    taken = {_port(settings.api.listen): ("api", "listen")}
    for name, (address, example) in ways.items():
        if address is None:
            continue
        at = ("traces", name)
        yield from _listening(address, at, traces.token_env, example)
        port = _port(address)
        if port in taken and port:
            other = taken[port]
            yield Finding(at, f"port {port} is that of {path_text(other)} already", "ports must differ", (other,))
        taken.setdefault(port, at)
    if traces.grpc_listen is None and traces.http_listen is None:
        yield Finding(("traces",), "listens nowhere", "set http_listen or grpc_listen, or take the section out")
    if traces.forward_to is not None:
        yield from _forwarding(traces.forward_to, traces.http_listen)


def _forwarding(url: str, http_listen: str | None) -> Iterator[Finding]:
    at = ("traces", "forward_to")
    parts = urlsplit(url)
    if parts.path.rstrip("/").endswith(("/v1/traces", "/v1/logs")):
        yield Finding(at, f"{shown(url)} names one signal", "the address without /v1/traces, such as http://tempo:4318")
    elif _port(parts.netloc) is None and ":" in parts.netloc.rpartition("]")[2]:
        yield Finding(at, f"{shown(url)} is not an address", "such as http://tempo:4318")
    elif http_listen is not None and _port(http_listen) == _port(parts.netloc) and is_loopback(parts.hostname or ""):
        uses = (("traces", "http_listen"),)
        yield Finding(at, f"{shown(url)} is this receiver itself", "the address of another collector", uses)


def _listening(address: str, at: Location, token_env: str | None, example: str) -> Iterator[Finding]:
    host = address.rpartition(":")[0]
    token_at = (*at[:-1], "token_env")
    if _port(address) is None:
        yield Finding(at, f"{shown(address)} is not an address", f"host:port, such as {example}")
    elif not is_loopback(host) and token_env is None:
        what = f"{host} is reachable from other machines and no token is configured"
        yield Finding(at, what, f"set {path_text(token_at)}, or listen on 127.0.0.1", (token_at,))


def _port(address: str) -> int | None:
    """The port of host:port; None for what is no address."""
    host, colon, port = address.rpartition(":")
    right = colon and host and port.isascii() and port.isdigit() and int(port) <= 65535
    return int(port) if right else None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address to listen on."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
