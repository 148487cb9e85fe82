"""What commands share: options, the client, a configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.client import Client
from monitor.cli.errors import BadUsage, ConfigMistakes
from monitor.config.settings import Settings

DEFAULT_URL = "http://127.0.0.1:8600"

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help=f"Address of the service. [env: AFTERSHOCK_URL; default: {DEFAULT_URL}]"),
]
KubeContext = Annotated[
    str | None,
    typer.Option(
        "--context",
        metavar="NAME",
        help="Reach a service that the chart put into a cluster: context of the kubeconfig. [env: AFTERSHOCK_CONTEXT]",
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NAME", help="Namespace of that service. [env: AFTERSHOCK_NAMESPACE]"),
]
ReleaseName = Annotated[
    str | None, typer.Option("--release", metavar="NAME", help="Its release, where a namespace has several.")
]
ANYWHERE = {"--context", "--namespace", "-n", "--release"}
"""Options of the program that may also stand behind the command, as with kubectl; all of them take a value."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Config = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="Configuration file, to work without a service.")
]
NeededConfig = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="Configuration file.")]


def plain_group(help_text: str) -> typer.Typer:
    """A group of commands whose help is plain text, the same in every terminal."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def address(context: typer.Context, url: str | None) -> str:
    """The service's address: of the command, of the program, of the environment, or the default."""
    root = (context.find_root().obj or {}).get("url")
    return url or root or os.environ.get("AFTERSHOCK_URL") or DEFAULT_URL


def connect(context: typer.Context, url: str | None) -> Client:
    """A client of the service. The token comes from the environment alone, where no process list shows it,
    or from the cluster."""
    place = _place(context, url)
    if place is None:
        return Client(address(context, url), os.environ.get("AFTERSHOCK_TOKEN") or None)
    from monitor.cli.release import Place  # noqa: PLC0415 - only those who have a cluster need it
    from monitor.cli.through import client_in_cluster  # noqa: PLC0415

    return client_in_cluster(Place(**place))


def in_cluster(context: typer.Context, url: str | None) -> bool:
    """Whether the service is one in a cluster."""
    return _place(context, url) is not None


def _place(context: typer.Context, url: str | None) -> dict[str, str] | None:
    """What was said of a release in a cluster, None when an address is meant. Raises `BadUsage` for both at once."""
    root = context.find_root().obj or {}
    asked = {name: root[name] for name in ("context", "namespace", "release") if root.get(name)}
    known = {name: os.environ.get(f"AFTERSHOCK_{name.upper()}", "") for name in ("context", "namespace")}
    known = {name: value for name, value in known.items() if value}
    if url or root.get("url"):
        if asked:
            raise BadUsage(f"--url and --{min(asked)} say two different things; give one of them")
        return None
    if known and not asked and os.environ.get("AFTERSHOCK_URL"):
        text = f"AFTERSHOCK_URL and AFTERSHOCK_{min(known).upper()} say two different things"
        raise BadUsage(f"{text}; unset one of them, or give --url or --{min(known)}")
    return known | asked or None


def settings_from(path: Path) -> Settings:
    """The settings of a file. Raises `ConfigMistakes` with every mistake, one a line."""
    from monitor.config.check import ConfigError, load  # noqa: PLC0415 - commands that ask the service need none of it

    try:
        return load(path)
    except ConfigError as error:
        raise ConfigMistakes(str(error)) from None
