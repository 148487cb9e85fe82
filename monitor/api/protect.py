"""Who may ask: the token, and without one only what this machine's own programs and pages send.

A page of somebody else, open in the browser of a person who can reach the service, can send it requests too. With a
token they are harmless, for the browser never adds that by itself. Without one they are told by their headers: a
browser says where a request that changes something comes from, and a name that was made to point here ("DNS
rebinding") is not an address.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Answered to everybody, so that a kubelet can ask."""
PAGE_PATHS = ("/static/", "/runs/", "/faults/")
PAGES = frozenset({"/", "/runs", "/faults", "/schedule"})
"""The page itself holds no data: it asks for the token."""
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_JSON = "application/json"


class Protect:
    """ASGI middleware; a stream passes through it unbuffered."""

    def __init__(self, app: ASGIApp, *, token: str, listen: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode() if token else None
        self._own_names = {"localhost", _hostname(listen)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is None:
            await self._app(scope, receive, send)
            return
        status, detail = refused
        body = json.dumps({"detail": detail}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        path = str(scope["path"])
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if path in OPEN_PATHS:
            return None
        if self._wanted is not None:
            given = headers.get("authorization", "").encode("latin-1")
            if path in PAGES or path.startswith(PAGE_PATHS) or hmac.compare_digest(given, self._wanted):
                return None
            return (
                401,
                "a bearer token is required: Authorization: Bearer ... (the CLI takes it from AFTERSHOCK_TOKEN)",
            )
        return self._foreign(scope["method"], headers)

    def _foreign(self, method: str, headers: Mapping[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._own(_hostname(host)):
            return 403, f"Host {host} is not this machine; set api.token_env to be reached by other names"
        if method in _READING:
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if (origin is not None and origin.partition("://")[2] != host) or site not in {"same-origin", "none"}:
            return 403, f"a page of {origin or 'another site'} may not change anything here"
        if _has_body(headers) and headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
            return 415, f"Content-Type must be {_JSON}"
        return None

    def _own(self, name: str) -> bool:
        return name in self._own_names or name.endswith(".localhost") or _is_address(name)


def _has_body(headers: Mapping[str, str]) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _hostname(netloc: str) -> str:
    """Without the port, and an IPv6 address without its brackets."""
    name = netloc[: netloc.index("]") + 1] if netloc.startswith("[") and "]" in netloc else netloc.partition(":")[0]
    return name.strip("[]").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
