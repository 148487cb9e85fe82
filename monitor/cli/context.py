"""What commands share: options, the client, a configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.client import Client
from monitor.cli.errors import ConfigMistakes
from monitor.config.settings import Settings

DEFAULT_URL = "http://127.0.0.1:8600"

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help=f"Address of the service. [env: AFTERSHOCK_URL; default: {DEFAULT_URL}]"),
]
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
    """A client of the service. The token comes from the environment alone, where no process list shows it."""
    return Client(address(context, url), os.environ.get("AFTERSHOCK_TOKEN") or None)


def settings_from(path: Path) -> Settings:
    """The settings of a file. Raises `ConfigMistakes` with every mistake, one a line."""
    from monitor.config.check import ConfigError, load  # noqa: PLC0415 - commands that ask the service need none of it

    try:
        return load(path)
    except ConfigError as error:
        raise ConfigMistakes(str(error)) from None
