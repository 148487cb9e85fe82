"""Waits for a run, and before it for the guard, with the progress on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

from monitor.cli.client import Client
from monitor.cli.errors import ApiError, CliError, Refused, Unreachable
from monitor.cli.render import complain
from monitor.model import Phase, Run

POLL_SECONDS = 0.5
AGAIN_SECONDS = 1.0
"""Between two questions to the guard."""
PATIENCE_SECONDS = 30.0
"""How long the service may be out of reach while a run is waited for; a restart takes that long."""
LONGEST_SECONDS = 8 * 3600.0


class Interrupted(CliError):
    """Ctrl-C while a run was waited for."""

    code = 130


@dataclass(slots=True)
class Progress:
    """One line that is drawn over on a terminal; elsewhere one line for each new phase."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    last_phase: str = ""

    def show(self, run: Run, elapsed: float, recent: str) -> None:
        """Draw the state of the run."""
        phase = run.phase.value
        text = f"{run.id} {run.fault_name}: {run.phase.doing}, {elapsed:.0f} s{recent}"
        if self.stream.isatty():
            self.stream.write(f"\r\x1b[K{text}")
        elif phase != self.last_phase:
            self.stream.write(f"{text}\n")
        self.last_phase = phase
        self.stream.flush()

    def end(self) -> None:
        """Leave the line free for what comes."""
        if self.stream.isatty() and self.last_phase:
            self.stream.write("\r\x1b[K")
            self.stream.flush()


@dataclass(frozen=True, slots=True)
class Wish:
    """A run that somebody wants."""

    fault: str
    changes: dict[str, Any]
    seed: int | None


def start_when_let(
    client: Client,
    wish: Wish,
    seconds: float,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Run:
    """Begin a run; for so many seconds it is asked again while it is refused for what passes by itself.

    Asks by dry runs, of which no refused run is kept. Raises `Refused` when the time is over, at once when it is
    refused for something else, and `Interrupted`.
    """
    give_up, told = monotonic() + seconds, ""
    try:
        while monotonic() < give_up:
            dry = client.dry_run(wish.fault, wish.changes, wish.seed)
            if not dry.get("passing"):
                try:
                    return client.start(wish.fault, wish.changes, wish.seed)
                except Refused as refused:  # somebody else was quicker
                    dry = refused.body
                    if not dry.get("passing"):
                        raise
            reason = str(dry.get("would_be_refused") or dry.get("detail"))
            if (now := _without_figures(reason)) != told:
                told = now
                complain(f"not yet: {reason}")
            sleep(min(AGAIN_SECONDS, max(0.0, give_up - monotonic())))
    except KeyboardInterrupt:
        raise Interrupted(f"{wish.fault} was not begun") from None
    return client.start(wish.fault, wish.changes, wish.seed)


def _without_figures(reason: str) -> str:
    """For telling a new reason from one that has merely come nearer to its end."""
    return "".join(letter for letter in reason if not letter.isdigit())


def wait_for(
    client: Client,
    run: Run,
    *,
    progress: Progress | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Run:
    """The run once it is finished. Raises `Interrupted`, `Unreachable` or `ApiError`."""
    drawn = progress or Progress()
    begun = heard = monotonic()
    try:
        while run.phase is not Phase.FINISHED:
            now = monotonic()
            if now - begun > LONGEST_SECONDS:
                raise CliError(f"run {run.id} has not ended for {LONGEST_SECONDS / 3600:g} h; {_how_to_go_on(run.id)}")
            try:
                run, recent = client.run(run.id), _recent(client)
                heard = now
            except Unreachable as error:
                recent = "; the service does not answer"
                if now - heard > PATIENCE_SECONDS:
                    raise _lost(run.id, client.url, error) from None
            drawn.show(run, now - begun, recent)
            if run.phase is not Phase.FINISHED:
                sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        drawn.end()
        raise Interrupted(f"run {run.id} goes on without you; {_how_to_go_on(run.id)}") from None
    finally:
        drawn.end()
    return run


def _how_to_go_on(run_id: str) -> str:
    return f"`aftershock recover {run_id}` ends it and puts everything back, `aftershock runs show {run_id}` shows it"


def _lost(run_id: str, url: str, error: Unreachable) -> Unreachable:
    lost = Unreachable(url, "it stopped answering")
    lost.args = (f"{error}; run {run_id} was under way, its receipt is in the store and the next start reverts it",)
    return lost


def _recent(client: Client) -> str:
    """What users feel just now, as far as the service says."""
    try:
        probes: list[dict[str, Any]] = client.status().get("probes", [])
    except ApiError:
        return ""
    recent = [one.get("recent") or {} for one in probes]
    requests, failed = (sum(int(one.get(key, 0)) for one in recent) for key in ("requests", "failed"))
    window = max((float(one.get("window_seconds", 0)) for one in recent), default=0.0)
    return f", {failed} of {requests} requests failed in the last {window:g} s" if requests else ""
