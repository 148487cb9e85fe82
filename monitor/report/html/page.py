"""The frame of a page, and its tables. Everything that is not made here is data and is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources

from monitor.report.html.svg import MARKS, Drawing, dots, mark

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The page needs nothing from anywhere, and a browser holds it to that: also a script that got in could not run."""

VERDICT_LOOKS = {
    "recovered": "fine",
    "no_impact": "fine",
    "met": "fine",
    "agree": "fine",
    "not_recovered": "poor",
    "revert_failed": "poor",
    "missed": "poor",
    "disagree": "poor",
    "false_finding": "poor",
    "inconclusive": "unsure",
    "not_injected": "unsure",
    "aborted": "unsure",
    "skipped": "unsure",
    "not judged": "unsure",
    "not_compared": "unsure",
}


@dataclass(frozen=True, slots=True)
class Raw:
    """Markup that was made here."""

    html: str


Cell = str | Raw


def document(title: str, body: Iterable[str]) -> str:
    """A whole page."""
    style = resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>{''.join(body)}</body></html>\n"
    )


def heading(words: str) -> str:
    """The title of a part."""
    return f"<h2>{escape(words)}</h2>"


def paragraph(words: Cell, look: str = "") -> str:
    """A line of text."""
    return f"<p{_class(look)}>{cell(words)}</p>"


def cell(words: Cell) -> str:
    """Text escaped, markup of ours as it is."""
    return words.html if isinstance(words, Raw) else escape(words)


def judged(word: str, shown: str | None = None) -> Raw:
    """A verdict in its colour. Colour is never all that tells it."""
    look = VERDICT_LOOKS.get(word, "")
    return Raw(f'<span class="verdict {look}">{escape(shown or word.replace("_", " "))}</span>')


def code(words: str) -> Raw:
    """An id or a path."""
    return Raw(f"<code>{escape(words)}</code>")


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    numbers: Iterable[int] = (),
    texts: Iterable[int] = (),
    anchors: Sequence[str] = (),
) -> str:
    """A table that scrolls by itself where it is too wide. `numbers` and `texts` are columns, by place."""
    looks = dict.fromkeys(numbers, "n") | dict.fromkeys(texts, "text")
    top = "".join(f'<th scope="col"{_class(looks.get(i, ""))}>{escape(name)}</th>' for i, name in enumerate(head))
    lines = []
    for at, row in enumerate(rows):
        name = f' id="{escape(anchors[at])}"' if at < len(anchors) else ""
        cells = "".join(f"<td{_class(looks.get(i, ''))}>{cell(one)}</td>" for i, one in enumerate(row))
        lines.append(f"<tr{name}>{cells}</tr>")
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
        if lines
        else paragraph("none", "faint")
    )


def pairs(rows: Iterable[tuple[str, Cell]]) -> str:
    """Names and values."""
    lines = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{cell(value)}</td></tr>' for name, value in rows)
    return f'<div class="wide"><table><tbody>{lines}</tbody></table></div>'


def cards(rows: Iterable[tuple[str, Cell]]) -> str:
    """The figures that matter most, large."""
    inner = "".join(f"<div><b>{cell(value)}</b><span>{escape(name)}</span></div>" for name, value in rows)
    return f'<div class="cards">{inner}</div>'


def missing(lines: Sequence[str]) -> str:
    """What is not known: before the figures, so that nobody takes its absence for good news."""
    if not lines:
        return ""
    inner = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<div class="missing"><strong>Missing or in doubt</strong><ul>{inner}</ul></div>'


def figure(svgs: Iterable[str], caption: str) -> str:
    """A figure in its versions (for wide and narrow screens) with what it shows."""
    return f"<figure>{''.join(svgs)}<figcaption>{escape(caption)}</figcaption></figure>"


def legend(kinds: Sequence[str], *, bars: bool = False) -> str:
    """The marks of requests, or the colours of bars."""
    made = []
    for kind in kinds:
        drawing = Drawing(14, 12, kind)
        if bars:
            drawing.rect(2, 1, 10, 10, f"{kind} bar")
        elif kind in MARKS:
            drawing.path(mark(kind, 7, 6), f"{kind} mark")
        else:
            drawing.path(dots([(7, 6)]), f"{kind} dot")
        made.append(f"<span>{drawing.svg('key')}{escape(kind)}</span>")
    return f'<div class="legend">{"".join(made)}</div>'


def _class(look: str) -> str:
    return f' class="{look}"' if look else ""
