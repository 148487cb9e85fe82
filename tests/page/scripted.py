"""A monitor that says what it is told to: for states that a real one cannot be brought to at will (API down, slow, hostile)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from monitor.api import __file__ as api_file
from tests.page.world import World

STATIC = Path(api_file).with_name("static")
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".html": "text/html",
    ".txt": "text/plain",
}


class ScriptedMonitor:
    """The contract's routes over a `World`; serves on a thread of its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.url = ""
        """Its address, once it is served."""
        self.token = ""
        self.answers: dict[str, tuple[int, str]] = {}
        """Path to a status and a detail that it answers with from now on."""
        self.slow_seconds = 0.0
        self.muted = False
        """The live stream stays open and says nothing."""
        self.lag_once = False
        self.live_opened = 0
        self.asked: list[tuple[str, str, Any]] = []
        """Method, path and body of every request under /api."""
        config = uvicorn.Config(self._app(), lifespan="off", log_level="error", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)

    def _app(self) -> FastAPI:
        app = FastAPI()
        app.middleware("http")(self._judge)
        add = app.add_api_route
        world = self.world
        for path in ("/", "/runs", "/runs/{one}", "/faults", "/faults/{one}", "/schedule"):
            add(path, lambda: FileResponse(STATIC / "index.html", headers={"Content-Security-Policy": CSP}))
        add("/static/{file}", static)
        add("/api/v1/status", world.status)
        add("/api/v1/live", self._live)
        add("/api/v1/series", world.series)
        add("/api/v1/timeline", world.timeline)
        add("/api/v1/runs", world.list_runs)
        add("/api/v1/runs/{run_id}", self._run)
        add("/api/v1/faults", lambda: {"faults": world.faults})
        add("/api/v1/faults/kinds", lambda: {"kinds": world.kinds})
        add("/api/v1/schedules", lambda: {"schedules": world.schedules})
        add("/api/v1/runs", self._submit, methods=["POST"])
        add("/api/v1/stop", self._stop, methods=["POST"])
        add("/api/v1/resume", self._resume, methods=["POST"])
        return app

    async def _judge(self, request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        path = request.url.path
        if not path.startswith("/api/"):
            return await proceed(request)
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return JSONResponse({"detail": "a bearer token is required"}, status_code=401)
        body = await request.body()
        self.asked.append((request.method, path, json.loads(body) if body else None))
        await asyncio.sleep(self.slow_seconds)
        if path in self.answers:
            status, detail = self.answers[path]
            return JSONResponse({"detail": detail}, status_code=status)
        return await proceed(request)

    def _live(self) -> StreamingResponse:
        self.live_opened += 1
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        seen = len(self.world.briefs)
        while not self.server.should_exit:
            if self.lag_once:
                self.lag_once = False
                yield "event: lagged\ndata: {}\n\n"
                while not self.server.should_exit:  # leaving is the page's part
                    await asyncio.sleep(0.1)
            if not self.muted:
                yield event("status", self.world.status())
                for second in self.world.seconds():
                    yield event("second", second)
                for brief in self.world.briefs[seen:]:
                    yield event("run", brief)
                seen = len(self.world.briefs)
            await asyncio.sleep(0.25)

    def _run(self, run_id: str) -> dict[str, Any]:
        if run_id not in self.world.runs:
            raise HTTPException(404, f"no run is called {run_id!r}")
        return self.world.runs[run_id]

    async def _submit(self, request: Request) -> JSONResponse:
        wish = await request.json()
        if wish.get("dry_run", False):
            return JSONResponse(self.world.dry_run(wish))
        return JSONResponse(self.world.begin(wish), status_code=202)

    async def _stop(self, request: Request) -> dict[str, Any]:
        given = await request.json()
        self.world.stopped = {"since_ns": time.time_ns(), **given}
        return {"stopped": self.world.stopped, "reverted": [], "failed": []}

    async def _resume(self, request: Request) -> dict[str, None]:
        self.world.stopped = None
        return {"stopped": None}


def static(file: str) -> FileResponse:
    """A file of the page."""
    return FileResponse(STATIC / file, media_type=TYPES[Path(file).suffix], headers={"Cache-Control": "no-cache"})


def event(kind: str, data: Any) -> str:
    """One server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"
