"""Routes; the service behind them is `app.state.service`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Response
from fastapi import Request as HttpRequest
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from monitor.api.face import ServiceFace
from monitor.api.problems import BEGUN, INVALID, NOT_FOUND, REFUSED, STORE
from monitor.catalogue import describe
from monitor.live.briefs import brief
from monitor.model import Run, Verdict
from monitor.run.requests import DryRun, RecoverReport, Request

health = APIRouter(tags=["service"])
metrics = APIRouter(tags=["service"])
api = APIRouter()


def service_of(request: HttpRequest) -> ServiceFace:
    """The service behind the application."""
    service: ServiceFace = request.app.state.service
    return service


Service = Annotated[ServiceFace, Depends(service_of)]


class RunRequest(BaseModel):
    """A wish for a run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    fault: str = Field(description="Name of a catalogue entry.", examples=["none"])
    changes: dict[str, Any] = Field(default_factory=dict, description="Parameters of the fault to change for this run.")
    dry_run: bool = Field(default=False, description="Resolve and judge; touch nothing.")
    seed: int | None = Field(default=None, description="Seed of random choices.")
    requested_by: str = Field(default="api", max_length=60, pattern=r"^[\w:.@-]+$", description="Who asks.")


class StopRequest(BaseModel):
    """An emergency stop."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(default="stopped by hand", min_length=1, max_length=300)
    by: str = Field(default="api", max_length=60)


class ResumeRequest(BaseModel):
    """The release of an emergency stop."""

    model_config = ConfigDict(extra="forbid", strict=True)

    by: str = Field(default="api", max_length=60)


@health.get("/healthz")
async def healthz() -> dict[str, str]:
    """Alive."""
    return {"status": "alive"}


class Readiness(BaseModel):
    """Whether the service does its job."""

    status: Literal["ready", "not ready"]
    reason: str


@health.get("/readyz", responses={503: {"model": Readiness, "description": "Not ready, and why."}})
async def readyz(service: Service, response: Response) -> Readiness:
    """Ready: probes are sending and results can be stored. 503 with the reason if not."""
    ready, reason = service.ready
    response.status_code = 200 if ready else 503
    return Readiness(status="ready" if ready else "not ready", reason=reason)


@metrics.get("/metrics", response_class=PlainTextResponse)
async def metrics_page(request: HttpRequest, service: Service) -> Response:
    """Prometheus page; OpenMetrics, with exemplars, for who accepts it."""
    body, content_type = service.render_metrics(request.headers.get("accept", ""))
    return Response(body, media_type=content_type)


@api.get("/status", tags=["service"])
async def status(service: Service) -> dict[str, Any]:
    """The service at a glance."""
    return service.status()


@api.get("/faults", tags=["faults"])
async def faults(service: Service) -> dict[str, list[dict[str, Any]]]:
    """The catalogue."""
    settings = service.settings
    return {
        "faults": [
            describe(
                name, entry, has_target=settings.deployment.target is not None, allowed=settings.guard.allowed_kinds
            )
            for name, entry in service.entries.items()
        ]
    }


@api.get("/faults/kinds", tags=["faults"])
async def kinds(service: Service) -> dict[str, dict[str, Any]]:
    """JSON schema of every kind that the catalogue uses."""
    return {"kinds": {e.fault.kind: type(e.fault).model_json_schema() for e in service.entries.values()}}


@api.get("/runs", tags=["runs"], responses=INVALID | STORE)
async def runs(
    service: Service,
    *,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    fault: str | None = None,
    verdict: Verdict | None = None,
    since_ns: Annotated[int | None, Query(ge=0, le=2**62, description="Asked for at or after this instant.")] = None,
    in_brief: Annotated[
        bool, Query(alias="brief", description="A line of figures for each instead of all of it.")
    ] = False,
) -> dict[str, Any]:
    """Runs, newest first."""
    wanted = verdict.value if verdict else None
    found, total = await asyncio.to_thread(
        service.reader.runs, limit=limit, offset=offset, fault=fault or None, verdict=wanted, since_ns=since_ns
    )
    return {"runs": [brief(run) for run in found] if in_brief else found, "total": total}


@api.post(
    "/runs",
    tags=["runs"],
    status_code=202,
    response_model=None,
    responses=BEGUN | INVALID | NOT_FOUND | REFUSED | STORE,
)
async def start_run(service: Service, body: RunRequest, response: Response) -> Run | DryRun:
    """Begin a run (202), or say what it would do (200). 409 when the guard refuses."""
    request = Request(fault=body.fault, changes=body.changes, requested_by=body.requested_by, seed=body.seed)
    if body.dry_run:
        response.status_code = 200
        return await service.engine.dry_run(request)
    return await service.engine.submit(request)


@api.get("/runs/{run_id}", tags=["runs"], responses=INVALID | NOT_FOUND | STORE)
async def show_run(service: Service, run_id: str) -> Run:
    """One run, by id or by an unambiguous prefix."""
    return await find_run(service, run_id)


async def find_run(service: ServiceFace, run_id: str) -> Run:
    """The run, or a 404 with one line."""
    active = service.engine.active
    if active is not None and active.life is not None and active.run_id == run_id:
        return active.life.run
    try:
        run = await asyncio.to_thread(service.reader.run, run_id)
    except LookupError as error:
        raise HTTPException(404, str(error.args[0])) from None
    if run is None:
        raise HTTPException(404, f"no run is called {run_id!r}; `aftershock runs ls` lists them")
    return run


@api.post("/runs/{run_id}/recover", tags=["runs"], responses=INVALID | NOT_FOUND | STORE)
async def recover_run(service: Service, run_id: str) -> RecoverReport:
    """Put back what one run broke: abort it if it is alive, else revert its open receipt."""
    run = await find_run(service, run_id)
    return await service.engine.recover(run.id, "recovered by hand")


@api.post("/recover", tags=["runs"], responses=STORE)
async def recover_all(service: Service) -> RecoverReport:
    """Put back everything."""
    return await service.engine.recover(None, "recovered by hand")


@api.post("/stop", tags=["service"], responses=INVALID | STORE)
async def stop(service: Service, body: StopRequest) -> dict[str, Any]:
    """Emergency stop: revert all, refuse new runs until resume, also after a restart."""
    stopped, report = await service.engine.stop(body.reason, body.by)
    return {"stopped": stopped, "reverted": report.reverted, "failed": report.failed}


@api.post("/resume", tags=["service"], responses=INVALID | STORE)
async def resume(service: Service, body: ResumeRequest) -> dict[str, None]:
    """Release the emergency stop."""
    del body
    await service.engine.resume()
    return {"stopped": None}


@api.get("/schedules", tags=["schedules"])
async def schedules(service: Service) -> dict[str, Any]:
    """Schedules with their next firings."""
    return {"schedules": service.schedules()}


@api.get("/incidents", tags=["service"], responses=INVALID | STORE)
async def incidents(service: Service, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> dict[str, Any]:
    """Error windows with no run active, newest first."""
    return {"incidents": await asyncio.to_thread(service.reader.incidents, limit)}
