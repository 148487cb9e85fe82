"""What the demo shows: a live line while it waits, and the table at its end."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from monitor.model import Phase, Run, WitnessReport

PLAIN_EVERY_SECONDS = 5.0
TABLE_WIDTH = 130
FILE_WIDTH = 190
"""Width of the table where the output is no terminal."""


def make_console() -> Console:
    """A console as wide as the terminal; wide enough for the table in a file or a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=FILE_WIDTH)


class Screen:
    """Progress for a person: one live line on a terminal, a line every few seconds elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live = Live("", console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._told = 0.0
        self._title = ""

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, line: str) -> None:
        """One line that stays."""
        self.console.print(Text(f"{datetime.datetime.now().astimezone():%H:%M:%S} {line}"), soft_wrap=True)

    def title(self, text: str) -> None:
        """What is going on; stays, and heads the live line."""
        self._title = text
        self._told = time.monotonic()
        self.say(text)

    def look(self, status: Mapping[str, Any]) -> None:
        """The live line."""
        line = live_line(status)
        if self._live is not None:
            self._live.update(Text(f"         {line}"))
        elif time.monotonic() - self._told >= PLAIN_EVERY_SECONDS:
            self._told = time.monotonic()
            self.say(f"  {line}")


def live_line(status: Mapping[str, Any]) -> str:
    """Requests per second, errors and the fault that is on, in one line."""
    if not status:
        return "the monitor does not answer yet"
    parts = []
    for probe in status["probes"]:
        recent = probe["recent"]
        state = "" if probe["up"] else " NOT SENDING"
        parts.append(
            f"{probe['name']}{state}: {recent['rate']:.1f} requests/s, {recent['bad']} bad in {recent['window_seconds']:.0f} s, "
            f"{probe['in_flight']} in flight"
        )
    run = status["active_run"]
    if run is not None:
        seconds = (time.time_ns() - (run["t_inject"] or run["t_requested"])) / 1e9
        parts.append(f"{run['fault_name']}: {Phase(run['phase']).doing}, {max(seconds, 0):.0f} s")
    return " | ".join(parts)


def show_results(console: Console, runs: Sequence[Run]) -> None:
    """The table where there is room for it, else one block a run."""
    if console.width >= TABLE_WIDTH:
        console.print(result_table(runs))
        return
    console.print(Text("What users felt", style="bold"))
    for run in runs:
        console.print()
        for name, cell in zip(HEAD, row(run), strict=True):
            console.print(Text(f"  {name:<21}{cell}"), soft_wrap=True)


def result_table(runs: Sequence[Run]) -> Table:
    """One row a run, as the client witness felt it."""
    table = Table(title="What users felt", title_justify="left", title_style="bold")
    for name in HEAD:
        right = name in {
            "failed requests",
            "error window",
            "recovery from effect",
            "recovery from revert",
            "resolution",
        }
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for cells in map(row, runs):
        table.add_row(*(Text(c) for c in cells))
    return table


HEAD = (
    "fault",
    "instance",
    "verdict",
    "evidence",
    "failed requests",
    "died in (traces)",
    "error window",
    "recovery from effect",
    "recovery from revert",
    "resolution",
    "objectives",
)


def row(run: Run) -> list[str]:
    """The cells of one run, in the order of HEAD."""
    client = run.witness("client")
    evidence = run.evidence.summary if run.evidence else run.reason
    slow = f" (+{client.slow_requests} slow)" if client and client.slow_requests else ""
    failed = (
        "-"
        if client is None or client.failed_requests is None
        else f"{client.failed_requests} of {client.requests}{slow}"
    )
    return [
        run.fault_name,
        ", ".join(i.name for i in run.instances) or "-",
        str(run.verdict or run.phase),
        evidence,
        failed,
        died(run.witness("trace")),
        seconds(client, client.error_window_seconds if client else None),
        seconds(client, client.recovery_from_effect_seconds if client else None),
        seconds(client, client.recovery_from_revert_seconds if client else None),
        resolution(client),
        objectives(run),
    ]


def died(trace: WitnessReport | None) -> str:
    """Where the failed requests ended, by their traces."""
    if trace is None or not trace.died_in:
        return "-"
    return ", ".join(f"{place} {count}" for place, count in trace.died_in.items())


def seconds(client: WitnessReport | None, value: float | None) -> str:
    """A duration; a censored one is a lower bound."""
    if client is None or value is None:
        return "-"
    return f"{'> ' if client.censored else ''}{value:.2f} s"


def resolution(client: WitnessReport | None) -> str:
    """How sharp the figures are."""
    if client is None:
        return "-"
    sharp = [s for s in (client.resolution.at_impact_seconds, client.resolution.at_recovery_seconds) if s is not None]
    return f"±{max(sharp):.2f} s" if sharp else client.resolution.text or "-"


def objectives(run: Run) -> str:
    """Met or missed, with the figures of what was missed."""
    missed = [r for r in run.objective_results if r.met is False]
    if missed:
        return "missed: " + ", ".join(f"{r.objective} {r.value:g} > {r.limit:g}" for r in missed if r.value is not None)
    if any(r.met is None for r in run.objective_results):
        return "not judged"
    return "met" if run.objective_results else "none set"
