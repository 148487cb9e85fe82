"""Queries of dashboards as Grafana sends them, and the metric names in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dashboards.pictures.filling import panels

_STRINGS = re.compile(r'"(?:\\.|[^"\\])*"')
_BRACES = re.compile(r"\{[^{}]*\}")
_WINDOWS = re.compile(r"\[[^\[\]]*\]")
_LISTS = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_NAMES = re.compile(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "inf"})
_LABELS = re.compile(r"label_values\((.*), \w+\)$")
_ANY_OF = re.compile(r'__name__=~"([^"]*)"')


@dataclass(frozen=True)
class Asked:
    """One query with where it stands."""

    board: str
    panel: str
    ref: str
    expr: str
    instant: bool


def asked(dashboard: Mapping[str, Any]) -> Iterator[Asked]:
    """Every query of every panel."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield Asked(dashboard["uid"], panel["title"], target["refId"], target["expr"], target["instant"])


def metric_names(expr: str) -> set[str]:
    """Names of metrics in a PromQL expression or a `label_values` query."""
    found = _LABELS.match(expr)
    text = found[1] if found else expr
    named = {name for several in _ANY_OF.findall(text) for name in several.split("|")}
    for pattern in (_STRINGS, _BRACES, _WINDOWS, _LISTS):
        text = pattern.sub(" ", text)
    text = re.sub(r"\b\d[\w.]*", " ", text)
    return named | {name for name in _NAMES.findall(text) if name not in _WORDS}
