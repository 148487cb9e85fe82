"""Entry of the command `aftershock`."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli import catalogue, grafana, injecting, running, serving
from monitor.cli.context import ANYWHERE, KubeContext, Namespace, ReleaseName, Url, plain_group
from monitor.cli.demo import demo
from monitor.cli.errors import FAILED, INTERRUPTED, CliError, ConfigMistakes
from monitor.cli.render import complain, say
from monitor.cli.report import report

ABOUT = """Keep real load on an LLM deployment, break it, and measure how long users were hurt.

\b
Exit codes: 0 fine, 1 the run missed an objective or failed, 2 bad usage or configuration,
3 the service cannot be reached.

\b
A service in a cluster, where the chart put it: aftershock --namespace N status. The way is a port-forward,
the cluster is the kubeconfig's, the token is that of the chart's Secret.

The token of a service that wants one is read from AFTERSHOCK_TOKEN.
"""

app = plain_group(ABOUT)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"aftershock {version('aftershock')}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    *,
    url: Url = None,
    kube_context: KubeContext = None,
    namespace: Namespace = None,
    release: ReleaseName = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an unexpected error.")] = False,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of every command."""
    context.obj = {"url": url, "context": kube_context, "namespace": namespace, "release": release, "debug": debug}


app.command("demo", short_help="Break a real Dynamo deployment here and see.")(demo)
app.command("serve", short_help="Run the service.")(serving.serve)
app.command("check", short_help="Name every mistake in a configuration.")(serving.check)
app.command("status", short_help="Show the service at a glance.")(serving.status)
app.command("inject", short_help="Break something and see what users feel.")(injecting.inject)
app.command("recover", short_help="Put back what a run broke.")(running.recover)
app.command("stop", short_help="Emergency stop: put back all, refuse new runs.")(running.stop)
app.command("resume", short_help="Release the emergency stop.")(running.resume)
app.add_typer(running.runs, name="runs")
app.command("report", short_help="Write a report on a run or on a period.")(report)
app.add_typer(catalogue.group, name="faults")
app.command("schedules", short_help="Show what will be broken when.")(serving.schedules)
app.add_typer(grafana.dashboards, name="dashboards")
app.add_typer(grafana.rules, name="rules")
app.command("supervise", short_help="Run a deployment's processes.")(serving.supervise)


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code. Nothing but the exit code and lines of text come out."""
    try:
        code = _outcome(arguments)
        sys.stdout.flush()  # what is still held back finds out here, not at the interpreter's end, that nobody reads
    except BrokenPipeError:  # whoever read our output has seen enough
        _drop_output()
        return FAILED
    except OSError as error:
        complain(f"aftershock: the output cannot be written: {error.strerror}")
        _drop_output()
        return FAILED
    return code


def _drop_output() -> None:
    """The interpreter must not try to flush the rest."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _outcome(arguments: Sequence[str]) -> int:
    """The same; raises `BrokenPipeError` when nobody reads any more."""
    debug = "--debug" in arguments
    try:
        app(args=_ordered(arguments), prog_name="aftershock")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED
    except CliError as error:
        if debug:
            traceback.print_exception(error)
        complain(str(error) if isinstance(error, ConfigMistakes) else f"aftershock: {error}")
        return error.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the one place where an unforeseen error becomes one line
        if debug:
            traceback.print_exception(error)
        text = " ".join(str(error).split()) or "no further words"
        complain(f"aftershock: unexpected error: {type(error).__name__}: {text} (`aftershock --debug ...` shows where)")
        return FAILED
    return 0


def _ordered(arguments: Sequence[str]) -> list[str]:
    """The program's options first, wherever they stand: who meets an error adds --debug at the end of the line."""
    first: list[str] = []
    rest: list[str] = []
    left = list(arguments)
    while left:
        one = left.pop(0)
        if one == "--":
            return [*first, *rest, one, *left]
        if one in ANYWHERE and left:
            first += [one, left.pop(0)]
        elif one == "--debug" or one.partition("=")[0] in ANYWHERE:
            first.append(one)
        else:
            rest.append(one)
    return [*first, *rest]


def main() -> None:
    """Console script."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        # Closed by whoever started us: nobody wants to read.
        sys.stdout = sys.stdout or nowhere
        sys.stderr = sys.stderr or nowhere
        sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
