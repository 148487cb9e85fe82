"""`aftershock inject`, `recover`, `stop`, `resume` and `runs`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli.client import Client
from monitor.cli.context import Config, Json, Url, connect, plain_group, settings_from
from monitor.cli.errors import FAILED, BadUsage, CliError, Refused, Unreachable
from monitor.cli.figures import exit_code
from monitor.cli.render import complain, print_json, say
from monitor.cli.render_lists import list_runs, show_dry_run, show_report
from monitor.cli.render_run import show_run
from monitor.cli.wait import LONGEST_SECONDS, Wish, start_when_let, wait_for
from monitor.model import Run, Verdict

runs = plain_group("What happened.")


def inject(
    context: typer.Context,
    *,
    fault: Annotated[str, typer.Argument(metavar="FAULT", help="Name in the catalogue; see `aftershock faults ls`.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a parameter for this run; may be given several times."),
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(
            "--instance", metavar="SELECTOR", help="first, all, random, index:N or percent:P; as --set instances=..."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which instances it would be and whether it may; touch nothing.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the result, or only begin.")] = True,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed of random choices.")] = None,
    retry_for: Annotated[
        float,
        typer.Option(
            "--retry-for",
            metavar="SECONDS",
            min=0,
            max=LONGEST_SECONDS,
            help="Ask again for so long while it is refused for what passes by itself, such as a cooldown.",
        ),
    ] = 0,
    url: Url = None,
    json_: Json = False,
) -> None:
    """Break something now, wait until it is whole again, and print what users felt.

    \b
    Examples:
      aftershock inject worker
      aftershock inject worker_stall --set duration_seconds=3 --instance random
      aftershock inject worker --dry-run
      aftershock inject worker --retry-for 120
    \b
    Exit codes: 0 no impact, or recovered with no objective missed; 1 an objective was
    missed, or the run is not_injected, not_recovered, inconclusive, aborted,
    revert_failed or refused; 2 bad usage; 3 the service cannot be reached;
    130 Ctrl-C while waiting (the run goes on).
    """
    changes = parse_changes(set_ or [], instance)
    with connect(context, url) as client:
        if dry_run:
            _dry_run(client, fault, changes, seed, json_=json_)
            return
        try:
            run = start_when_let(client, Wish(fault, changes, seed), retry_for)
        except Refused as refused:
            if json_:
                print_json(refused.body)
            raise CliError(_refusal(refused)) from None
        if not wait:
            _print_run(run, json_=json_) if json_ else say(f"{run.id}: {run.fault_name} has begun")
            return
        run = wait_for(client, run)
    _print_run(run, json_=json_)
    raise typer.Exit(exit_code(run))


def _dry_run(client: Client, fault: str, changes: dict[str, Any], seed: int | None, *, json_: bool) -> None:
    dry = client.dry_run(fault, changes, seed)
    if json_:
        print_json(dry)
    else:
        show_dry_run(dry)
    if dry.get("would_be_refused"):
        raise typer.Exit(FAILED)


def _refusal(refused: Refused) -> str:
    run_id, holder = refused.body.get("run_id"), refused.body.get("holder")
    held = f"; run {holder} holds the deployment" if holder and str(holder) not in str(refused) else ""
    kept = f" (kept as skipped run {run_id})" if run_id else ""
    return f"refused: {refused}{held}{kept}"


def _print_run(run: Run, *, json_: bool) -> None:
    if json_:
        print_json(run.model_dump(mode="json"))
    else:
        show_run(run)


def parse_changes(given: list[str], instance: str | None) -> dict[str, Any]:
    """`--set` options as parameters. `a.b=x` reaches inside a parameter; JSON lists, groups and null are understood."""
    changes: dict[str, Any] = {}
    for text in [*given, *([f"instances={instance}"] if instance is not None else [])]:
        key, equals, value = text.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            raise BadUsage(f"--set {text}: write KEY=VALUE, such as --set duration_seconds=3")
        group = changes
        for part in path[:-1]:
            inner = group.setdefault(part, {})
            if not isinstance(inner, dict):
                raise BadUsage(f"--set {text}: {part} was given a value before")
            group = inner
        group[path[-1]] = _parsed(value, text)
    return changes


def _parsed(value: str, text: str) -> Any:
    """Numbers stay text: the fault's own model reads them, and knows better whether `1e3` is one."""
    stripped = value.strip()
    if stripped != "null" and stripped[:1] not in {"[", "{", '"'}:
        return value
    try:
        return json.loads(stripped)
    except ValueError as error:
        raise BadUsage(f"--set {text}: the value looks like JSON and is not: {error}") from None


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
    _print_run(found, json_=json_)
