"""The modules without elements, in the browser that runs them: event stream, schema, series."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from tests.page.scripted import ScriptedMonitor
from tests.page.world import World
from tests.support.serving import running


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """A page of the monitor that does nothing: its modules can be imported there."""
    with running(ScriptedMonitor(World()).server) as url:
        context = browser.new_context()
        made = context.new_page()
        made.goto(f"{url}/static/uPlot.LICENSE.txt")
        yield made
        context.close()


PARSE = """async (pieces) => {
  const { EventParser } = await import("/static/sse.js");
  const parser = new EventParser();
  return pieces.flatMap((piece) => parser.take(piece));
}"""
STREAM = (
    'event: status\ndata: {"a": 1}\n\n: ping\n\nevent:second\r\ndata: x\r\ndata: y\r\n\r\nid: 3\nretry: 10\n\ndata\n\n'
)
EVENTS = [
    {"event": "status", "data": '{"a": 1}'},
    {"event": "ping", "data": ""},
    {"event": "second", "data": "x\ny"},
    {"event": "message", "data": ""},
]


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8).map(sorted))
def test_a_stream_reads_the_same_however_it_is_cut(page: Page, cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    assert page.evaluate(PARSE, [STREAM[a:b] for a, b in itertools.pairwise(edges)]) == EVENTS


CLASSIFY = """async ([schema, root]) => {
  const { classify } = await import("/static/schema.js");
  const { kind, nullable } = classify(schema, root);
  return [kind, nullable];
}"""


@pytest.mark.parametrize(
    ("schema", "kind", "nullable"),
    [
        ({"type": "number"}, "number", False),
        ({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}, "integer", True),
        ({"type": "boolean"}, "boolean", False),
        ({"type": "string", "enum": ["a", "b"]}, "choice", False),
        ({"type": "array", "items": {"type": "string"}}, "strings", False),
        ({"type": "array", "items": {"type": "number"}}, "json", False),
        ({"$ref": "#/$defs/Text"}, "text", False),
        ({"anyOf": [{"$ref": "#/$defs/Object"}, {"type": "null"}]}, "object", True),
        ({"anyOf": [{"type": "string"}, {"type": "number"}]}, "json", False),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "json", False),
        ({}, "json", False),
    ],
)
def test_a_schema_has_its_field(page: Page, schema: dict[str, Any], kind: str, nullable: bool) -> None:
    root = {"$defs": {"Text": {"type": "string"}, "Object": {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}}}  # fmt: skip
    assert page.evaluate(CLASSIFY, [schema, root]) == [kind, nullable]


SERIES = """async ([taken, keep]) => {
  const { Series } = await import("/static/series.js");
  const empty = { at_ns: [], good: [], bad: [], gap: [], latency_p50_ms: [], latency_p95_ms: [] };
  const series = new Series(empty, 1, keep);
  for (const [at, good, gap] of taken) series.take({ at_ns: at * 1e9, good, bad: 0, gap, latency_p50_ms: null, latency_p95_ms: null });
  return { at: series.at, good: series.good, gaps: series.gaps() };
}"""


@settings(max_examples=60, deadline=None)
@given(
    taken=st.lists(st.tuples(st.integers(1_700_000_000, 1_700_000_040), st.integers(0, 9), st.booleans()), max_size=60)
)
def test_seconds_may_come_late_and_again(page: Page, taken: list[tuple[int, int, bool]]) -> None:
    keep = 20
    wanted: dict[int, int] = {}
    for at, good, _ in taken:
        wanted[at] = good
        wanted = {a: g for a, g in wanted.items() if a >= max(wanted) - keep}
    found = page.evaluate(SERIES, [taken, keep])
    assert dict(zip(found["at"], found["good"], strict=True)) == wanted
    assert found["at"] == sorted(wanted)


def test_what_was_not_measured_is_a_gap(page: Page) -> None:
    taken = [(1_700_000_000 + at, 1, at == 5) for at in (0, 1, 2, 5, 6, 7)]
    found = page.evaluate(SERIES, [taken, 100])
    assert found["gaps"] == [[1_700_000_003, 1_700_000_006]]
