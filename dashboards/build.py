"""All dashboards as files: the JSON, and what Grafana needs to find it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from dashboards.boards.deployment import deployment
from dashboards.boards.faults import faults
from dashboards.boards.health import health
from dashboards.boards.overview import overview
from dashboards.boards.run import run
from dashboards.layout import Board

GENERATED = Path(__file__).with_name("generated")
FOLDER = "aftershock"
PROVISIONING = "provisioning.yaml"


def boards() -> list[Board]:
    """Every dashboard, the first look first."""
    return [overview(), run(), deployment(), faults(), health()]


def dashboards() -> dict[str, dict[str, Any]]:
    """File name without its ending -> what Grafana imports."""
    return {board.uid.removeprefix("aftershock-"): board.to_json() for board in boards()}


def text_of(dashboard: dict[str, Any]) -> str:
    """The JSON as it is committed: one property a line, in a fixed order, so that a change reads well."""
    return json.dumps(dashboard, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def provisioning(path: str) -> str:
    """The file for Grafana's /etc/grafana/provisioning/dashboards; `path` is where Grafana sees the JSON."""
    provider = {
        "name": FOLDER,
        "orgId": 1,
        "folder": FOLDER,
        "type": "file",
        "disableDeletion": False,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 30,
        "options": {"path": path, "foldersFromFilesStructure": False},
    }
    return yaml.safe_dump({"apiVersion": 1, "providers": [provider]}, sort_keys=False)


def write(folder: Path) -> list[Path]:
    """Write every dashboard and the provisioning file below a folder; returns what was written. Raises OSError."""
    inside = folder / "json"
    inside.mkdir(parents=True, exist_ok=True)
    written = []
    for name, dashboard in dashboards().items():
        path = inside / f"{name}.json"
        path.write_text(text_of(dashboard), encoding="utf-8")
        written.append(path)
    path = folder / PROVISIONING
    path.write_text(provisioning(str(inside.absolute())), encoding="utf-8")
    return [*written, path]


def main() -> None:
    """Renew the committed files: `python -m dashboards.build`."""
    for name, dashboard in dashboards().items():
        (GENERATED / f"{name}.json").write_text(text_of(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
