"""The way to the API server: kubernetes' own configuration and TLS, plain JSON in and out.

The generated client's methods check every object against models of one Kubernetes version; what is read and
written here is a few fields that are the same in all of them. Every call blocks a thread, never the event
loop, is bounded in time, and its errors are explained.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError

from faults.base import FaultError
from faults.kube.errors import ClusterError, Request, explained, unanswered

if TYPE_CHECKING:
    # A second and 60 MB, for those who have a cluster: imported where it is used.
    from kubernetes import client

ASK_SECONDS = 5.0
PAUSES = (0.2, 0.5, 1.0)
LONGEST_PAUSE = 3.0
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MERGE = "application/merge-patch+json"
PATCH = "application/json-patch+json"

Json = dict[str, Any]
Body = Json | Sequence[Json] | None
"""A list is a JSON patch."""
Query = Mapping[str, str | int]


class NotSent(ClusterError):
    """A write that we may not make at this moment; nothing left this process."""


class Api:
    """One connection to a cluster. Opened when first used, so that a configuration can be read without a cluster."""

    def __init__(
        self,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        ask_seconds: float = ASK_SECONDS,
        may_write: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Without `kubeconfig`: KUBECONFIG, else the pod's own service account, else the user's default file.

        `may_write` is asked, in any thread, right before anything is changed; what it answers is why that must not be.
        """
        self._kubeconfig = kubeconfig
        self._context = context
        self._configuration: client.Configuration | None = None
        self._pool: urllib3.PoolManager | None = None
        self.ask_seconds = ask_seconds
        self._may_write = may_write

    def must_write(self, request: Request) -> None:
        """Raises `NotSent` when nothing may be changed now."""
        reason = self._may_write()
        if reason is not None:
            raise NotSent(f"{request}: not sent: {reason}")

    # --- for code on the event loop ---------------------------------------------------------------

    async def get(self, request: Request, path: str, query: Query | None = None) -> Json:
        """Read, and read again a few times when the trouble may pass. Raises `ClusterError`."""
        for pause in (*PAUSES, None):
            try:
                return await self.ask(request, "GET", path, query=query)
            except ClusterError as error:
                if pause is None or not error.passing:
                    raise
                await asyncio.sleep(min(error.retry_after or pause, LONGEST_PAUSE))
        raise AssertionError("unreachable")

    async def ask(
        self,
        request: Request,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Body = None,
        content: str = "application/json",
    ) -> Json:
        """Ask once: whether a write that got no answer was done is for the caller to find out. Raises `ClusterError`."""
        return await asyncio.to_thread(
            self.ask_blocking, request, method, path, query=query, body=body, content=content
        )

    # --- for code in threads ----------------------------------------------------------------------

    def ask_blocking(
        self,
        request: Request,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Body = None,
        content: str = "application/json",
    ) -> Json:
        """The same, and blocks."""
        answer = self.open(request, method, path, query=query, body=body, content=content)
        try:
            return cast("Json", json.loads(answer.data or b"{}"))
        except (HTTPError, OSError) as error:
            raise unanswered(error, request, self.ask_seconds) from None
        except ValueError:
            raise ClusterError(f"{request}: the answer is not JSON; is this an API server?", answer.status) from None

    def open(
        self,
        request: Request,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Body = None,
        content: str = "application/json",
        read_seconds: float | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Send and return the answer with its content unread; blocks. Raises `ClusterError` for anything but success."""
        configuration, pool = self.connection()
        url = f"{configuration.host.rstrip('/')}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = self.credentials() | {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content
        limit = urllib3.Timeout(connect=self.ask_seconds, read=read_seconds or self.ask_seconds)
        if method != "GET":
            self.must_write(request)
        try:
            answer = pool.request(
                method,
                url,
                body=json.dumps(body).encode() if body is not None else None,
                headers=headers,
                timeout=limit,
                retries=False,
                preload_content=False,
            )
            if 200 <= answer.status < 300:
                return answer
            raise explained(request, answer.status, answer.data, answer.headers)
        except (HTTPError, OSError) as error:
            raise unanswered(error, request, self.ask_seconds) from None

    def credentials(self) -> dict[str, str]:
        """The header that says who we are; a token that expires is renewed by the configuration."""
        configuration, _ = self.connection()
        bearer = configuration.auth_settings().get("BearerToken")
        value = bearer.get("value") if bearer else None
        return {"authorization": str(value)} if value else {}

    def connection(self) -> tuple[client.Configuration, urllib3.PoolManager]:
        """Raises `FaultError` when the configuration names no cluster that can be."""
        from kubernetes import client  # noqa: PLC0415 - see above
        from kubernetes.config.config_exception import ConfigException  # noqa: PLC0415

        if self._configuration is None or self._pool is None:
            configuration = client.Configuration()
            try:
                self._load(configuration)
            except ConfigException as error:
                where = f"deployment.target.kubeconfig ({self._kubeconfig})" if self._kubeconfig else "the kubeconfig"
                text = f"no way to the cluster: {str(error).strip().splitlines()[0]}; correct {where} or deployment.target.context"
                raise FaultError(text) from None
            self._pool = client.ApiClient(configuration).rest_client.pool_manager
            self._configuration = configuration
        return self._configuration, self._pool

    def _load(self, configuration: client.Configuration) -> None:
        from kubernetes import config  # noqa: PLC0415 - see above

        named = self._kubeconfig is not None or bool(os.environ.get("KUBECONFIG"))
        if not named and self._context is None and (SERVICE_ACCOUNT / "token").exists():
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # theirs
            return
        file = str(self._kubeconfig) if self._kubeconfig else None
        config.load_kube_config(file, context=self._context, client_configuration=configuration, persist_config=False)  # type: ignore[no-untyped-call]  # theirs

    def close(self) -> None:
        if self._pool is not None:
            self._pool.clear()
        self._pool = self._configuration = None
