"""One connection to a port of a pod, by way of the API server, as `http.client` wants its socket.

The kubernetes client has one of its own; it drops what came in together with the end of the connection, waits
without bound, and tells a refusal only in the middle of a dump of headers.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import websocket

from faults.kube.api import Api
from faults.kube.channel import open_channel
from faults.kube.errors import Request

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_DATA, _ERROR = 0, 1
_BEGIN_BYTES = 2
"""Each channel begins with the number of the port."""


class Forward:
    """Everything on it has to be over within `seconds` of its making. Used by one thread."""

    def __init__(self, api: Api, namespace: str, pod: str, port: int, seconds: float) -> None:
        """Raises `ClusterError`. Whether anything listens on the port is found out when it is read from."""
        self._deadline = time.monotonic() + seconds
        request = Request("get", "pods/portforward", namespace, pod)
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
        self._socket = open_channel(api, request, path, [("ports", port)], seconds)
        self._begun: set[int] = set()
        self.refused = ""
        """What the pod's node says when it cannot reach the port."""

    def sendall(self, content: ReadableBuffer) -> None:
        """Raises `OSError`."""
        with _as_os_error():
            self._socket.settimeout(self._left())
            self._socket.send_binary(bytes((_DATA,)) + bytes(content))

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Its reading side."""
        return io.BufferedReader(_Incoming(self))

    def close(self) -> None:
        with contextlib.suppress(OSError, websocket.WebSocketException):
            self._socket.shutdown()  # type: ignore[no-untyped-call]  # theirs

    def receive(self) -> bytes:
        """The next bytes; empty at the end. Raises `OSError`, which `TimeoutError` is one of."""
        with _as_os_error():
            while True:
                self._socket.settimeout(self._left())
                code, frame = self._socket.recv_data()
                if code == websocket.ABNF.OPCODE_CLOSE or not frame:
                    return b""
                channel, content = frame[0], frame[1:]
                if channel not in self._begun:
                    self._begun.add(channel)
                    content = content[_BEGIN_BYTES:]
                if channel == _DATA and content:
                    return bytes(content)
                if channel == _ERROR and content:
                    self.refused += content.decode(errors="replace").strip()
                    return b""

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Incoming(io.RawIOBase):
    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._kept = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        content = self._kept or self._forward.receive()
        with memoryview(buffer).cast("B") as room:
            count = min(len(room), len(content))
            room[:count] = content[:count]
        self._kept = content[count:]
        return count


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    try:
        yield
    except websocket.WebSocketTimeoutException:
        raise TimeoutError from None
    except websocket.WebSocketException as error:
        raise ConnectionResetError(str(error)) from None
