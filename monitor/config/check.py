"""Loads a configuration and names every mistake in it, one line each."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from faults.catalogue import builtin
from monitor.catalogue import catalogue
from monitor.config import sense
from monitor.config.explain import UNKNOWN_KEY, fault_kinds, findings_of, model_at
from monitor.config.overlay import FileSettings, merged, overlay, variable_of
from monitor.config.problem import Finding, Problem, near, nearest, path_text
from monitor.config.repair import repair, touches
from monitor.config.settings import Settings
from monitor.config.yamlfile import Document, FileTrouble, Location, read

__all__ = ["ConfigError", "Problem", "load", "problems"]

ROUNDS = 50
"""Repairs may bring more mistakes to light; after this many rounds the rest stays unseen."""


class ConfigError(Exception):
    """The configuration has mistakes; `problems` holds all that were found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def load(path: Path, env: Mapping[str, str] | None = None) -> Settings:
    """The settings of a file with the environment on top. Raises `ConfigError`."""
    settings, mistakes = _examine(path, os.environ if env is None else env)
    if mistakes or settings is None:
        raise ConfigError(mistakes)
    return settings


def problems(path: Path, env: Mapping[str, str] | None = None, *, ask: bool = False) -> list[Problem]:
    """Every mistake, in the order of the file; empty when `load` would succeed.

    With `ask`, a server of `store.url` is asked too whether it could be used; nothing is changed there.
    """
    return _examine(path, os.environ if env is None else env, ask=ask)[1]


def _examine(path: Path, env: Mapping[str, str], *, ask: bool = False) -> tuple[Settings | None, list[Problem]]:
    try:
        document = read(path)
    except FileTrouble as trouble:
        where = str(path) if trouble.line is None else f"{path}:{trouble.line}"
        return None, [Problem(where, "", str(trouble), "")]
    from_env, env_mistakes = overlay(env)
    desk = _Desk(path, document, env, merged(document.data, from_env))
    settings = desk.validate()
    if settings is not None:
        desk.make_sense(settings)
        if ask:
            desk.ask_store(settings)
    found = [Problem(f"environment {name}", "", what, right) for name, what, right in env_mistakes]
    return settings, [*found, *desk.duplicates(), *desk.in_order()]


@dataclass(slots=True)
class _Desk:
    """One examination."""

    path: Path
    document: Document
    env: Mapping[str, str]
    data: dict[str, Any]
    spoiled: list[Location] = field(default_factory=list)
    found: list[Finding] = field(default_factory=list)

    def validate(self) -> Settings | None:
        """Settings of what is right in the file, with stand-ins for what is not."""
        data = copy.deepcopy(self.data)
        self._note_all(_faults_without_fault(data), data)
        for _ in range(ROUNDS):
            try:
                return FileSettings(**data)
            except ValidationError as error:
                before = copy.deepcopy(data)
                self._note_all(findings_of(error, before), data)
                if data == before:
                    return None
        return None

    def _note_all(self, findings: list[Finding], data: dict[str, Any]) -> None:
        earlier = list(self.spoiled)
        fresh: list[Location] = []
        noted: list[Location] = []
        # Deepest first: what pydantic says of a whole is often only the echo of what it says of a part.
        for finding in sorted(findings, key=lambda one: -len(one.location)):
            if any(one != finding.location and one[: len(finding.location)] == finding.location for one in noted):
                continue
            noted.append(finding.location)
            if not touches(finding.location, earlier):
                self.found.append(finding)
            if not touches(finding.location, fresh):
                fresh += self._repair(finding, data)
        self.spoiled += fresh

    def _repair(self, finding: Finding, data: dict[str, Any]) -> list[Location]:
        unknown = finding.what == UNKNOWN_KEY
        spoiled = [repair(data, finding.location, unknown_key=unknown)]
        if unknown:
            # What the key was probably meant to be has its default now.
            model = model_at(finding.location[:-1], self.data)
            meant = nearest(str(finding.location[-1]), model.model_fields if model is not None else ())
            spoiled += [(*finding.location[:-1], meant)] if meant else []
        return spoiled

    def make_sense(self, settings: Settings) -> None:
        """Add the mistakes that take more than one value, but for those that were judged by a stand-in."""
        given = self.data.get("faults")
        named = frozenset(builtin()) | frozenset(given if isinstance(given, dict) else ())
        broken = {one[1] for one in self.spoiled if len(one) > 1 and one[0] == "faults"}
        entries = {name: entry for name, entry in catalogue(settings.faults).items() if name not in broken}
        scene = sense.Scene(settings, entries, named, tuple(fault_kinds()), self.env)
        for finding in sense.findings(scene):
            if not any(touches(one, self.spoiled) for one in (finding.location, *finding.uses)):
                self.found.append(finding)

    def ask_store(self, settings: Settings) -> None:
        """Add why the store's server could not be used, unless its address is wrong already."""
        at: Location = ("store", "url")
        if settings.store.url is None or touches(at, [one.location for one in self.found]):
            return
        from monitor.store.usable import unusable  # noqa: PLC0415 - only `check` asks

        reason = unusable(settings.store.url)
        if reason is not None:
            self.found.append(Finding(at, reason))

    def duplicates(self) -> list[Problem]:
        """Keys that stand twice."""
        return [
            Problem(
                f"{self.path}:{line}",
                path_text(at),
                f"stands here for the second time, first in line {first}",
                "keep one",
            )
            for at, line, first in self.document.duplicates
        ]

    def in_order(self) -> list[Problem]:
        """The findings as problems, by line."""
        placed = [(self.document.line_of(one.location) or 0, one) for one in self.found]
        return [self._problem(line, one) for line, one in sorted(placed, key=lambda pair: pair[0])]

    def _problem(self, line: int, finding: Finding) -> Problem:
        variable = variable_of(finding.location, self.env)
        where = f"environment {variable}" if variable else f"{self.path}:{line}" if line else str(self.path)
        return Problem(where, path_text(finding.location), finding.what, finding.right)


def _faults_without_fault(data: Mapping[str, Any]) -> list[Finding]:
    """Entries that say no fault and borrow none from the built-in catalogue."""
    given = data.get("faults")
    known = builtin()
    found = []
    for name, entry in given.items() if isinstance(given, dict) else ():
        if isinstance(entry, dict) and entry.get("fault") is None and name not in known:
            meant = near(name, known)
            right = meant if meant.startswith("did") else "write fault: {kind: ...}"
            what = "is missing, and no built-in fault has this name"
            found.append(Finding(("faults", name, "fault"), what, right))
    return found
