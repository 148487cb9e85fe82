"""`aftershock serve`, `check`, `status`, `schedules` and `supervise`."""

from __future__ import annotations

import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli.context import Config, Json, NeededConfig, Url, connect, settings_from
from monitor.cli.errors import USAGE, BadUsage
from monitor.cli.render import complain, print_json, say
from monitor.cli.render_lists import list_schedules, show_status


def serve(config: NeededConfig) -> None:
    """Run the service: probes, schedules, API and metrics, until Ctrl-C or SIGTERM.

    On the way out it first puts back what is broken, then writes what it has measured.

    \b
    Example: aftershock serve -c config.yaml
    Exit codes: 0 ended on request, 1 the HTTP server ended by itself, 2 bad usage or
    configuration (one line a mistake), or the service cannot start.
    """
    # The first process of a container would ignore SIGTERM while it still loads, and be killed after the whole grace.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    settings = settings_from(config)
    from monitor.serve import CannotServeError  # noqa: PLC0415 - the whole service hangs on it
    from monitor.serve import serve as run_service  # noqa: PLC0415

    try:
        code = run_service(settings, announce=lambda url: complain(f"aftershock is listening on {url}"))
    except CannotServeError as error:
        raise BadUsage(str(error)) from None
    raise typer.Exit(code)


def check(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="Configuration file.")], json_: Json = False
) -> None:
    """Check a configuration file, with the environment on top, and name every mistake.

    One line a mistake on standard error: file, line, path, what is wrong, what would be right. A PostgreSQL
    server of `store.url` is asked whether it could be used: address, password, database, rights.

    \b
    Example: aftershock check config.yaml
    Exit codes: 0 no mistakes, 2 mistakes or no such file.
    """
    from monitor.config.check import load, problems  # noqa: PLC0415 - other commands need none of it

    found = problems(config, ask=True)
    if json_:
        named = [{"where": p.where, "path": p.path, "what": p.what, "right": p.right} for p in found]
        print_json({"config": str(config), "problems": named})
    for problem in found:
        complain(str(problem))
    if found:
        raise typer.Exit(USAGE)
    if not json_:
        settings = load(config)
        counts = f"{len(settings.probes)} probes, {len(settings.schedules)} schedules, {len(settings.faults)} faults of its own"
        say(f"{config}: no mistakes ({counts})")


def status(context: typer.Context, url: Url = None, json_: Json = False) -> None:
    """Show the service at a glance: what runs, what the probes see, what comes next.

    \b
    Example: aftershock status
    Exit codes: 0 fine, 2 bad usage, 3 the service cannot be reached.
    """
    with connect(context, url) as client:
        found = client.status()
    if json_:
        print_json(found)
    else:
        show_status(found)


def schedules(
    context: typer.Context,
    *,
    next_: Annotated[int, typer.Option("--next", min=1, max=1000, metavar="N", help="Firings of each schedule.")] = 10,
    url: Url = None,
    config: Config = None,
    json_: Json = False,
) -> None:
    """Show what will be broken when: the seeded plan of every schedule.

    The plan follows from the configuration alone: with -c FILE it is made here, and is the one that a
    service with this file will follow. Firings that come later than missed_after_seconds are skipped as
    `missed` and never made up, and so are those that were due while the service was down.

    \b
    Examples:
      aftershock schedules
      aftershock schedules -c config.yaml --next 20
    Exit codes: 0 fine, 2 bad usage or configuration, 3 the service cannot be reached
    (and no -c FILE was given).
    """
    if config is not None:
        found = _planned(config, next_)
    else:
        with connect(context, url) as client:
            found = client.schedules()
        found = [one | {"next": one.get("next", [])[:next_]} for one in found]
    if json_:
        print_json({"schedules": found})
        return
    list_schedules(found, next_)
    if config is None and any(len(one["next"]) < next_ and one["next"] for one in found):
        complain("the service tells only the next few firings; -c FILE shows as many as asked for")


def _planned(config: Path, count: int) -> list[dict[str, Any]]:
    settings = settings_from(config)
    from monitor.schedule.scheduler import Planner, described  # noqa: PLC0415 - APScheduler is needed here alone

    now = datetime.now(UTC)
    return [
        described(spec, Planner(spec).plan(now, count) if spec.enabled else []) | {"skipped": {}}
        for spec in settings.schedules
    ]


def supervise(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file with the components.")],
    state: Annotated[Path, typer.Option("--state", metavar="DIR", help="State folder, written by the supervisor.")],
) -> None:
    """Run a deployment's processes from a YAML file and restart them when they end.

    `deployment.target.supervisor_dir` in the monitor's configuration names the same folder.

    \b
    Example: aftershock supervise deployment.yaml --state .data/deployment
    Exit codes: 0 ended on request with everything stopped, 2 bad usage or file.
    """
    from faults.targets.supervise import main  # noqa: PLC0415 - only this command supervises

    raise typer.Exit(main([str(file), "--state", str(state)]))
