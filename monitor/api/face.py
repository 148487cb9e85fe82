"""What the HTTP layer needs of the service; keeps the two from importing each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from faults.entry import FaultEntry
from monitor.config.settings import Settings
from monitor.live.hub import Hub
from monitor.report.source import Source
from monitor.run.engine import Engine


class RunReader(Source, Protocol):
    """The part of the store that pages and reports read."""


class LiveView(Protocol):
    """What the status page sees."""

    hub: Hub

    async def series(self, seconds: int) -> dict[str, Any]: ...

    def timeline(self, hours: float) -> dict[str, Any]: ...


class ServiceFace(Protocol):
    """A running service."""

    settings: Settings
    engine: Engine

    @property
    def entries(self) -> Mapping[str, FaultEntry]:
        """The catalogue by name."""
        ...

    @property
    def view(self) -> LiveView: ...

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
