"""Live data for the status page, or for anybody's own."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from monitor.api.problems import BUSY, INVALID, STORE, Responses
from monitor.api.routes import Service
from monitor.live.series import LONGEST_SECONDS
from monitor.live.timeline import LONGEST_HOURS

router = APIRouter(tags=["live"])

EVENTS = """Server-sent events, each with JSON as its data: `status` (the body of /api/v1/status) when it changes, `run`
(a run in brief) when one changes its phase, `second` (requests of one probe by the second in which they began, told
three seconds later and again when more of them end), `lagged` before the end of a stream that is read too slowly."""
STREAM: Responses = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": EVENTS}}


@router.get("/live", response_class=StreamingResponse, responses=STREAM | BUSY)
async def live(service: Service) -> StreamingResponse:
    """What happens, as it happens."""
    hub = service.view.hub
    hub.admit()
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(hub.listen(), media_type="text/event-stream", headers=headers)


@router.get("/series", responses=INVALID | STORE)
async def series(
    service: Service,
    seconds: Annotated[int, Query(ge=10, le=LONGEST_SECONDS, description="How far back from now.")] = 600,
) -> dict[str, Any]:
    """Requests of each probe by when they began, in at most 1440 cells; latencies are null where nothing was answered."""
    return await service.view.series(seconds)


@router.get("/timeline", responses=INVALID | STORE)
async def timeline(
    service: Service,
    hours: Annotated[float, Query(gt=0, le=LONGEST_HOURS, description="How far back from now.")] = 24,
) -> dict[str, Any]:
    """Runs, incidents and probe gaps, and what is planned."""
    return await asyncio.to_thread(service.view.timeline, hours)
