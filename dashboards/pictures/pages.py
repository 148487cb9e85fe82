"""All dashboards as pictures, of one aftershock in one Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dashboards.build import dashboards
from dashboards.pictures.filling import GRAFANA_SCRAPE_SECONDS, Variables
from dashboards.pictures.picture import draw
from dashboards.pictures.window import QueryFailedError, Window

SCRAPES_IN_A_RATE = 4
ALL = ".*"


class NoInstanceError(QueryFailedError):
    """Which aftershock is meant cannot be told."""


def instance_in(window: Window) -> str:
    """The only aftershock that this Prometheus scrapes. Raises `NoInstanceError`, `QueryFailedError`."""
    found = window.ask(f"last_over_time(aftershock_build_info[{max(window.until - window.since, 300)}s])")
    names = sorted({str(one["metric"].get("instance", "")) for one in found})
    if not names:
        raise NoInstanceError(f"{window.url} has scraped no aftershock (aftershock_build_info) in this time")
    if len(names) > 1:
        raise NoInstanceError(f"{window.url} scrapes several aftershocks, say which one: {', '.join(names)}")
    return names[0]


def draw_all(
    folder: Path,
    window: Window,
    *,
    instance: str | None = None,
    fault: str = ALL,
    scrape_seconds: float = GRAFANA_SCRAPE_SECONDS,
) -> Iterator[Path]:
    """Write overview.png, run.png and so on; yields each when it is there. `fault` is what the run dashboard shows.

    Raises `QueryFailedError`, OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = Variables(
        instance=instance or instance_in(window),
        range_seconds=window.until - window.since,
        rate_seconds=max(1, round(SCRAPES_IN_A_RATE * scrape_seconds)),
    )
    for name, dashboard in dashboards().items():
        path = folder / f"{name}.png"
        draw(dashboard, window, replace(chosen, fault=fault if name == "run" else ALL), path)
        yield path
