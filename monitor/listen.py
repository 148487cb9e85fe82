"""A listening socket of an address that a person wrote."""

from __future__ import annotations

import socket


class CannotListenError(OSError):
    """One line, with the setting that names the address."""


def listening(address: str, setting: str) -> socket.socket:
    """Of host:port, IPv6 in brackets. Raises `CannotListenError`."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host.strip("[]"), int(port)))
    except OSError as error:
        made.close()
        raise CannotListenError(f"{setting}: cannot listen on {address}: {error.strerror}") from None
    return made
