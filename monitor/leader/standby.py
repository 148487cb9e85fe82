"""What a replica that stands by answers."""

from __future__ import annotations

import os
from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from monitor.api.protect import Protect
from monitor.config.settings import Settings
from monitor.export.metrics import Metrics

EVERY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def standby_app(settings: Settings, leader: Callable[[], str], trouble: Callable[[], str]) -> FastAPI:
    """Alive and ready while the Lease can be read; nothing of the API, which is the leader's.

    `leader` names who leads (empty: nobody), `trouble` is why the Lease cannot be read (empty: it can).
    """
    app = FastAPI(title="aftershock", openapi_url=None)
    # A push to a collector is the leader's: this page has only what a scrape must find.
    metrics = Metrics(deployment=settings.deployment.name, env={})
    metrics.set_leader(False)
    token_env = settings.api.token_env
    app.add_middleware(Protect, token=os.environ.get(token_env, "") if token_env else "", listen=settings.api.listen)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, str]:
        if reason := trouble():
            response.status_code = 503
            return {"status": "not ready", "reason": f"the lease: {reason}"}
        return {"status": "standby", "reason": _who(leader())}

    @app.get("/metrics")
    async def page(request: Request) -> Response:
        body, content_type = metrics.render(request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

    @app.api_route("/{_rest:path}", methods=EVERY_METHOD)
    async def elsewhere(_rest: str) -> JSONResponse:
        return JSONResponse({"detail": f"this replica stands by: {_who(leader())}"}, status_code=503)

    return app


def _who(name: str) -> str:
    return f"{name} leads; ask that one" if name else "nobody leads yet"
