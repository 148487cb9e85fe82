"""A YAML file as data, with the line of every value and every mistake of the file itself.

The numbers are those of YAML 1.2. PyYAML's own reading of YAML 1.1 makes 1020 of an unquoted `17:00`,
which is what people write for the end of a daily window, and text of `1e3`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Key = str | int
Location = tuple[Key, ...]

MOST_NODES = 100_000
"""More than any sane configuration; aliases of aliases grow beyond all bounds."""


class FileTrouble(Exception):
    """The file cannot be used at all; one line, with the line number where one is known."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(slots=True)
class Document:
    """What a file says. Lines count from 1."""

    data: dict[str, Any]
    lines: dict[Location, int] = field(default_factory=dict)
    duplicates: list[tuple[Location, int, int]] = field(default_factory=list)
    """Where a key stands twice: its location, the line of the repetition, the line of the first."""

    def line_of(self, location: Location) -> int | None:
        """Line of a value, or of the nearest thing around it that the file has."""
        for length in range(len(location), 0, -1):
            if location[:length] in self.lines:
                return self.lines[location[:length]]
        return 1 if self.data else None


class _Loader(yaml.SafeLoader):
    """Safe loader with the numbers of YAML 1.2."""


_NUMBERS = {
    "tag:yaml.org,2002:int": re.compile(r"^[-+]?[0-9]+$|^0x[0-9a-fA-F]+$"),
    "tag:yaml.org,2002:float": re.compile(
        r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?$|^[-+]?[0-9]+[eE][-+]?[0-9]+$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"
    ),
}
_DROPPED = {*_NUMBERS, "tag:yaml.org,2002:timestamp"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regex) for tag, regex in resolvers if tag not in _DROPPED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _regex in _NUMBERS.items():
    _Loader.add_implicit_resolver(_tag, _regex, list("-+.0123456789"))


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    # int() and not YAML 1.1's constructor, which reads 010 as eight.
    return int(text, 16) if text.startswith("0x") else int(text)


_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)


def read(path: Path) -> Document:
    """Read a file. Raises `FileTrouble`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileTrouble(f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise FileTrouble("is not UTF-8 text") from None
    return parse(text)


def parse(text: str) -> Document:
    """Parse a text. Raises `FileTrouble`."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise FileTrouble("is empty; a configuration needs at least deployment and probes")
        if not isinstance(node, yaml.MappingNode):
            raise FileTrouble("does not hold keys and values at its top level", node.start_mark.line + 1)
        document = Document({})
        _Walk(document).mapping(node, ())
        document.data = _text_keys(loader.construct_document(node))
    except yaml.YAMLError as error:
        raise FileTrouble(*_words(error)) from None
    except (ValueError, TypeError) as error:
        raise FileTrouble(f"is not usable YAML: {error}") from None
    finally:
        loader.dispose()
    return document


def _text_keys(value: Any) -> Any:
    """YAML makes booleans and numbers of some keys; every key that we know is text."""
    if isinstance(value, dict):
        return {str(key): _text_keys(inner) for key, inner in value.items()}
    return [_text_keys(inner) for inner in value] if isinstance(value, list) else value


def _words(error: yaml.YAMLError) -> tuple[str, int | None]:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem is not None:
        mark = error.problem_mark or error.context_mark
        context = f" ({error.context})" if error.context else ""
        return f"is not YAML: {error.problem}{context}", mark.line + 1 if mark else None
    return f"is not YAML: {str(error).splitlines()[0]}", None


@dataclass(slots=True)
class _Walk:
    document: Document
    nodes: int = 0
    above: list[int] = field(default_factory=list)

    def node(self, node: yaml.Node, at: Location) -> None:
        self.nodes += 1
        if self.nodes > MOST_NODES or id(node) in self.above:
            raise FileTrouble("is too large, or an alias in it contains itself", node.start_mark.line + 1)
        self.above.append(id(node))
        if isinstance(node, yaml.MappingNode):
            self.mapping(node, at)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.document.lines[(*at, index)] = item.start_mark.line + 1
                self.node(item, (*at, index))
        self.above.pop()

    def mapping(self, node: yaml.MappingNode, at: Location) -> None:
        own: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = str(key.value)
            if key.tag == "tag:yaml.org,2002:merge":
                self._merged(value, at)
                continue
            if name in own:
                self.document.duplicates.append(((*at, name), line, own[name]))
            own.setdefault(name, line)
            self.document.lines[(*at, name)] = line
            self.node(value, (*at, name))

    def _merged(self, value: yaml.Node, at: Location) -> None:
        for one in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            self.node(one, at)
