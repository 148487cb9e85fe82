"""Text for people: tables that fit the terminal, plain lines where there is none."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

NARROW = 72
"""Below this many columns a table of several columns becomes one block a row."""
_UNBOUNDED = 100_000
_COLOURS = {
    "recovered": "green",
    "no_impact": "green",
    "met": "green",
    "yes": "green",
    "not_recovered": "red",
    "revert_failed": "red",
    "missed": "red",
    "no": "red",
    "not_injected": "yellow",
    "inconclusive": "yellow",
    "aborted": "yellow",
    "skipped": "yellow",
    "not judged": "yellow",
}


def out() -> Console:
    """Standard output. Without a terminal lines are as long as they are, so that tools can read them."""
    terminal = sys.stdout.isatty()
    return Console(
        file=sys.stdout,
        width=None if terminal else _UNBOUNDED,
        force_terminal=terminal,
        no_color=None if terminal else True,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not terminal,
    )


def say(text: str = "") -> None:
    """A line of output."""
    sys.stdout.write(f"{text}\n")


def complain(text: str) -> None:
    """A line for standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def print_json(value: Any) -> None:
    """A value as JSON, for programs."""
    say(json.dumps(value, indent=2, ensure_ascii=False))


def heading(text: str) -> None:
    """The title of a block."""
    console = out()
    console.print()
    console.print(Text(text, style="bold"))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; blocks of `name: value` lines on a narrow terminal."""
    listed = [list(row) for row in rows]
    console = out()
    if console.is_terminal and console.width < NARROW and len(head) > 2:
        _blocks(console, head, listed)
        return
    made = Table(box=SIMPLE_HEAD if console.is_terminal else None, pad_edge=False, header_style="bold")
    for name in head:
        made.add_column(name, overflow="fold")
    for row in listed:
        made.add_row(*(_coloured(cell) for cell in row))
    _print(console, made)


def pairs(rows: Iterable[tuple[str, str]]) -> None:
    """Names and values in two columns."""
    console = out()
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(style="bold" if console.is_terminal else "", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, _coloured(value))
    _print(console, made)


def _print(console: Console, made: Table) -> None:
    if console.is_terminal:
        console.print(made)
        return
    with console.capture() as capture:
        console.print(made)
    for line in capture.get().splitlines():
        say(line.rstrip())


def _blocks(console: Console, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    width = max(len(name) for name in head)
    for index, row in enumerate(rows):
        if index:
            console.print()
        for name, cell in zip(head, row, strict=True):
            if cell not in {"", "-"}:
                console.print(Text(f"{name:<{width}}  ", style="bold").append(_coloured(cell)))


def _coloured(cell: str) -> Text:
    return Text(cell, style=_COLOURS.get(cell, ""))
