"""Tables of the documents that are made from the code: `make docs` rewrites them in place."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dashboards.rules.build import alerts, inhibition
from dashboards.rules.build import text_of as rules_text
from dashboards.rules.facts import Facts
from faults.catalogue import builtin
from monitor.chart.build import values_table
from monitor.chart.rights import kinds
from monitor.config.settings import Settings
from monitor.export.metric_names import METRICS


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"

    names = list(head)
    return "\n".join([line(names), line(["---"] * len(names)), *(line(r) for r in rows)])


def catalogue_table() -> str:
    """Every built-in catalogue entry with the facts of its kind."""
    rows = [
        [f"`{name}`", f"`{e.fault.kind}`", e.fault.facts.layer.value, e.fault.facts.heals, e.description]
        for name, e in builtin().items()
    ]
    return table(["fault", "kind", "layer", "heals", "what it does"], rows)


def kinds_table() -> str:
    """Every kind with what it needs and which layers notice it."""
    kinds = {e.fault.kind: e.fault for e in builtin().values()}
    rows = [
        [
            f"`{kind}`",
            f"{f.facts.longest_seconds:g} s" if f.facts.longest_seconds else "an instant",
            f.facts.privilege,
            ", ".join(f.facts.permissions),
            f.facts.fools,
        ]
        for kind, f in kinds.items()
    ]
    return table(["kind", "longest", "needs", "Kubernetes rights, for pods", "who notices"], rows)


def settings_table() -> str:
    """Every setting by its path in the configuration file."""
    return table(["setting", "default", "meaning"], _fields(Settings, ""))


def _fields(model: type[BaseModel], prefix: str) -> list[list[str]]:
    rows: list[list[str]] = []
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        inner, many = _inner(field)
        rows.append([f"`{path}{'[]' if many else ''}`", _default(field), field.description or ""])
        if name not in {"faults", "timing"}:
            for each in inner:
                below = _fields(each, f"{path}{'[]' if many else ''}.")
                rows += [[row, default, _of_kind(each, inner) + text] for row, default, text in below]
    return rows


def _of_kind(model: type[BaseModel], alternatives: list[type[BaseModel]]) -> str:
    """Which of several alternatives a setting belongs to."""
    kind = model.model_fields.get("kind")
    return f"({get_args(kind.annotation)[0]}) " if kind is not None and len(alternatives) > 1 else ""


def _inner(field: FieldInfo) -> tuple[list[type[BaseModel]], bool]:
    """The models inside an annotation, and whether there can be several of them in a row."""
    leaves = _leaves(field.annotation)
    found = [a for a in leaves if isinstance(a, type) and issubclass(a, BaseModel)]
    many = str(field.annotation).startswith("tuple")
    return found, many and bool(found)


def _leaves(annotation: object) -> list[object]:
    if get_origin(annotation) is Annotated:
        return _leaves(get_args(annotation)[0])
    args = getattr(annotation, "__args__", ())
    return [leaf for a in args for leaf in _leaves(a)] if args else [annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or isinstance(value, BaseModel) or value in ((), {}, ""):
        return ""
    return f"`{value}`"


def metrics_table() -> str:
    """Every metric with type, labels, buckets and meaning."""
    rows = [
        [
            f"`{m.name}`",
            m.kind.value,
            ", ".join(f"`{label}`" for label in m.labels),
            m.unit,
            " ".join(f"{b:g}" for b in m.buckets),
            m.help,
        ]
        for m in METRICS
    ]
    return table(["metric", "type", "labels", "unit", "buckets", "meaning"], rows)


def alerts_table() -> str:
    """Every alert that `aftershock rules build` writes."""
    facts = Facts(
        "NAME", good_ratio=0.99, period_seconds=7 * 86_400, request_rate=1, request_timeout_seconds=30, probes=()
    )
    rows = [
        [
            f"[{one.name}](runbooks/{one.name}.md)",
            one.severity,
            "at once" if one.hold == "0s" else one.hold,
            "yes" if one.symptom else "",
            re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: found[1].upper(), one.summary.removeprefix("NAME: ")),
        ]
        for one in alerts(facts)
    ]
    return table(["alert", "severity", "after", "held back by a planned fault", "says"], rows)


def inhibition_text() -> str:
    """The inhibition for Alertmanager, as YAML."""
    return f"```yaml\n{rules_text(inhibition()).rstrip()}\n```"


def rights_table() -> str:
    """What each kind of fault needs of the cluster."""
    rows = [
        [f"`{kind}`", ", ".join(f"{verb} `{what}`" for verb, _, what in (one.partition(" ") for one in needed)) or "-"]
        for kind, needed in kinds().items()
    ]
    return table(["kind", "needs"], rows)


SECTIONS = {
    "alerts": alerts_table,
    "inhibition": inhibition_text,
    "catalogue": catalogue_table,
    "kinds": kinds_table,
    "settings": settings_table,
    "metrics": metrics_table,
    "values": values_table,
    "rights": rights_table,
}


def rewrite(text: str) -> str:
    """The text with every `<!-- made from the code: NAME -->` section made anew. Raises ValueError for a broken marker."""
    for name, make in SECTIONS.items():
        begin, end = f"<!-- made from the code: {name} -->", f"<!-- end: {name} -->"
        if begin not in text:
            continue
        head, _, rest = text.partition(begin)
        _, found, tail = rest.partition(end)
        if not found:
            raise ValueError(f"{begin} has no {end}")
        text = f"{head}{begin}\n{make()}\n{end}{tail}"
    return text


def main() -> None:
    """Rewrite the files that are named on the command line."""
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(rewrite(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
