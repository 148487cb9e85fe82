"""The supervisor's YAML file: its models, its placeholders and its mistakes, one line each."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from faults.base import Frozen

# `${HOME}` belongs to a shell, so a dollar sign keeps the braces as they are.
_PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_][A-Za-z0-9_]*)\}")
_DEEPEST = 8


class SpecError(Exception):
    """The file cannot be used; `lines` says why, one mistake a line."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def _text(given: object) -> object:
    """YAML makes numbers of ports and counts; what they become is still text."""
    if isinstance(given, bool):
        raise ValueError(f"write it in quotes; without them {str(given).lower()} could mean several texts")  # noqa: TRY004 - pydantic collects ValueError
    return str(given) if isinstance(given, int | float) else given


Text = Annotated[str, BeforeValidator(_text)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]


class ReadyCheck(Frozen):
    """How to see that an instance serves: `http` (2xx, and optionally a text in the answer) or `tcp`."""

    http: Text | None = None
    contains: Text | None = None
    tcp: Text | None = None
    timeout_seconds: float = Field(default=60.0, gt=0, description="After this the instance is reported as not ready.")

    @model_validator(mode="after")
    def _one_kind(self) -> ReadyCheck:
        if (self.http is None) == (self.tcp is None):
            raise ValueError("give either http or tcp")
        if self.contains is not None and self.http is None:
            raise ValueError("contains needs http")
        if self.http is not None and not self.http.startswith(("http://", "https://")):
            raise ValueError("http must be an http:// or https:// address")
        if self.tcp is not None and not re.fullmatch(r".+:(\d+|\{\w+\})", self.tcp):
            raise ValueError("tcp must be host:port, such as 127.0.0.1:2379")
        return self


class Restart(Frozen):
    """What happens when an instance has ended."""

    when: Literal["always", "on_failure", "never"] = "always"
    delay_seconds: float = Field(default=1.0, ge=0, le=3600)


class InstanceSpec(Frozen):
    """What one instance has of its own."""

    env: dict[str, Text] = Field(default_factory=dict)


class ComponentSpec(Frozen):
    """One component: a command that runs once or several times."""

    name: Name
    command: tuple[Text, ...] = Field(min_length=1)
    replicas: int = Field(default=1, ge=1, le=1000)
    env: dict[str, Text] = Field(default_factory=dict, description="On top of the supervisor's environment.")
    instances: tuple[InstanceSpec, ...] = ()
    ready: ReadyCheck | None = None
    restart: Restart = Restart()
    start_after: tuple[str, ...] = ()
    stop_signal: str = "SIGTERM"

    @model_validator(mode="before")
    @classmethod
    def _replicas_from_instances(cls, given: object) -> object:
        if isinstance(given, dict) and given.get("instances") and "replicas" not in given:
            return {**given, "replicas": len(given["instances"])}
        return given

    @field_validator("stop_signal")
    @classmethod
    def _known_signal(cls, given: str) -> str:
        if given not in signal.Signals.__members__:
            raise ValueError(f"{given!r} is not the name of a signal, such as SIGTERM or SIGINT")
        return given

    @model_validator(mode="after")
    def _one_entry_an_instance(self) -> ComponentSpec:
        if self.instances and len(self.instances) != self.replicas:
            raise ValueError(f"replicas is {self.replicas} and instances has {len(self.instances)} entries")
        return self


def start_order(components: Sequence[ComponentSpec]) -> list[str]:
    """Component names so that each comes after all that it needs; raises `ValueError` for a circle."""
    waiting = {component.name: set(component.start_after) for component in components}
    order: list[str] = []
    while waiting:
        free = [name for name, needs in waiting.items() if needs.issubset(order)]
        if not free:
            raise ValueError(f"start_after goes in a circle: {', '.join(waiting)}")
        order += free
        waiting = {name: needs for name, needs in waiting.items() if name not in free}
    return order


