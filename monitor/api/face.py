"""What the HTTP layer needs of the service; keeps the two from importing each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from faults.entry import FaultEntry
from monitor.config.settings import Settings
from monitor.model import Incident, Run
from monitor.run.engine import Engine


class RunReader(Protocol):
    """The part of the store that pages read."""

    def run(self, run_id_or_prefix: str) -> Run | None: ...

    def runs(
        self,
        *,
        limit: int = 50,
        offset: int = 0,
        fault: str | None = None,
        verdict: str | None = None,
        since_ns: int | None = None,
    ) -> tuple[list[Run], int]: ...

    def incidents(self, limit: int = 50) -> list[Incident]: ...


class ServiceFace(Protocol):
    """A running service."""

    settings: Settings
    engine: Engine

    @property
    def entries(self) -> Mapping[str, FaultEntry]:
        """The catalogue by name."""
        ...

    @property
    def reader(self) -> RunReader: ...

    @property
    def ready(self) -> tuple[bool, str]:
        """Whether it does its job, and why not."""
        ...

    def status(self) -> dict[str, Any]:
        """The body of /api/v1/status."""
        ...

    def schedules(self) -> list[dict[str, Any]]:
        """The body of /api/v1/schedules."""
        ...

    def render_metrics(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics page and its content type."""
        ...
