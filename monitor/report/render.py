"""A report as text, by format."""

from __future__ import annotations

import json
from typing import Any

from monitor.report.html.run_page import run_page
from monitor.report.html.soak_page import soak_page
from monitor.report.markdown import run_markdown, soak_markdown
from monitor.report.model import RunReport, SoakReport
from monitor.report.suite import suite_json

FORMATS = ("html", "md", "json", "pdf")


def html(report: RunReport | SoakReport) -> str:
    """One self-contained page."""
    return run_page(report) if isinstance(report, RunReport) else soak_page(report)


def markdown(report: RunReport | SoakReport) -> str:
    """Tables and text."""
    return run_markdown(report) if isinstance(report, RunReport) else soak_markdown(report)


def as_json(report: RunReport | SoakReport) -> dict[str, Any]:
    """Everything, and under `suite` the suite's tables."""
    return report.model_dump(mode="json") | {"suite": suite_json(report)}


def text(report: RunReport | SoakReport, form: str) -> str:
    """In one of FORMATS (but pdf, which is no text). Raises KeyError for another."""
    if form == "json":
        return json.dumps(as_json(report), ensure_ascii=False) + "\n"
    return {"html": html, "md": markdown}[form](report)
