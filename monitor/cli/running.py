"""`aftershock recover`, `stop`, `resume` and `runs`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli.context import Config, Json, Url, connect, plain_group, settings_from
from monitor.cli.errors import FAILED, BadUsage, CliError, Unreachable
from monitor.cli.render import complain, print_json, say
from monitor.cli.render_lists import list_runs, show_report
from monitor.cli.render_run import print_run
from monitor.model import Run, Verdict

runs = plain_group("What happened.")


# --- putting back ---------------------------------------------------------------------------------


def recover(
    context: typer.Context,
    *,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Id of the run, or a unique beginning of it.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Put back everything.")] = False,
    url: Url = None,
    config: Config = None,
    json_: Json = False,
) -> None:
    """Put back what a run broke: end it if it is alive, else revert it from its receipt.

    With -c FILE it also works while the service is down, straight from the store.

    \b
    Examples:
      aftershock recover --all
      aftershock recover --all -c config.yaml
    Exit codes: 0 everything is put back, 1 something could not be, 2 bad usage or unknown run,
    3 the service cannot be reached (and no -c FILE was given).
    """
    if (run is None) != all_:
        raise BadUsage("say what to put back: a run's id, or --all for everything")
    try:
        with connect(context, url) as client:
            report = client.recover(run)
    except Unreachable as error:
        if config is None:
            raise
        complain(f"no service at {error.url}; working on the store itself")
        report = _offline(config, run)
    if json_:
        print_json(report)
    else:
        show_report(report)
    if report.get("failed"):
        raise typer.Exit(FAILED)


def _offline(config: Path, run_id: str | None) -> dict[str, Any]:
    from faults.base import FaultError  # noqa: PLC0415 - the store and the faults are needed here alone
    from monitor.run.recovery import recover_offline  # noqa: PLC0415
    from monitor.store.errors import StoreError  # noqa: PLC0415
    from monitor.wiring import AlreadyRunningError, lock_data_dir  # noqa: PLC0415

    settings = settings_from(config)
    try:
        # A service that does not answer may still be at work on the same receipts.
        with lock_data_dir(settings.data_dir):
            after = asyncio.run(recover_offline(settings, run_id))
    except LookupError as error:
        raise BadUsage(str(error.args[0] if error.args else error)) from None
    except (StoreError, FaultError, AlreadyRunningError, OSError) as error:
        raise CliError(str(error)) from None
    return offline_report(after)


def offline_report(after: list[Run]) -> dict[str, Any]:
    """What was put back, in the words of the API."""
    failed = [one for one in after if one.receipt_open or one.verdict is Verdict.REVERT_FAILED]
    done = [one for one in after if one not in failed]
    return {
        "reverted": [
            {"run_id": one.id, "outcome": "reverted", "summary": one.observations[-1] if one.observations else ""}
            for one in done
        ],
        "failed": [{"run_id": one.id, "reason": one.notes[-1] if one.notes else one.reason} for one in failed],
    }


def stop(
    context: typer.Context,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; shown to whom it stops.")
    ] = "stopped by hand",
    url: Url = None,
    json_: Json = False,
) -> None:
    """Emergency stop: put back everything now and refuse new runs until `aftershock resume`, also over restarts.

    \b
    Example: aftershock stop --reason "customer call"
    Exit codes: 0 stopped and everything is put back, 1 something could not be put back,
    2 bad usage, 3 the service cannot be reached.
    """
    with connect(context, url) as client:
        report = client.stop(reason)
    if json_:
        print_json(report)
    else:
        say(f"stopped: {reason}; `aftershock resume` allows runs again")
        show_report(report)
    if report.get("failed"):
        raise typer.Exit(FAILED)


def resume(context: typer.Context, url: Url = None, json_: Json = False) -> None:
    """Release the emergency stop.

    \b
    Example: aftershock resume
    Exit codes: 0 runs are allowed again, 1 the store refused, 2 bad usage,
    3 the service cannot be reached.
    """
    with connect(context, url) as client:
        answer = client.resume()
    if json_:
        print_json(answer)
    else:
        say("runs are allowed again")


# --- what happened --------------------------------------------------------------------------------


@runs.command("ls")
def list_(
    context: typer.Context,
    *,
    fault: Annotated[str | None, typer.Option("--fault", metavar="NAME", help="Only runs of this fault.")] = None,
    verdict: Annotated[
        str | None, typer.Option("--verdict", metavar="VERDICT", help=f"Only runs that ended so: {', '.join(Verdict)}.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, metavar="N", help="At most so many.")] = 20,
    url: Url = None,
    json_: Json = False,
) -> None:
    """List runs, newest first.

    \b
    Examples:
      aftershock runs ls
      aftershock runs ls --fault worker --verdict not_recovered --json
    Exit codes: 0 fine, 2 bad usage, 3 the service cannot be reached.
    """
    if verdict is not None and verdict not in set(Verdict):
        raise BadUsage(f"--verdict {verdict}: there are {', '.join(Verdict)}")
    with connect(context, url) as client:
        found, total = client.runs(limit=limit, fault=fault, verdict=verdict)
    if json_:
        print_json({"runs": [run.model_dump(mode="json") for run in found], "total": total})
    else:
        list_runs(found, total)


@runs.command("show")
def show(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or a unique beginning of it.")],
    url: Url = None,
    json_: Json = False,
) -> None:
    """Show one run: phases, evidence, the witnesses side by side, objectives.

    Instants are seconds from the injection. The exit code is about the command, not about the run.

    \b
    Example: aftershock runs show r01
    Exit codes: 0 fine, 2 unknown run or bad usage, 3 the service cannot be reached.
    """
    with connect(context, url) as client:
        found = client.run(run)
    print_run(found, json_=json_)
