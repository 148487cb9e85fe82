"""A real monitor with the routes that it does not have yet, made of those that it has.

Only until the service itself serves the page: `the_page_of` takes the service where it does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from tests.page.scripted import CSP, STATIC, event, static

KEPT_HEADERS = ("authorization", "content-type")


class Bridge:
    """Passes on what the service answers; live data are its status, polled."""

    def __init__(self, service: str) -> None:
        self.http = httpx.AsyncClient(base_url=service, timeout=60)
        self.app = FastAPI()
        for path in ("/", "/runs", "/runs/{one}", "/faults", "/faults/{one}", "/schedule"):
            self.app.add_api_route(
                path, lambda: FileResponse(STATIC / "index.html", headers={"Content-Security-Policy": CSP})
            )
        self.app.add_api_route("/static/{file}", static)
        self.app.add_api_route("/api/v1/live", self._live)
        self.app.add_api_route("/api/v1/series", self._series)
        self.app.add_api_route("/api/v1/timeline", self._timeline)
        self.app.add_api_route("/api/v1/runs", self._runs)
        self.app.add_api_route("/{path:path}", self._pass_on, methods=["GET", "POST"])

    async def _pass_on(self, request: Request) -> Response:
        headers = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
        path = f"{request.url.path}?{request.url.query}"
        given = await self.http.request(request.method, path, content=await request.body(), headers=headers)
        return Response(given.content, given.status_code, media_type=given.headers.get("content-type"))

    async def _runs(self, request: Request) -> Any:
        wanted = {k: v for k, v in request.query_params.items() if k not in {"brief", "since_ns"}}
        found = (await self.http.get("/api/v1/runs", params=wanted)).json()
        return {"runs": [brief(run) for run in found["runs"]], "total": found["total"]}

    async def _timeline(self, hours: int = 24) -> dict[str, Any]:
        now = time.time_ns()
        runs = (await self.http.get("/api/v1/runs")).json()["runs"]
        incidents = (await self.http.get("/api/v1/incidents")).json()["incidents"]
        return {"from_ns": now - hours * 3600 * 10**9, "to_ns": now, "runs": [brief(r) for r in runs], "incidents": incidents, "gaps": [], "next": []}  # fmt: skip

    async def _series(self) -> dict[str, Any]:
        return {"step_seconds": 1, "probes": {}}

    async def _live(self) -> StreamingResponse:
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        told: dict[str, Any] = {}
        while True:
            status = (await self.http.get("/api/v1/status")).json()
            bad = sum(p["recent"]["bad"] for p in status["probes"])
            whole = {"state": "hurt" if bad else "whole", "since_ns": None, "reason": f"{bad} bad requests in 10 s"}
            yield event(
                "status", status | {"now_ns": time.time_ns(), "whole": whole, "active": active(status["active_run"])}
            )
            for probe in status["probes"]:
                recent = probe["recent"]
                second = {
                    "at_ns": (time.time_ns() // 10**9 - 3) * 10**9,
                    "probe": probe["name"],
                    "good": recent["requests"] - recent["bad"],
                }
                yield event(
                    "second",
                    second | {"bad": recent["bad"], "gap": False, "latency_p50_ms": None, "latency_p95_ms": None},
                )
            for run in (await self.http.get("/api/v1/runs", params={"limit": 5})).json()["runs"]:
                made = brief(run)
                if told.get(run["id"]) != made:
                    told[run["id"]] = made
                    yield event("run", made)
            await asyncio.sleep(0.25)


def brief(run: dict[str, Any]) -> dict[str, Any]:
    """What lists show of a run."""
    client: dict[str, Any] = next((w for w in run["witnesses"] if w["witness"] == "client" and not w["probe"]), {})
    same = ("id", "fault_name", "verdict", "phase", "reason", "requested_by", "t_requested", "t_inject", "t_effect", "t_reverted", "t_finished", "receipt_open")  # fmt: skip
    judged = [r["met"] for r in run["objective_results"] if r["met"] is not None]
    return {name: run[name] for name in same} | {
        "kind": run["fault"]["kind"],
        "instances": [i["name"] for i in run["instances"]],
        "t_impact": client.get("t_impact"),
        "t_recovered": client.get("t_recovered"),
        "failed_requests": client.get("failed_requests"),
        "error_window_seconds": client.get("error_window_seconds"),
        "recovery_seconds": client.get("recovery_from_effect_seconds"),
        "met": all(judged) if judged else None,
        "evidence": run["evidence"]["summary"] if run["evidence"] else None,
    }


def active(run: dict[str, Any] | None) -> dict[str, Any] | None:
    """The active run as the live status tells it."""
    if run is None:
        return None
    phases = [{"phase": t["phase"], "at_ns": t["at_ns"]} for t in run["transitions"]]
    return {"id": run["id"], "fault_name": run["fault_name"], "phase": run["phase"], "doing": run["phase"], "phase_since_ns": phases[-1]["at_ns"],
            "instances": [i["name"] for i in run["instances"]], "requested_by": run["requested_by"], "phases": phases,
            "ends_by_ns": time.time_ns() + 20 * 10**9, "ends_because": "the horizon"}  # fmt: skip
