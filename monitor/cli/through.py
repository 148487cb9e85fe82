"""The service's API inside a cluster: every request over a port-forward of its own."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
from typing import cast

import httpx

from faults.base import FaultError
from faults.kube.api import Api
from faults.kube.forward import Forward
from monitor.cli.client import Client
from monitor.cli.release import NoWay, Place, Release, api_for, find, given_kubeconfig, usual_namespace

_SECONDS = 15.0


def client_in_cluster(place: Place) -> Client:
    """A client of the release that was meant. Raises `NoWay` or `BadUsage`."""
    kubeconfig = given_kubeconfig()
    namespace = usual_namespace(place, kubeconfig)
    api = api_for(place, kubeconfig)

    async def look() -> tuple[Release, str | None]:
        release = await find(api, place, namespace)
        way = await release.way()
        return release, os.environ.get("AFTERSHOCK_TOKEN") or await release.token(way)

    release, token = asyncio.run(look())
    hint = f"`kubectl -n {namespace} get pods` shows whether it runs, `kubectl -n {namespace} logs` what it says"
    transport = Through(api, release)
    return Client(f"http://{release.service}.{namespace}", token, transport=transport, hint=hint)


class Through(httpx.BaseTransport):
    """Looks for the pod at every request: a restart, or another replica that leads, is found by itself."""

    def __init__(self, api: Api, release: Release) -> None:
        self._api = api
        self._release = release

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Raises `httpx.TransportError`."""
        seconds = request.extensions.get("timeout", {}).get("read") or _SECONDS
        try:
            way = asyncio.run(self._release.way())
            forward = Forward(self._api, self._release.namespace, way.pod, way.port, seconds)
        except (NoWay, FaultError) as error:
            raise httpx.ConnectError(str(error), request=request) from None
        try:
            return _exchange(forward, request)
        except TimeoutError:
            raise httpx.ReadTimeout(f"no answer within {seconds:g} s", request=request) from None
        except (OSError, http.client.HTTPException) as error:
            why = forward.refused or str(error) or type(error).__name__
            raise httpx.ReadError(f"pod {way.pod}: {why}", request=request) from None
        finally:
            forward.close()

    def close(self) -> None:
        self._api.close()


def _exchange(forward: Forward, request: httpx.Request) -> httpx.Response:
    like_a_socket = cast("socket.socket", forward)  # it has what is used of one
    connection = http.client.HTTPConnection(request.url.host)
    connection.sock = like_a_socket
    path = request.url.raw_path.decode("ascii")
    connection.putrequest(request.method, path, skip_host=True, skip_accept_encoding=True)
    for key, value in request.headers.raw:
        connection.putheader(key, value)
    connection.endheaders(request.read() or None)
    answer = http.client.HTTPResponse(like_a_socket, method=request.method)
    answer.begin()
    return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read(), request=request)
