"""From the form to the run: dry run first, the instances by name, only what was changed, the same choice in both."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import MakeTab
from tests.page.scripted import ScriptedMonitor


@pytest.fixture
def form(scripted: ScriptedMonitor, tab: MakeTab) -> Page:
    """The form of `worker_stall`."""
    page = tab().page
    page.goto(f"{scripted.url}/faults/worker_stall")
    expect(page.get_by_role("button", name="Dry run")).to_be_visible()
    return page


def wishes(monitor: ScriptedMonitor) -> list[dict[str, Any]]:
    return [body for method, path, body in monitor.asked if (method, path) == ("POST", "/api/v1/runs")]


def dry_run(page: Page) -> None:
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_a_fault_is_triggered_after_a_dry_run_that_names_its_instances(
    scripted: ScriptedMonitor, form: Page, pictures: Path | None
) -> None:
    form.get_by_label("duration seconds").fill("3.5")
    dry_run(form)
    dialog = form.get_by_role("dialog", name="Trigger worker_stall?")
    expect(dialog.get_by_role("cell", name="4711 python -m dynamo.mocker")).to_be_visible()
    expect(dialog).to_contain_text("acts on worker-0 for 3.50 s")
    assert [w["dry_run"] for w in wishes(scripted)] == [True]
    if pictures:
        form.screenshot(path=pictures / "page-trigger.png")
    dialog.get_by_role("button", name="Trigger on worker-0").click()
    expect(form.get_by_role("heading", level=1)).to_contain_text("worker_stall, run r")
    expect(form.get_by_role("heading", name="In progress")).to_be_visible()
    expect(form.locator(".remaining")).to_contain_text("at most")
    expect(form.get_by_role("heading", level=1)).to_be_focused()
    dry, real = wishes(scripted)
    assert real == {
        "fault": "worker_stall",
        "changes": {"duration_seconds": 3.5},
        "seed": dry["seed"],
        "requested_by": "page",
    }


def test_cancel_begins_nothing(scripted: ScriptedMonitor, form: Page) -> None:
    dry_run(form)
    form.keyboard.press("Escape")
    expect(form.get_by_role("dialog")).to_have_count(0)
    expect(form.get_by_role("button", name="Dry run")).to_be_focused()
    assert [w["dry_run"] for w in wishes(scripted)] == [True]


def test_every_kind_of_parameter_is_read_back(scripted: ScriptedMonitor, form: Page) -> None:
    form.get_by_label("component").fill("decode, worker")
    form.get_by_label("instances").fill("percent:50")
    form.get_by_role("group", name="processes").get_by_label("choose").check()
    form.get_by_label("pattern").fill("Engine")
    dry_run(form)
    assert wishes(scripted)[0]["changes"] == {
        "component": ["decode", "worker"], "instances": "percent:50", "processes": {"pattern": "Engine", "pick": "first"},
    }  # fmt: skip


def test_a_boolean_a_nullable_number_and_a_required_one(scripted: ScriptedMonitor, tab: MakeTab) -> None:
    for fault in scripted.world.faults:
        fault["usable"] = True
    page = tab().page
    page.goto(f"{scripted.url}/faults/frontend_pod")
    page.get_by_label("force").uncheck()
    page.get_by_label("grace seconds").fill("7")
    dry_run(page)
    assert wishes(scripted)[-1]["changes"] == {"force": False, "grace_seconds": 7}


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("duration seconds", "soon", "is not a number"),
        ("duration seconds", "0", "must be above 0, up to 3600"),
        ("component", " , ", "must not be empty"),
    ],
)
def test_a_value_that_cannot_be_is_refused_where_it_stands(
    scripted: ScriptedMonitor, form: Page, field: str, text: str, words: str
) -> None:
    form.get_by_label(field).fill(text)
    form.get_by_role("button", name="Dry run").click()
    expect(form.get_by_label(field)).to_be_focused()
    expect(form.get_by_label(field)).to_have_accessible_description(re.compile(re.escape(words)))
    assert wishes(scripted) == []


def test_what_only_the_monitor_can_refuse_is_marked_too(scripted: ScriptedMonitor, form: Page) -> None:
    scripted.answers["/api/v1/runs"] = (422, "instances: 'some' is not a selector; write first, all or random")
    form.get_by_label("instances").fill("some")
    form.get_by_role("button", name="Dry run").click()
    expect(form.get_by_label("instances")).to_be_focused()
    expect(form.get_by_role("alert")).to_contain_text("'some' is not a selector")
    expect(form.get_by_role("dialog")).to_have_count(0)


def test_a_run_that_would_be_refused_cannot_be_triggered(scripted: ScriptedMonitor, form: Page) -> None:
    scripted.world.refusal = "cooldown: 42 s left"
    dry_run(form)
    expect(form.get_by_role("dialog")).to_contain_text("cooldown: 42 s left")
    expect(form.get_by_role("dialog").get_by_role("button")).to_have_text(["Close"])


def test_a_refusal_in_the_last_moment_stays_in_the_dialog(scripted: ScriptedMonitor, form: Page) -> None:
    dry_run(form)
    scripted.answers["/api/v1/runs"] = (409, "a run is active: r1")
    form.get_by_role("button", name="Trigger on worker-0").click()
    expect(form.get_by_role("dialog").get_by_role("alert")).to_have_text("a run is active: r1")


def test_a_fault_that_cannot_be_had_here_has_no_form(scripted: ScriptedMonitor, tab: MakeTab) -> None:
    page = tab().page
    page.goto(f"{scripted.url}/faults/worker_rollout")
    expect(page.get_by_text("Cannot be triggered here: the configuration has no Kubernetes target")).to_be_visible()
    expect(page.get_by_role("button", name="Dry run")).to_have_count(0)
