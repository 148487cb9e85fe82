"""The FastAPI application: OpenAPI at /docs, metrics at /metrics, everything else under /api/v1."""

from __future__ import annotations

import os
from importlib.metadata import version

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from monitor.api import live, page, reports, routes
from monitor.api.face import ServiceFace
from monitor.api.problems import FOREIGN, TOKEN
from monitor.api.protect import Protect
from monitor.catalogue import BadChange, UnknownFault
from monitor.live.hub import TooManyListenersError
from monitor.run.requests import RunRefused
from monitor.store.errors import StoreError


def make_app(service: ServiceFace) -> FastAPI:
    """The application of one service. The bearer token is read from the variable that `api.token_env` names."""
    app = FastAPI(
        title="aftershock",
        version=version("aftershock"),
        description="Continuous resilience monitor for LLM inference deployments.",
    )
    app.state.service = service
    token_env = service.settings.api.token_env
    token = os.environ.get(token_env, "") if token_env else ""
    app.add_middleware(Protect, token=token, listen=service.settings.api.listen)
    guarded = TOKEN if token else FOREIGN
    app.include_router(routes.health)
    app.include_router(routes.metrics, responses=guarded)
    app.include_router(routes.api, prefix="/api/v1", responses=guarded)
    app.include_router(reports.router, prefix="/api/v1", responses=guarded)
    app.include_router(live.router, prefix="/api/v1", responses=guarded)
    app.include_router(page.router)
    _handle_errors(app)
    return app


def _handle_errors(app: FastAPI) -> None:
    """Every error of the domain is one line of `detail`."""

    @app.exception_handler(RunRefused)
    async def refused(_: Request, error: RunRefused) -> JSONResponse:
        body = {
            "detail": str(error),
            "rule": error.refusal.rule,
            "passing": error.refusal.passing,
            "run_id": error.run.id if error.run else None,
            "holder": error.refusal.holder,
        }
        return JSONResponse(body, status_code=409)

    @app.exception_handler(UnknownFault)
    async def unknown(_: Request, error: UnknownFault) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=404)

    @app.exception_handler(BadChange)
    async def bad_change(_: Request, error: BadChange) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=422)

    @app.exception_handler(TooManyListenersError)
    async def many(_: Request, error: TooManyListenersError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=503, headers={"Retry-After": "10"})

    @app.exception_handler(StoreError)
    async def store(_: Request, error: StoreError) -> JSONResponse:
        return JSONResponse({"detail": f"the store refuses: {error}"}, status_code=503)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 400:  # FastAPI's word for a body that is not even text
            return JSONResponse({"detail": "body: is not JSON in UTF-8"}, status_code=422)
        if error.status_code == 405:  # Starlette names the methods of the first route of a path only
            return JSONResponse({"detail": error.detail}, status_code=405, headers={"Allow": _allowed(app, request)})
        return await http_exception_handler(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        lines = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
        return JSONResponse({"detail": "; ".join(lines)}, status_code=422)


def _allowed(app: FastAPI, request: Request) -> str:
    """The methods of every route of the path."""
    scopes = {method: {**request.scope, "method": method} for method in ("DELETE", "GET", "PATCH", "POST", "PUT")}
    return ", ".join(
        method for method, scope in scopes.items() if any(r.matches(scope)[0] is Match.FULL for r in app.router.routes)
    )
