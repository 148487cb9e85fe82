"""pydantic's errors as findings a person can act on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from monitor.config.problem import Finding, near, nearest, shown
from monitor.config.settings import CronTiming, IntervalTiming, RandomTiming, Settings
from monitor.config.yamlfile import Location

TIMINGS: dict[str, type[BaseModel]] = {
    "cron": CronTiming,
    "every_seconds": IntervalTiming,
    "random_per_day": RandomTiming,
}
"""Which key makes which timing."""

UNKNOWN_KEY = "unknown key"
NAME_RIGHT = "lower-case letters, digits and hyphens, at most 40, such as chat-short"
FAULT_NAME_RIGHT = "lower-case letters, digits, hyphens and underscores, at most 60, such as worker_stall"


def findings_of(error: ValidationError, data: Mapping[str, Any]) -> list[Finding]:
    """One finding a mistake: the variants of a union that nobody meant are left out."""
    found: dict[tuple[Location, str], Finding] = {}
    for detail in error.errors():
        for finding in _of_detail(detail, data):
            found.setdefault((finding.location, finding.what), finding)
    return list(found.values())


def _of_detail(detail: ErrorDetails, data: Mapping[str, Any]) -> Iterator[Finding]:
    raw = detail["loc"]
    location = locate(raw, data, missing=detail["type"] == "missing")
    if "timing" in raw[:-1]:
        end = location.index("timing") + 1
        timing = value_at(data, location[:end])
        if isinstance(timing, Mapping):
            yield from _of_timing(detail, location, location[:end], timing)
            return
    yield _explained(detail, location, data)


def _of_timing(detail: ErrorDetails, location: Location, at: Location, timing: Mapping[str, Any]) -> Iterator[Finding]:
    given = [key for key in TIMINGS if key in timing]
    if len(given) != 1:
        names = ", ".join(TIMINGS)
        seen = f"has {' and '.join(given)}" if given else f"has none of {names}"
        hints = [f"{key} is probably {meant}" for key in timing if (meant := nearest(key, TIMINGS)) and not given]
        yield Finding(at, seen, "; ".join([f"give exactly one of {names}", *hints]))
        return
    variant = TIMINGS[given[0]]
    if variant.__name__ not in detail["loc"]:
        return
    if detail["type"] == "extra_forbidden":
        key = str(location[-1])
        yield Finding(location, UNKNOWN_KEY, near(key, variant.model_fields))
    else:
        yield Finding(location, *_words(detail, location, variant.model_fields[given[0]].description or ""))


def _explained(detail: ErrorDetails, location: Location, data: Mapping[str, Any]) -> Finding:
    kind = detail["type"]
    if kind == "extra_forbidden":
        model = model_at(location[:-1], data)
        known = model.model_fields if model is not None else {}
        return Finding(location, UNKNOWN_KEY, near(str(location[-1]), known))
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        kinds = [k.strip().strip("'") for k in str(detail.get("ctx", {}).get("expected_tags", "")).split(",")]
        given = str(detail.get("ctx", {}).get("tag", ""))
        if given:
            of = "target" if location[-1:] == ("target",) else "fault"
            return Finding((*location, "kind"), f"{shown(given)} is not a kind of {of}", near(given, kinds))
        right = (
            f"there are {', '.join(k for k in kinds if k)}" if any(kinds) else f"there are {', '.join(fault_kinds())}"
        )
        return Finding((*location, "kind"), "is missing", right)
    parent = model_at(location[:-1], data)
    field = parent.model_fields.get(str(location[-1])) if parent is not None and location else None
    return Finding(location, *_words(detail, location, (field.description if field else "") or ""))


def _number(words: str) -> Callable[[ErrorDetails], tuple[str, str]]:
    return lambda detail: (f"{shown(detail['input'])} is not {words}", "")


def _bound(sign: str, key: str) -> Callable[[ErrorDetails], tuple[str, str]]:
    def words(detail: ErrorDetails) -> tuple[str, str]:
        limit = detail.get("ctx", {})[key]
        return f"{shown(detail['input'])} is out of range", f"must be {sign} {limit:g}"

    return words


_WORDS: dict[str, Callable[[ErrorDetails], tuple[str, str]]] = {
    "int_parsing": _number("a whole number"),
    "int_type": _number("a whole number"),
    "int_from_float": _number("a whole number"),
    "float_parsing": _number("a number"),
    "float_type": _number("a number"),
    "finite_number": _number("a finite number"),
    "bool_parsing": _number("true or false"),
    "bool_type": _number("true or false"),
    "greater_than": _bound("greater than", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than": _bound("less than", "lt"),
    "less_than_equal": _bound("at most", "le"),
    "string_type": lambda d: (f"{shown(d['input'])} is not text", f'put it in quotes: "{d["input"]}"'),
    "string_too_short": lambda _: ("is empty", ""),
    "tuple_type": lambda d: (f"{shown(d['input'])} is not a list", "write [a, b]"),
    "list_type": lambda d: (f"{shown(d['input'])} is not a list", "write [a, b]"),
    "dict_type": lambda d: (f"{shown(d['input'])} is not a set of keys and values", ""),
    "model_type": lambda d: (f"{shown(d['input'])} is not a set of keys and values", ""),
    "model_attributes_type": lambda d: (f"{shown(d['input'])} is not a set of keys and values", ""),
    "too_short": lambda d: ("has too few entries", f"give at least {d.get('ctx', {}).get('min_length', 1)}"),
    "too_long": lambda d: ("has too many entries", f"give at most {d.get('ctx', {}).get('max_length', 1)}"),
    "literal_error": lambda d: (
        f"{shown(d['input'])} is not allowed",
        f"must be {d.get('ctx', {}).get('expected', '')}",
    ),
}


def _words(detail: ErrorDetails, location: Location, description: str) -> tuple[str, str]:
    kind = detail["type"]
    if kind == "missing":
        return "is missing", description[:1].lower() + description[1:].rstrip(".")
    if kind == "string_pattern_mismatch":
        right = FAULT_NAME_RIGHT if location[:1] == ("faults",) else NAME_RIGHT
        return f"{shown(detail['input'])} is not a name", right
    if kind in _WORDS:
        return _WORDS[kind](detail)
    text = detail["msg"].removeprefix("Value error, ").rstrip(".")
    what, _, right = text.partition("; ")
    quoted = shown(detail["input"])
    if text.startswith("must "):
        return f"{quoted} is not allowed", text
    return (what if quoted[1:-1] in what else f"{quoted} {what}"), right


def fault_kinds() -> list[str]:
    """Every kind of the registry."""
    from faults.registry import AnyFault  # noqa: PLC0415 - only for a mistake's text

    return sorted(_tags(AnyFault))


# --- where an error lies ------------------------------------------------------------------------


def locate(raw: tuple[int | str, ...], data: Any, *, missing: bool) -> Location:
    """pydantic's location without the tags of unions, which are not in the file."""
    found: list[int | str] = []
    here = data
    for index, part in enumerate(raw):
        inside = (isinstance(here, Mapping) and part in here) or (
            isinstance(here, list) and isinstance(part, int) and part < len(here)
        )
        if inside:
            found.append(part)
            here = here[part]
        elif missing and index == len(raw) - 1:
            found.append(part)
    return tuple(found)


