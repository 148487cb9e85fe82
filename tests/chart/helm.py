"""helm, and what its templates give."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from monitor.chart.build import CHART

Object = dict[str, Any]
NEEDED = ("endpoint=http://frontend.dynamo:8000", "deployment=mocker")


class HelmRefused(Exception):
    """helm's own words."""


@dataclass(frozen=True, slots=True)
class Helm:
    """The program, and a folder for what it keeps."""

    program: Path
    home: Path

    def run(self, *words: str, env: dict[str, str] | None = None, timeout: float = 60) -> str:
        """Its standard output. Raises `HelmRefused`."""
        own = {
            name: str(self.home / name.lower()) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
        }
        everything = {**os.environ, **own, **(env or {})}
        command = [str(self.program), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=everything, timeout=timeout)
        if done.returncode != 0:
            raise HelmRefused(f"{done.stderr}{done.stdout}")
        return done.stdout

    def template(
        self, values: Object | None = None, *, given: Sequence[str] = NEEDED, more: Sequence[str] = ()
    ) -> list[Object]:
        """The objects of the release `rel` in namespace `watch`, in the order in which helm gives them."""
        words = ["template", "rel", str(CHART), "--namespace", "watch", *more]
        words += [word for one in given for word in ("--set", one)]
        if values is not None:
            file = self.home / "values.json"
            file.write_text(json.dumps(values), encoding="utf-8")
            words += ["-f", str(file)]
        return [one for one in yaml.safe_load_all(self.run(*words)) if one]


def one(objects: Sequence[Object], kind: str) -> Object:
    """The only object of a kind."""
    (found,) = [each for each in objects if each["kind"] == kind]
    return found


def kinds(objects: Sequence[Object]) -> list[str]:
    """Kinds with their number, sorted."""
    return sorted(each["kind"] for each in objects)
