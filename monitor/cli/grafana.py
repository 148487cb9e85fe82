"""`aftershock dashboards` and `aftershock rules`: what people look at, and what calls them."""

from __future__ import annotations

import os
import time
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


class NoPrometheus(CliError):
    """Nobody answers there as a Prometheus does."""

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


@dashboards.command("draw")
def draw(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the pictures go; made when missing.")],
    *,
    prometheus: Annotated[str, typer.Option("--prometheus", metavar="URL", help="Address of the Prometheus to ask.")],
    since: Annotated[
        str, typer.Option("--since", metavar="WHEN", help="From when: 6h, 7d, or 2026-11-01 (UTC).")
    ] = "6h",
    until: Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Until when; by default now.")] = None,
    fault: Annotated[str, typer.Option("--fault", metavar="NAME", help="The fault of the run dashboard.")] = ".*",
    instance: Annotated[
        str | None,
        typer.Option("--instance", metavar="HOST:PORT", help="The aftershock, where that Prometheus scrapes several."),
    ] = None,
    scrape_interval: Annotated[
        float, typer.Option(min=1, max=120, metavar="SECONDS", help="How often Prometheus asks aftershock's /metrics.")
    ] = 15.0,
) -> None:
    """Draw every dashboard as a picture (PNG) from a Prometheus, for where no Grafana is at hand.

    \b
    Example: aftershock dashboards draw ./pictures --prometheus http://127.0.0.1:9090 --since 24h --fault worker
    Exit codes: 0 written, 2 bad usage or no such place, 3 Prometheus cannot be asked.
    """
    from dashboards.pictures.pages import draw_all  # noqa: PLC0415 - other commands need none of it
    from dashboards.pictures.window import QueryFailedError, Window  # noqa: PLC0415

    if not prometheus.startswith(("http://", "https://")):
        raise BadUsage(f"--prometheus {prometheus} is no address; it must begin with http:// or https://")
    begin, end = _period(since, until)
    window = Window.of(prometheus, begin, end, scrape_seconds=scrape_interval)
    try:
        for path in draw_all(folder, window, instance=instance, fault=fault, scrape_seconds=scrape_interval):
            say(str(path))
    except QueryFailedError as error:
        raise NoPrometheus(str(error)) from None
    except OSError as error:
        raise BadUsage(f"{folder}: {error.strerror or error}") from None


def _period(since: str, until: str | None) -> tuple[int, int]:
    """UTC seconds. Raises `BadUsage`."""
    from monitor.report.period import BadPeriod, checked, parse_instant  # noqa: PLC0415 - other commands need none of it

    now = time.time_ns()
    try:
        begin, end = parse_instant(since, now), parse_instant(until, now) if until else now
        checked(begin, end, f"--since {since}")
    except BadPeriod as error:
        raise BadUsage(str(error)) from None
    return begin // 10**9, end // 10**9


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
