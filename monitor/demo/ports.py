"""Free TCP ports for programs that will be restarted."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from monitor.demo.errors import DemoError

_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 2_000


def free_ports(count: int, rng: random.Random | None = None) -> list[int]:
    """`count` different ports on 127.0.0.1 that nothing is bound to at this moment.

    Ports below the range from which the kernel takes source ports: a program that is killed and
    restarted must find its port again, and a client that keeps connecting to it meanwhile must not
    be given that very port as its own. Raises `DemoError` when there are not enough.
    """
    rng = rng or random.Random()  # noqa: S311 - spreads ports, protects nothing
    low, high = _below_source_ports()
    held: list[socket.socket] = []
    try:
        for _ in range(_TRIES):
            if len(held) == count:
                break
            bound = _bind(rng.randint(low, high))
            if bound is not None:
                held.append(bound)
        if len(held) < count:
            raise DemoError(f"found only {len(held)} of {count} free ports on 127.0.0.1 between {low} and {high}")
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def _below_source_ports() -> tuple[int, int]:
    try:
        first_source_port = int(_RANGE_FILE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        first_source_port = 32_768
    if first_source_port < 12_000:  # a machine with an unusually wide range: nothing is left below it
        return 20_000, 60_000
    return max(10_000, first_source_port - 12_000), first_source_port - 1


def _bind(port: int) -> socket.socket | None:
    """A socket that holds `port` on every address, so that a program that listens on 0.0.0.0 counts too."""
    probe = socket.socket()
    try:
        probe.bind(("0.0.0.0", port))  # noqa: S104 - bound for an instant, never listens
    except OSError:
        probe.close()
        return None
    return probe