class SupervisorSpec(Frozen):
    """The whole file."""

    name: Name = "deployment"
    components: tuple[ComponentSpec, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_fit(self) -> SupervisorSpec:
        names = [component.name for component in self.components]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"component names must differ; {', '.join(twice)} is there more than once")
        for component in self.components:
            unknown = [name for name in component.start_after if name not in names]
            if unknown:
                raise ValueError(f"{component.name}.start_after: no component is called {', '.join(unknown)}")
        start_order(self.components)
        return self


class Prepared(Frozen):
    """One instance with every placeholder filled in."""

    component: ComponentSpec
    name: str
    command: tuple[str, ...]
    env: dict[str, str]
    ready: ReadyCheck | None


def load(path: Path) -> SupervisorSpec:
    """Read and check a file; raises `SpecError`."""
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError([f"{path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise SpecError([f"{path}: is not text"]) from None
    except yaml.YAMLError as error:
        raise SpecError([f"{path}: is not YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(given, dict):
        raise SpecError([f"{path}: must hold a mapping with the key components"])
    try:
        return SupervisorSpec.model_validate(given)
    except ValidationError as error:
        raise SpecError([f"{path}: {line}" for line in _lines(error)]) from None


def _lines(error: ValidationError) -> list[str]:
    lines = []
    errors = error.errors()
    for one in errors:
        # Items with mistakes are not counted, so a list of one bad item is called too short as well.
        if one["type"] == "too_short" and any(
            other["loc"][: len(one["loc"])] == one["loc"] != other["loc"] for other in errors
        ):
            continue
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in one["loc"]).lstrip(".")
        what = "unknown key" if one["type"] == "extra_forbidden" else one["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {what}" if where else what)
    return lines


def prepare(spec: SupervisorSpec, folder: Path, environment: Mapping[str, str]) -> list[Prepared]:
    """All instances in the order of the file; raises `SpecError` for placeholders and programs that are not there."""
    prepared: list[Prepared] = []
    problems: list[str] = []
    for component in spec.components:
        for index in range(component.replicas):
            try:
                prepared.append(_prepare(component, index, folder, environment))
            except ValidationError as error:
                problems += [f"{component.name}-{index}: ready: {line}" for line in _lines(error)]
            except ValueError as error:
                problems.append(f"{component.name}-{index}: {error}")
    if problems:
        raise SpecError(problems)
    return prepared


def _prepare(component: ComponentSpec, index: int, folder: Path, environment: Mapping[str, str]) -> Prepared:
    name = f"{component.name}-{index}"
    own = dict(component.env)
    if component.instances:
        own |= component.instances[index].env
    words = own | {"index": str(index), "name": name, "dir": str(folder)}
    env = {key: fill(value, words) for key, value in own.items()}
    command = tuple(fill(word, words) for word in component.command)
    path = env.get("PATH", environment.get("PATH"))
    if shutil.which(command[0], path=path) is None:
        raise ValueError(f"command: the program {command[0]} is not there, or may not be executed")
    return Prepared(component=component, name=name, command=command, env=env, ready=_filled(component.ready, words))


def _filled(ready: ReadyCheck | None, words: Mapping[str, str]) -> ReadyCheck | None:
    if ready is None:
        return None
    values: dict[str, Any] = ready.model_dump()
    return ReadyCheck.model_validate(
        {key: fill(value, words) if isinstance(value, str) else value for key, value in values.items()}
    )


def fill(text: str, words: Mapping[str, str]) -> str:
    """Replace `{word}`, also inside what was put in; raises `ValueError` for unknown words and circles."""

    def value_of(match: re.Match[str]) -> str:
        word = match.group(1)
        if word not in words:
            raise ValueError(f"unknown placeholder {{{word}}}; there is {', '.join(sorted(words))}")
        return words[word]

    for _ in range(_DEEPEST):
        filled = _PLACEHOLDER.sub(value_of, text)
        if filled == text:
            return filled
        text = filled
    raise ValueError(f"placeholders go in a circle: {text}")