def value_at(data: Any, location: Location) -> Any:
    """The value at a location, or None."""
    for part in location:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def model_at(location: Location, data: Mapping[str, Any]) -> type[BaseModel] | None:
    """The model whose keys stand at a location; unions are settled by what the file says there."""
    annotation: Any = Settings
    here: Any = data
    for part in location:
        model = _settled(annotation, here)
        if model is not None and part in model.model_fields:
            annotation = model.model_fields[str(part)].annotation
        else:
            annotation = _item(annotation)
        here = value_at(here, (part,))
    return _settled(annotation, here)


def _settled(annotation: Any, value: Any) -> type[BaseModel] | None:
    models = list(_models(annotation))
    if len(models) <= 1:
        return models[0] if models else None
    if isinstance(value, Mapping):
        for model in models:
            # A target without a kind is a local one; a fault has to name its own.
            if value.get("kind", "local") in _kinds_of(model):
                return model
    return None


def _item(annotation: Any) -> Any:
    """What a list or a mapping holds."""
    if get_origin(annotation) is Annotated:
        return _item(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return next((_item(one) for one in get_args(annotation) if get_args(one)), None)
    args = [one for one in get_args(annotation) if one is not Ellipsis]
    return args[-1] if args else None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in {Union, UnionType, Annotated}:
        for one in get_args(annotation):
            yield from _models(one)


def _kinds_of(model: type[BaseModel]) -> tuple[Any, ...]:
    field = model.model_fields.get("kind")
    return get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()


def _tags(annotation: Any) -> list[str]:
    return [cast("str", kind) for model in _models(annotation) for kind in _kinds_of(model)]
