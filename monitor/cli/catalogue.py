"""`aftershock faults`: what can be broken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.catalogue import UnknownFault, catalogue, describe, find
from monitor.cli.context import Config, Json, Url, connect, in_cluster, plain_group, settings_from
from monitor.cli.errors import BadUsage, Unreachable
from monitor.cli.figures import NOTHING, number, words
from monitor.cli.render import complain, heading, pairs, print_json, say, table

group = plain_group("What can be broken.")


@group.command("ls")
def list_faults(context: typer.Context, url: Url = None, config: Config = None, json_: Json = False) -> None:
    """List the faults of the catalogue.

    Asks the service; without one it shows the built-in catalogue, with -c FILE that of a configuration.

    \b
    Example: aftershock faults ls
    Exit codes: 0 fine, 2 bad usage or configuration.
    """
    listed, _ = _known(context, url, config)
    if json_:
        print_json({"faults": listed})
        return
    head = ("fault", "kind", "layer", "heals", "can run", "what it does")
    table(head, [_row(one) for one in listed])


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    usable = "yes" if one.get("usable", True) else f"no: {one.get('why_not')}"
    return (one["name"], one["kind"], one["layer"], one["heals"], usable, one["description"])


@group.command("show")
def show_fault(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="FAULT", help="Name in the catalogue.")],
    url: Url = None,
    config: Config = None,
    json_: Json = False,
) -> None:
    """Show one fault: its facts, its parameters, its objectives, and a command to try.

    \b
    Example: aftershock faults show worker_stall
    Exit codes: 0 fine, 2 unknown fault, bad usage or configuration.
    """
    listed, schemas = _known(context, url, config)
    one = next((entry for entry in listed if entry["name"] == name), None)
    if one is None:
        raise BadUsage(_unknown(name, listed))
    schema = schemas.get(one["kind"], {})
    if json_:
        print_json(one | {"schema": schema})
        return
    _show(one, schema)


def _unknown(name: str, listed: list[dict[str, Any]]) -> str:
    try:
        find(dict.fromkeys((entry["name"] for entry in listed), None), name)  # type: ignore[arg-type]
    except UnknownFault as error:
        return str(error)
    return f"no fault is called {name!r}"


def _known(
    context: typer.Context, url: str | None, config: Path | None
) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    """The catalogue and the schemas of its kinds, from the configuration, the service or the program itself."""
    if config is not None:
        return _local(config)
    try:
        with connect(context, url) as client:
            return client.faults(), client.kinds()
    except Unreachable as error:
        if in_cluster(context, url):
            raise  # whoever asks for one in a cluster does not mean the one of this program
        complain(f"no service at {error.url}, so this is the built-in catalogue; -c FILE shows that of a configuration")
        return _local(None)


def _local(config: Path | None) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    settings = settings_from(config) if config is not None else None
    entries = catalogue(settings.faults if settings is not None else {})
    has_target = settings is None or settings.deployment.target is not None
    allowed = settings.guard.allowed_kinds if settings is not None else None
    listed = [describe(name, entry, has_target=has_target, allowed=allowed) for name, entry in entries.items()]
    return listed, {e.fault.kind: type(e.fault).model_json_schema() for e in entries.values()}


# --- one fault ------------------------------------------------------------------------------------


def _show(one: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    rows = [
        ("fault", one["name"]),
        ("", one["description"]),
        ("kind", one["kind"]),
        ("layer", one["layer"]),
        ("heals", one["heals"]),
        ("longest", number(one["longest_seconds"], " s") if one["longest_seconds"] else "acts in an instant"),
        ("needs", words([one["privilege"], *one["permissions"]])),
        ("who notices", one["fools"]),
    ]
    if not one.get("usable", True):
        rows.append(("cannot run", one["why_not"]))
    pairs(rows)
    spec = {key: value for key, value in one["fault"].items() if key != "kind"}
    fields = {key: value for key, value in schema.get("properties", {}).items() if key != "kind"}
    if fields:
        heading("Parameters (change them with --set)")
        rows_of = [
            (key, _value(spec.get(key)), type_words(field, schema), _about(field)) for key, field in fields.items()
        ]
        table(("parameter", "value", "type", "meaning"), rows_of)
    limits = {key: value for key, value in (one.get("objectives") or {}).items() if value is not None}
    heading("Objectives")
    say(words(f"{key} {value:g}" for key, value in limits.items()) if limits else "none; runs of it are not judged")
    heading("Try")
    say(f"aftershock inject {one['name']} --dry-run")
    if fields:
        say(f"aftershock inject {one['name']} --set {_example(spec)}")


def _value(value: object) -> str:
    if value is None:
        return NOTHING
    return words(str(one) for one in value) if isinstance(value, list) else str(value)


def _about(field: Mapping[str, Any]) -> str:
    bounds = {"exclusiveMinimum": "above", "minimum": "from", "exclusiveMaximum": "below", "maximum": "up to"}
    limits = " ".join(f"{word} {field[key]:g}" for key, word in bounds.items() if key in field)
    about = str(field.get("description", ""))
    return f"{about} ({limits})" if limits else about


def _example(spec: Mapping[str, Any]) -> str:
    for key in ("duration_seconds", "signal", "instances"):
        if key in spec:
            return f"{key}={ {'duration_seconds': '3', 'signal': 'SIGTERM', 'instances': 'random'}[key] }"
    key = next(iter(spec))
    return f"{key}={_value(spec[key])}"


def type_words(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """A JSON schema's type in a word or two."""
    if "$ref" in field:
        name = str(field["$ref"]).rpartition("/")[2]
        return type_words(schema.get("$defs", {}).get(name, {}), schema)
    if "allOf" in field:
        return type_words(field["allOf"][0], schema)
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(type_words(one, schema) for one in field["anyOf"]))
    if "enum" in field:
        return " or ".join(str(one) for one in field["enum"])
    names = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "null": "nothing",
    }
    if field.get("type") == "array":
        return f"list of {type_words(field.get('items', {}), schema)}"
    return names.get(str(field.get("type")), "group")
