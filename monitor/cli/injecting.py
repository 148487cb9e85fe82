"""`aftershock inject`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from monitor.cli.client import Client
from monitor.cli.context import Json, Url, connect
from monitor.cli.errors import FAILED, BadUsage, CliError, Refused
from monitor.cli.figures import exit_code
from monitor.cli.render import print_json, say
from monitor.cli.render_lists import show_dry_run
from monitor.cli.render_run import print_run
from monitor.cli.wait import LONGEST_SECONDS, Wish, start_when_let, wait_for
from monitor.model import Run


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
    if dry_run and retry_for:
        raise BadUsage("--retry-for: a dry run asks once; leave one of the two out")
    wish = Wish(fault, parse_changes(set_ or [], instance), seed)
    with connect(context, url) as client:
        if dry_run:
            _dry_run(client, wish, json_=json_)
            return
        run = _begun(client, wish, retry_for, json_=json_)
        if not wait:
            print_run(run, json_=json_) if json_ else say(f"{run.id}: {run.fault_name} has begun")
            return
        run = wait_for(client, run)
    print_run(run, json_=json_)
    raise typer.Exit(exit_code(run))


def _begun(client: Client, wish: Wish, retry_for: float, *, json_: bool) -> Run:
    try:
        return start_when_let(client, wish, retry_for)
    except Refused as refused:
        if json_:
            print_json(refused.body)
        raise CliError(_refusal(refused)) from None


def _dry_run(client: Client, wish: Wish, *, json_: bool) -> None:
    dry = client.dry_run(wish.fault, wish.changes, wish.seed)
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
