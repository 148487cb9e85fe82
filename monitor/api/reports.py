"""Reports over HTTP: data as JSON, or a page that can be kept."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Response

from monitor.api.problems import INVALID, NOT_FOUND, STORE, Responses
from monitor.api.routes import Service, find_run
from monitor.report.making import of_period, of_run
from monitor.report.model import RunReport, SoakReport
from monitor.report.render import text

router = APIRouter(tags=["reports"])

Form = Literal["json", "html", "md"]
TYPES: dict[str, str] = {"json": "application/json", "html": "text/html", "md": "text/markdown"}
FORMS: Responses = {
    200: {
        "content": {TYPES[form]: {"schema": {"type": "string"}} for form in ("html", "md")},
        "description": "The report.",
    }
}
LATEST_NS = 2**62
Instant = Annotated[int | None, Query(ge=0, le=LATEST_NS, description="UTC nanoseconds.")]


@router.get("/runs/{run_id}/report", response_model=RunReport, responses=FORMS | INVALID | NOT_FOUND | STORE)
async def run_report(service: Service, run_id: str, form: Annotated[Form, Query(alias="format")] = "json") -> Response:
    """One run with the requests around it."""
    run = await find_run(service, run_id)
    report = await asyncio.to_thread(of_run, service.reader, run, service.settings, time.time_ns())
    return await _answer(report, form)


@router.get("/report", response_model=SoakReport, responses=FORMS | INVALID | NOT_FOUND | STORE)
async def period_report(
    service: Service,
    since_ns: Instant = None,
    until_ns: Instant = None,
    fault: str | None = None,
    form: Annotated[Form, Query(alias="format")] = "json",
) -> Response:
    """A period: without `since_ns` everything that the store has, without `until_ns` up to now."""
    work = partial(of_period, since_ns=since_ns, until_ns=until_ns, fault=fault or None)
    try:
        report = await asyncio.to_thread(work, service.reader, service.settings, time.time_ns())
    except ValueError as error:
        raise HTTPException(404, f"since_ns, until_ns: {error}") from None
    return await _answer(report, form)


async def _answer(report: RunReport | SoakReport, form: Form) -> Response:
    return Response(await asyncio.to_thread(text, report, form), media_type=TYPES[form])
