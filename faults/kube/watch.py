"""A watch on the pods of a namespace, for the instants at which they go, and become ready.

What is true now is always asked for; the watch only says when it became so, on our own monotonic clock. It
begins with a list, and again with a list after every loss: a disconnect, a timeout, 410 (the history was
dropped). What went unseen between two lists gets the instant of the second one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from urllib3.exceptions import HTTPError

from faults.base import FaultError
from faults.kube.api import Api
from faults.kube.errors import ClusterError, Request, explained

log = logging.getLogger(__name__)

ROUND_SECONDS = 60
"""How long one watch request lasts; then it is asked for again, from where it ended."""
BACKOFF = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(slots=True)
class Seen:
    """Instants of one pod, CLOCK_MONOTONIC nanoseconds; None: not yet."""

    name: str
    first_ns: int
    terminating_ns: int | None = None
    ready_ns: int | None = None
    """Latest change to ready; None while it is not."""
    unready_ns: int | None = None
    gone_ns: int | None = None


class PodWatch:
    """Runs in a thread of its own from `start` to `stop`; the rest may be called from anywhere."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._seen: dict[str, Seen] = {}
        self._version = ""
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.trouble: str | None = "not started"
        """Why it sees nothing now; None while it does."""
        self.resyncs = 0
        """How often it began anew with a list."""

    def start(self) -> None:
        """Begin, once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"pod-watch-{self._namespace}", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End soon; does not wait for an answer that is outstanding."""
        self._stopping.set()

    def seen(self, uid: str) -> Seen | None:
        return self._seen.get(uid)

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                if not self._version:
                    self._list()
                self.trouble = None
                self._follow()
                failures = 0
            except FaultError as error:
                self._version = ""  # what was missed can only be told by a new list
                gone = isinstance(error, ClusterError) and error.status == 410
                if not gone:
                    self.trouble = str(error)
                    log.debug("watch on pods of %s: %s", self._namespace, error)
                    self._stopping.wait(BACKOFF[min(failures, len(BACKOFF) - 1)])
                    failures += 1

    def _list(self) -> None:
        request = Request("list", "pods", self._namespace)
        answer = self._api.open(request, "GET", self._path)
        try:
            found = json.loads(answer.data)
        except (HTTPError, OSError, ValueError) as error:
            raise ClusterError(f"{request}: the answer broke off ({error})") from None
        now = time.monotonic_ns()
        there = set()
        for raw in found.get("items") or ():
            there.add(raw["metadata"]["uid"])
            self._note(raw, now)
        for uid, one in list(self._seen.items()):
            if uid not in there and one.gone_ns is None:
                one.gone_ns = now
        self._version = found["metadata"]["resourceVersion"]
        self.resyncs += 1
        self._forget(now)

    def _follow(self) -> None:
        request = Request("watch", "pods", self._namespace)
        query: dict[str, str | int] = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": ROUND_SECONDS,
        }
        answer = self._api.open(request, "GET", self._path, query=query, read_seconds=ROUND_SECONDS + 5)
        try:
            for line in _lines(answer, request):
                if self._stopping.is_set():
                    return
                self._take(line, request)
        finally:
            with contextlib.suppress(HTTPError, OSError):
                answer.close()

    def _take(self, line: bytes, request: Request) -> None:
        try:
            event = json.loads(line)
            kind, raw = event["type"], event["object"]
        except (ValueError, KeyError, TypeError):
            raise ClusterError(f"{request}: an event that cannot be read") from None
        if kind == "ERROR":
            raise explained(request, int(raw.get("code") or 500), json.dumps(raw).encode(), {})
        self._version = raw["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return
        now = time.monotonic_ns()
        self._note(raw, now)
        if kind == "DELETED":
            self._seen[raw["metadata"]["uid"]].gone_ns = now

    def _note(self, raw: dict[str, Any], now: int) -> None:
        meta = raw["metadata"]
        one = self._seen.setdefault(meta["uid"], Seen(meta["name"], now))
        if meta.get("deletionTimestamp") and one.terminating_ns is None:
            one.terminating_ns = now
        conditions = (raw.get("status") or {}).get("conditions") or ()
        ready = any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
        if ready and one.ready_ns is None:
            one.ready_ns = now
        if not ready and one.ready_ns is not None:
            one.ready_ns, one.unready_ns = None, now

    def _forget(self, now: int, keep_seconds: float = 3600.0) -> None:
        """Weeks of pods are not kept."""
        for uid, one in list(self._seen.items()):
            if one.gone_ns is not None and now - one.gone_ns > keep_seconds * 1e9:
                del self._seen[uid]


def _lines(answer: Any, request: Request) -> Iterator[bytes]:
    """Lines as they come. Raises `ClusterError` when the connection breaks."""
    rest = b""
    try:
        while chunk := answer.read1():
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
    except (HTTPError, OSError, ValueError) as error:
        raise ClusterError(f"{request}: the connection broke off ({error})") from None
