"""A replica's life: stand by, take over, lead, and end. It leads once at most: who has lost begins anew as a process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import uuid
from collections.abc import Coroutine
from typing import Any

from faults.kube.api import SERVICE_ACCOUNT, Api
from monitor.api.app import make_app
from monitor.config.settings import Settings
from monitor.config.targets import KubernetesTargetSpec
from monitor.http import Http
from monitor.leader.candidacy import Candidacy
from monitor.leader.election import RENEW
from monitor.leader.endpoints import Endpoints, Place
from monitor.leader.lead import Lead
from monitor.leader.lease import Lease
from monitor.leader.standby import standby_app
from monitor.service import Service
from monitor.store.errors import Fenced, StoreError
from monitor.store.store import Store
from monitor.wiring import store_url

log = logging.getLogger(__name__)

ABANDON_SECONDS = 5.0
"""For a leader that has lost: it touches nothing any more, this is only for its probes to end in order."""
CLEAR_SECONDS = 1.0
STORE_LEASES = 2
"""How many lease times a new leader tries to open the store before another replica has its turn."""


class Replica:
    """One of several. `stop_seconds` bounds how long it may take to put back what is broken and to flush."""

    def __init__(self, settings: Settings, http: Http, stop_seconds: float) -> None:
        self.settings = settings
        self.http = http
        self._stop_seconds = stop_seconds
        self._term = 0
        spec = settings.leader
        self.identity = f"{spec.identity or os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        self.namespace = spec.namespace or own_namespace()
        # Answers are waited for no longer than the next renewal is due.
        lease_api = make_api(settings, spec.lease_seconds * RENEW)
        lease = Lease(lease_api, self.namespace, spec.lease_name, self.identity, spec.lease_seconds)
        self.candidacy = Candidacy(lease, self.identity, spec.lease_seconds)

    async def live(self, told: asyncio.Task[str]) -> int:
        """Until `told` says why to end. The exit code: 0 on request, 1 when the lease or the HTTP server was lost.

        Raises StoreError, FaultError or OSError when it cannot lead though it could; the lease is given back.
        """
        standby = standby_app(self.settings, lambda: self.candidacy.holder, lambda: self.candidacy.trouble)
        http = self.http.start(standby)
        log.info("this replica stands by (%s)", self.identity)
        try:
            if not await _before(self.candidacy.win(), told, http):
                return 0 if told.done() else 1
            return await self._lead(told, http)
        finally:
            self.candidacy.close()
            await self.http.stop()

    async def _lead(self, told: asyncio.Task[str], http: asyncio.Task[None]) -> int:
        lost = asyncio.create_task(self.candidacy.keep())
        service: Service | None = None
        try:
            store = await self._open_store(lost)
            if store is not None:
                service = Service(self.settings, self._as_leader(store))
                if await _before(service.start(), lost):
                    return await self._serve(service, told, http, lost)
            return await self._lose(service, lost.result())
        except BaseException:
            self.candidacy.give_up("this replica ends")
            raise
        finally:
            # The renewal goes on until nothing acts any more; then another replica may begin at once.
            if not lost.done():
                lost.cancel()
                await asyncio.gather(lost, return_exceptions=True)
                await self.candidacy.release()

    async def _serve(
        self, service: Service, told: asyncio.Task[str], http: asyncio.Task[None], lost: asyncio.Task[str]
    ) -> int:
        self.http.app = make_app(service)
        endpoints = self._endpoints()
        leading = asyncio.create_task(endpoints.keep()) if endpoints is not None else None
        await asyncio.wait({told, http, lost}, return_when=asyncio.FIRST_COMPLETED)
        if leading is not None:
            leading.cancel()
            await asyncio.gather(leading, return_exceptions=True)
        if lost.done():
            return await self._lose(service, lost.result())
        reason = told.result() if told.done() else "the HTTP server ended"
        log.info("%s; reverting and flushing", reason)
        whole = await service.stopped(reason, self._stop_seconds)
        if endpoints is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(endpoints.clear(), CLEAR_SECONDS)
        return 0 if whole and told.done() else 1

    async def _lose(self, service: Service | None, reason: str) -> int:
        """Nothing of ours is put back: whoever leads now does that, and both at once would be one too many."""
        log.error(
            "this replica leads no more: %s; it stops at once and leaves what is broken to the new leader", reason
        )
        last = threading.Timer(2 * ABANDON_SECONDS, os._exit, (1,))
        last.daemon = True
        last.start()
        if service is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ABANDON_SECONDS):
                    await service.abandon()
        return 1

    # --- small parts ------------------------------------------------------------------------------

    async def _open_store(self, lost: asyncio.Task[str]) -> Store | None:
        """The store under a term of our own; None when the lease was lost meanwhile. Raises StoreError after a while."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STORE_LEASES * self.settings.leader.lease_seconds
        while not lost.done():
            try:
                return await asyncio.to_thread(self._opened)
            except StoreError as error:
                if loop.time() >= deadline:
                    raise
                # An earlier leader that stands still may hold it until the server loses patience with it.
                log.warning("the store is not ours yet: %s", error)
            await asyncio.wait({lost}, timeout=1.0)
        return None

    def _opened(self) -> Store:
        store = Store(store_url(self.settings))
        try:
            store.hold(shared=True)
            self._term = store.take_term(self.identity, self.candidacy.may_act)
        except BaseException:
            store.close()
            raise
        return store

    def _as_leader(self, store: Store) -> Lead:
        loop = asyncio.get_running_loop()

        def fenced(error: Fenced) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self.candidacy.lose, str(error))

        store.on_fenced = fenced
        return Lead(self.identity, self._term, store, self.candidacy.may_act)

    def _endpoints(self) -> Endpoints | None:
        spec, address = self.settings.leader, os.environ.get("POD_IP")
        if spec.service is None or not address:
            return None
        api = make_api(self.settings, spec.lease_seconds * RENEW, self.candidacy)
        ports = {"http": port_of(self.settings.api.listen)}
        traces = self.settings.traces
        for name, listen in (
            ("otlp-grpc", traces.grpc_listen if traces else None),
            ("otlp-http", traces.http_listen if traces else None),
        ):
            ports |= {name: port_of(listen)} if listen else {}
        place = Place(self.namespace, spec.service)
        return Endpoints(api, place, address, ports, os.environ.get("POD_NAME"))


async def _before(work: Coroutine[Any, Any, Any], *ends: asyncio.Task[Any]) -> bool:
    """Whether the work was done before any of the ends came; else it is cancelled. What it raises is raised."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        return task.done()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def make_api(settings: Settings, ask_seconds: float, gate: Candidacy | None = None) -> Api:
    """The way to the cluster that the target names, or that we are in."""
    target = settings.deployment.target
    spec = target if isinstance(target, KubernetesTargetSpec) else None
    return Api(
        kubeconfig=spec.kubeconfig if spec else None,
        context=spec.context if spec else None,
        ask_seconds=ask_seconds,
        may_write=gate.may_act if gate is not None else lambda: None,
    )


def own_namespace() -> str:
    """The pod's, or `default` outside of one."""
    file = SERVICE_ACCOUNT / "namespace"
    return file.read_text(encoding="utf-8").strip() if file.exists() else "default"


def port_of(listen: str) -> int:
    """Of host:port."""
    return int(listen.rpartition(":")[2])
