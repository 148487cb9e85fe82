"""Reads a page of metrics."""

from __future__ import annotations

import re


def total(page: str, name: str, labels: str = "") -> float:
    """Sum of the series of one of our metrics, of those whose labels contain these words; 0 without any."""
    lines = re.findall(rf"^aftershock_{name}(?:\{{([^}}]*)\}})? (\S+)", page, re.MULTILINE)
    return sum(float(number) for found, number in lines if labels in found)
