"""A way to the API server that can be closed for those who take it, and for nobody else."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import yaml


class Way:
    """Forwards connections. Closed, it refuses new ones and cuts those that there are."""

    def __init__(self, host: str, port: int) -> None:
        self._there = (host, port)
        self._open = True
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with self._lock:
            self._open = False
            pairs, self._pairs = self._pairs, set()
        for one in (one for pair in pairs for one in pair):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def reopen(self) -> None:
        self._open = True

    def end(self) -> None:
        self.close()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            try:
                there = socket.create_connection(self._there, timeout=5)
            except OSError:
                here.close()
                continue
            there.settimeout(None)
            with self._lock:
                if self._open:
                    self._pairs.add((here, there))
                    for pair in ((here, there), (there, here)):
                        threading.Thread(target=_pump, args=pair, daemon=True).start()
                    continue
            here.close()
            there.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def way_to(kubeconfig: Path, copy: Path) -> Iterator[Way]:
    """The way, and a kubeconfig that takes it written to `copy`."""
    content = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    cluster = content["clusters"][0]["cluster"]
    real = urlsplit(cluster["server"])
    assert real.hostname is not None
    way = Way(real.hostname, real.port or 443)
    cluster |= {"server": f"https://127.0.0.1:{way.port}", "tls-server-name": real.hostname}
    copy.write_text(yaml.safe_dump(content), encoding="utf-8")
    copy.chmod(0o600)
    try:
        yield way
    finally:
        way.end()
