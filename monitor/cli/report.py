"""`aftershock report`."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.client import Client
from monitor.cli.context import Config, Json, Url, connect, settings_from
from monitor.cli.errors import BadUsage, CliError, Unreachable
from monitor.cli.render import complain, say
from monitor.report.model import RunReport, SoakReport
from monitor.report.period import BadPeriod, checked, parse_instant, parse_period

Report = RunReport | SoakReport
FORMATS = ("html", "md", "json", "pdf")


def report(
    context: typer.Context,
    *,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Id of a run, or a unique beginning of it.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="A period: 7d, 36h, or 2026-11-01 (UTC) until now.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="WHEN", help="End of the period.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Everything that the store has.")] = False,
    fault: Annotated[str | None, typer.Option("--fault", metavar="NAME", help="Only runs of this fault.")] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare",
            metavar="A..B|FILE",
            help="Beside an earlier period, such as 14d..7d, or a JSON report of another deployment or version.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="FILE.html, .md, .json or .pdf; without it Markdown is printed."
        ),
    ] = None,
    url: Url = None,
    config: Config = None,
    json_: Json = False,
) -> None:
    """Report on one run, or on a period with all its runs, in one file that needs nothing else.

    Asks the service; with -c FILE it also works while the service is down, straight from the store.

    \b
    Examples:
      aftershock report r32 -o run.html
      aftershock report --since 7d -o week.html
      aftershock report --since 7d --compare 14d..7d -o weeks.html
      aftershock report --all --json -c config.yaml
    Exit codes: 0 fine, 1 the report could not be made or written, 2 unknown run or bad usage,
    3 the service cannot be reached (and no -c FILE was given).
    """
    if sum((run is not None, since is not None, all_)) != 1:
        raise BadUsage("say what to report on: a run's id, --since WHEN, or --all")
    if run is not None and (until or fault or compare):
        raise BadUsage("--until, --fault and --compare are for periods, not for one run")
    form = _format(output)
    wanted = Wanted(context, url, config, fault)
    if run is not None:
        made: Report = wanted.run(run)
    else:
        made = _of_period(wanted, since, until, compare)
    _deliver(made, output, form, json_=json_)


def _deliver(made: Report, output: Path | None, form: str, *, json_: bool) -> None:
    """To the file that is named, or to standard output."""
    if json_:
        from monitor.report.render import as_json  # noqa: PLC0415 - other commands need none of it

        say(json.dumps(as_json(made), ensure_ascii=False))
    if output is not None:
        _write(made, output, form)
        complain(f"wrote {output}")
    elif not json_:
        from monitor.report.render import markdown  # noqa: PLC0415

        say(markdown(made).rstrip())


def _format(output: Path | None) -> str:
    """Everything about the file that can be wrong is said before the work is done."""
    if output is None:
        return "md"
    form = output.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        raise BadUsage(f"--output {output}: the name must end in .html, .md, .json or .pdf")
    if not output.absolute().parent.is_dir():
        raise BadUsage(f"--output {output}: there is no folder {output.parent}")
    if form == "pdf":
        from monitor.report.pdf import PdfError, find_browser  # noqa: PLC0415

        try:
            find_browser()
        except PdfError as error:
            raise CliError(str(error)) from None
    return form


def _of_period(wanted: Wanted, since: str | None, until: str | None, compare: str | None) -> SoakReport:
    now = time.time_ns()
    try:
        begin = parse_instant(since, now) if since is not None else None
        end = parse_instant(until, now) if until is not None else None
        if begin is not None:
            checked(begin, end if end is not None else now, f"--since {since}")
        other = _other(wanted, compare, now) if compare is not None else None
    except BadPeriod as error:
        raise BadUsage(str(error)) from None
    made = wanted.period(begin, end)
    if other is None:
        return made
    from monitor.report.periods import compare_periods  # noqa: PLC0415

    return made.model_copy(update={"comparison": compare_periods(other, made)})


def _other(wanted: Wanted, compare: str, now: int) -> SoakReport:
    """The first of two: a period of the same store, or a report that was kept."""
    if ".." in compare and not compare.endswith(".json"):
        return wanted.period(*parse_period(compare, now))
    path = Path(compare)
    if not path.exists():
        raise BadUsage(f"--compare {compare}: neither a period such as 14d..7d nor a file that exists")
    try:
        return SoakReport.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise BadUsage(f"--compare {compare}: is no JSON report of a period; make one with --since or --all") from None


def _write(made: Report, output: Path, form: str) -> None:
    from monitor.report.pdf import PdfError, find_browser, write_pdf  # noqa: PLC0415
    from monitor.report.render import html, text  # noqa: PLC0415

    try:
        if form == "pdf":
            write_pdf(html(made), output, find_browser())
        else:
            output.write_text(text(made, form), encoding="utf-8")
    except PdfError as error:
        raise CliError(str(error)) from None
    except OSError as error:
        raise CliError(f"{output}: {error.strerror or error}") from None


class Wanted:
    """Where reports come from: the service, or without one the store of a configuration."""

    def __init__(self, context: typer.Context, url: str | None, config: Path | None, fault: str | None) -> None:
        self._connect = partial(connect, context, url)
        self._config = config
        self._fault = fault
        self._down = False

    def run(self, run_id: str) -> RunReport:
        """Raises CliError."""
        client = self._client()
        if client is not None:
            try:
                with client:
                    return client.run_report(run_id)
            except Unreachable as error:
                self._offline(error)
        from monitor.cli.offline import run_from_store  # noqa: PLC0415 - the store is needed here alone

        return run_from_store(settings_from(self._given()), run_id)

    def period(self, since_ns: int | None, until_ns: int | None) -> SoakReport:
        """Raises CliError."""
        client = self._client()
        if client is not None:
            try:
                with client:
                    return client.period_report(since_ns, until_ns, self._fault)
            except Unreachable as error:
                self._offline(error)
        from monitor.cli.offline import period_from_store  # noqa: PLC0415

        return period_from_store(settings_from(self._given()), since_ns, until_ns, self._fault)

    def _client(self) -> Client | None:
        return None if self._down else self._connect()

    def _offline(self, error: Unreachable) -> None:
        if self._config is None:
            raise error
        self._down = True
        complain(f"no service at {error.url}; reading the store itself")

    def _given(self) -> Path:
        assert self._config is not None  # noqa: S101 - without one the service was the only source
        return self._config
