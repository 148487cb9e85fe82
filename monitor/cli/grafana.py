"""`aftershock dashboards` and `aftershock rules`: what people look at, and what calls them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.context import Json, NeededConfig, plain_group, settings_from
from monitor.cli.errors import BadUsage, CliError
from monitor.cli.render import print_json, say

dashboards = plain_group("Grafana dashboards.")
rules = plain_group("Prometheus rules.")

TOKEN = "GRAFANA_TOKEN"  # noqa: S105 - the name of a variable
_UNREACHABLE = 3


class GrafanaFailed(CliError):
    """Grafana could not be written to."""


class NoGrafana(CliError):
    """Nobody answers there."""

    code = _UNREACHABLE


@dashboards.command("build")
def build(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go; made when missing.")],
) -> None:
    """Write every dashboard as JSON, and the file by which Grafana finds them.

    Put provisioning.yaml into /etc/grafana/provisioning/dashboards; its path must be where Grafana sees the JSON.

    \b
    Example: aftershock dashboards build ./grafana
    Exit codes: 0 written, 2 bad usage or no such place.
    """
    from dashboards.build import write  # noqa: PLC0415 - other commands need none of it

    try:
        written = write(folder)
    except OSError as error:
        raise BadUsage(f"{folder}: {error.strerror or error}") from None
    for path in written:
        say(str(path))


@dashboards.command("publish")
def publish(
    grafana: Annotated[str, typer.Option("--grafana", metavar="URL", help="Address of Grafana.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change and change nothing.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Longest wait for one answer.")] = 10.0,
    json_: Json = False,
) -> None:
    """Create or change the dashboards in a Grafana. Again is the same: what is equal is not touched.

    The token of a service account with the role Editor is read from GRAFANA_TOKEN.

    \b
    Examples:
      aftershock dashboards publish --grafana http://127.0.0.1:3000 --dry-run
    Exit codes: 0 fine, 1 Grafana refused to save, 2 bad usage or token, 3 Grafana cannot be reached.
    """
    from dashboards.build import dashboards as made  # noqa: PLC0415 - other commands need none of it
    from monitor.export.grafana import (  # noqa: PLC0415
        GrafanaUnreachableError,
        Publisher,
        PublishError,
        TokenRefusedError,
    )

    token = os.environ.get(TOKEN, "")
    if not token.strip():
        raise BadUsage(f"{TOKEN} is not set; it must hold the token of a Grafana service account")
    if not grafana.startswith(("http://", "https://")):
        raise BadUsage(f"--grafana {grafana} is no address; it must begin with http:// or https://")
    try:
        done = Publisher(grafana, token.strip(), dry_run=dry_run, timeout_seconds=timeout).publish(made())
    except TokenRefusedError as error:
        raise BadUsage(str(error)) from None
    except GrafanaUnreachableError as error:
        raise NoGrafana(str(error)) from None
    except PublishError as error:
        raise GrafanaFailed(str(error)) from None
    if json_:
        fields = ("name", "state", "url", "difference")
        print_json({"dry_run": dry_run, "dashboards": [{name: getattr(one, name) for name in fields} for one in done]})
        return
    for one in done:
        state = f"would be {one.state}" if dry_run and one.state != "unchanged" else one.state
        say(f"{one.name}: {state}{f'  {one.url}' if one.url else ''}")
        if dry_run and one.difference:
            say(one.difference)


@rules.command("build")
def build_rules(
    config: NeededConfig,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Rule file to write; - for standard output.")
    ],
    scrape_interval: Annotated[
        float, typer.Option(min=1, max=120, metavar="SECONDS", help="How often Prometheus asks aftershock's /metrics.")
    ] = 15.0,
    runbooks: Annotated[
        str, typer.Option(metavar="URL", help="Where the runbooks are; an address that people on call can open.")
    ] = "docs/runbooks",
) -> None:
    """Write recording and alerting rules for Prometheus, made from a configuration.

    Build them again when objectives, schedules, probes or slo change: AftershockObjectiveAbsent fires when rules and
    service do not fit together.

    \b
    Example: aftershock rules build -c config.yaml -o aftershock-rules.yaml
    Exit codes: 0 written, 2 bad usage or configuration.
    """
    settings = settings_from(config)
    from dashboards.rules.build import rules as made  # noqa: PLC0415 - other commands need none of it
    from dashboards.rules.build import text_of  # noqa: PLC0415
    from monitor.rules import facts_of  # noqa: PLC0415

    text = text_of(made(facts_of(settings, scrape_seconds=scrape_interval, runbooks=runbooks)))
    if str(output) == "-":
        say(text.rstrip("\n"))
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadUsage(f"{output}: {error.strerror or error}") from None
    say(str(output))
