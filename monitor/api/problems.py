"""Bodies of answers that are not what was asked for, as the OpenAPI document tells of them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from monitor.model import Run
from monitor.run.requests import DryRun


class Problem(BaseModel):
    """Every error is one line."""

    detail: str = Field(description="What is wrong, where, and what would be right.")


class Refused(Problem):
    """The guard said no."""

    rule: str = Field(description="Which rule refused.")
    passing: bool = Field(description="Whether it passes by itself, so that it is worth asking again.")
    run_id: str | None = Field(description="The skipped run that keeps the refusal.")
    holder: str | None = Field(description="The run that holds the deployment, where that is the reason.")


Responses = dict[int | str, dict[str, Any]]

BEGUN: Responses = {
    200: {"model": DryRun, "description": "What the run would do."},
    202: {"model": Run, "description": "The run has begun."},
}
BUSY: Responses = {503: {"model": Problem, "description": "Too many are listening already."}}
FOREIGN: Responses = {
    403: {
        "model": Problem,
        "description": "Asked by a page of somebody else, or by a name that is not this machine's.",
    },
    415: {"model": Problem, "description": "A body that is not application/json."},
}
INVALID: Responses = {422: {"model": Problem, "description": "The request is not as described here."}}
NOT_FOUND: Responses = {404: {"model": Problem, "description": "There is nothing of this name."}}
REFUSED: Responses = {409: {"model": Refused, "description": "The guard refuses the run."}}
STORE: Responses = {503: {"model": Problem, "description": "Results cannot be stored or read."}}
TOKEN: Responses = {401: {"model": Problem, "description": "The bearer token is missing or wrong."}}
