"""Free ports."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest

from monitor.demo import ports
from monitor.demo.errors import DemoError
from monitor.demo.ports import free_ports


def test_ports_differ_and_can_be_bound() -> None:
    found = free_ports(20)
    assert len(set(found)) == 20
    for port in found:
        with socket.socket() as one:
            one.bind(("127.0.0.1", port))


def test_a_client_is_never_given_one_of_them_as_its_own_port() -> None:
    first_source_port = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if first_source_port < 12_000:
        pytest.skip(
            "needs ports below those that clients are given, and net.ipv4.ip_local_port_range begins below 12000 here"
        )
    assert max(free_ports(50)) < first_source_port


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_not_given(address: str) -> None:
    seed = 7
    (port,) = free_ports(1, random.Random(seed))  # noqa: S311 - the same draw twice is the point
    with socket.socket() as taken:
        taken.bind((address, port))
        taken.listen()
        assert free_ports(1, random.Random(seed)) != [port]  # noqa: S311 - the same draw twice is the point


def test_too_few_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_below_source_ports", lambda: (21_000, 21_001))
    with pytest.raises(DemoError, match=r"of 5 free ports on 127\.0\.0\.1 between 21000 and 21001"):
        free_ports(5)
