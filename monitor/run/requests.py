"""What is asked of the engine, and what it answers."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from faults.base import Instance
from monitor.model import Model, Run
from monitor.run.guard import Refusal


class RunRefused(Exception):
    """The guard refused. `run` is the skipped run, None when it could not be stored."""

    def __init__(self, refused: Refusal, run: Run | None) -> None:
        super().__init__(refused.reason)
        self.refusal = refused
        self.run = run


class Request(Model):
    """A wish for a run."""

    fault: str
    changes: dict[str, Any] = Field(default_factory=dict)
    requested_by: str = "api"
    seed: int | None = None


class DryRun(Model):
    """What a run would do."""

    fault: str
    spec: dict[str, Any]
    instances: tuple[Instance, ...]
    would_be_refused: str | None
    passing: bool = False
    """Whether that passes by itself, so that it is worth asking again."""


class Stopped(Model):
    """The emergency stop's state, kept in the store."""

    since_ns: int
    reason: str
    by: str


class RecoverReport(Model):
    """What a recover or stop put back."""

    reverted: tuple[dict[str, str], ...] = ()
    failed: tuple[dict[str, str], ...] = ()
