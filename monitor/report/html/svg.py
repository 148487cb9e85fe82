"""Inline SVG in small steps. Colours come from the page's style by class, so that one figure serves light, dark and print.

Every text goes through `escape`: names of instances and messages of servers are data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape


def number(value: float) -> str:
    """A coordinate: a tenth of a pixel is finer than anybody sees."""
    return f"{value:.1f}".removesuffix(".0")


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to pixels, linear or logarithmic. Values beyond an end are drawn at it."""

    low: float
    high: float
    first: float
    last: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        share = (at - low) / (high - low) if high > low else 0.0
        return self.first + share * (self.last - self.first)

    def ticks(self, count: int) -> list[float]:
        """Round values inside, about so many."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            return [10.0**p for p in powers if self.low <= 10.0**p <= self.high]
        return round_ticks(self.low, self.high, count)


def round_ticks(low: float, high: float, count: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten in [low, high], at most `count` and a few."""
    if high <= low:
        return [low]
    raw = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw)
    first = math.ceil(low / step)
    return [round(i * step, 12) for i in range(first, first + 200) if i * step <= high + step * 1e-9]


@dataclass(slots=True)
class Drawing:
    """Elements, in the order of drawing."""

    width: float
    height: float
    label: str
    """What the figure shows, for those who hear it."""
    parts: list[str] = field(default_factory=list)

    def rect(self, x: float, y: float, width: float, height: float, look: str, title: str = "") -> None:  # noqa: PLR0917 - a rectangle has four numbers
        """A rectangle, never thinner than one can see."""
        body = f'x="{number(x)}" y="{number(y)}" width="{number(max(width, 0.8))}" height="{number(max(height, 0.8))}"'
        self._add("rect", body, look, title)

    def line(self, x1: float, y1: float, x2: float, y2: float, look: str, title: str = "") -> None:  # noqa: PLR0917 - a line has four numbers
        """A straight line."""
        body = f'x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
        self._add("line", body, look, title)

    def path(self, steps: str, look: str, title: str = "", link: str = "") -> None:
        """A path; with a link, one that leads to a place of the page."""
        if not steps:
            return
        if link:
            self.parts.append(f'<a href="#{escape(link)}">')
        self._add("path", f'd="{steps}"', look, title)
        if link:
            self.parts.append("</a>")

    def text(self, x: float, y: float, words: str, look: str = "", anchor: str = "start") -> None:
        """A line of text."""
        where = f'x="{number(x)}" y="{number(y)}"' + (f' text-anchor="{anchor}"' if anchor != "start" else "")
        known = f' class="{look}"' if look else ""
        self.parts.append(f"<text {where}{known}>{escape(words)}</text>")

    def svg(self, look: str) -> str:
        """The whole figure."""
        size = f'viewBox="0 0 {number(self.width)} {number(self.height)}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" class="{look}" role="img" {size} aria-label="{escape(self.label)}">'
        return head + "".join(self.parts) + "</svg>"

    def _add(self, kind: str, body: str, look: str, title: str) -> None:
        if title:
            self.parts.append(f'<{kind} class="{look}" {body}><title>{escape(title)}</title></{kind}>')
        else:
            self.parts.append(f'<{kind} class="{look}" {body}/>')


MARKS = {
    "failed": "m{x} {y}m-3-3l6 6m0-6l-6 6",
    "truncated": "m{x} {y}m-3.5 0h7m-3.5-3.5v7",
    "slow": "m{x} {y}m0-3.5l3.5 6h-7z",
    "lost": "m{x} {y}m-3-3h6v6h-6z",
}
"""Shapes as well as colours: a cross, a plus, a triangle, a square."""


def mark(kind: str, x: float, y: float) -> str:
    """The path of one mark."""
    return "M" + MARKS[kind].format(x=number(x), y=number(y))[1:]


def marks(kind: str, places: Iterable[tuple[float, float]]) -> str:
    """Many marks in one path; those on the same half pixel are drawn once."""
    seen = sorted({(round(2 * x) / 2, round(2 * y) / 2) for x, y in places})
    return "".join(mark(kind, x, y) for x, y in seen)


def dots(places: Iterable[tuple[float, float]]) -> str:
    """Many dots in one path (for a round line cap); those on the same half pixel are drawn once."""
    seen = sorted({(round(2 * x) / 2, round(2 * y) / 2) for x, y in places})
    return "".join(f"M{number(x)} {number(y)}h0" for x, y in seen)


def cloud(places: Iterable[tuple[float, float]]) -> str:
    """Very many places in one path: every pixel that has one, pixels that touch from above to below as one line."""
    steps: list[str] = []
    last, begin, end = None, 0, 0
    for x, y in sorted({(round(x), round(y)) for x, y in places}):
        if x == last and y == end:
            end = y + 1
            continue
        if last is not None:
            steps.append(f"M{last} {begin}v{end - begin}")
        last, begin, end = x, y, y + 1
    if last is not None:
        steps.append(f"M{last} {begin}v{end - begin}")
    return "".join(steps)


def ticks_down(xs: Iterable[float], y: float, height: float) -> str:
    """Upright ticks in one path, each tenth of a pixel once."""
    return "".join(f"M{number(x)} {number(y)}v{number(height)}" for x in sorted({round(x, 1) for x in xs}))


def polyline(places: Sequence[tuple[float, float | None]]) -> str:
    """A line that breaks where there is no value. A value alone between two breaks is a dot."""
    steps, drawing = [], False
    for i, (x, y) in enumerate(places):
        if y is None:
            drawing = False
            continue
        alone = not drawing and (i + 1 == len(places) or places[i + 1][1] is None)
        steps.append(f"{'L' if drawing else 'M'}{number(x)} {number(y)}" + ("h0.1" if alone else ""))
        drawing = True
    return "".join(steps)
