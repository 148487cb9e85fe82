"""Moving about: links, addresses, the filter, the timeline by keyboard, figures that come live."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import MakeTab
from tests.page.scripted import ScriptedMonitor


@pytest.fixture
def page(scripted: ScriptedMonitor, tab: MakeTab) -> Page:
    """The overview, live."""
    made = tab().page
    made.goto(scripted.url)
    expect(made.locator("#state")).to_have_text("Whole")
    expect(made.locator(".chart canvas")).to_have_count(2)
    return made


def rows(page: Page) -> int:
    return page.get_by_role("table").get_by_role("row").count() - 1


def test_the_overview_answers_three_questions(page: Page) -> None:
    expect(page.get_by_role("region", name="Now", exact=True)).to_contain_text("Whole")
    lately = page.get_by_role("region", name="What hurt lately")
    expect(lately).to_contain_text("frontend_kill")
    expect(lately).to_contain_text("41 failed requests in 5.87 s")
    expect(lately).to_contain_text("1 incident")
    following = page.get_by_role("region", name="What runs next")
    expect(following).to_contain_text(re.compile(r"in 2\d min"))
    expect(following).to_contain_text("worker_stall, schedule weekdays")


def test_a_link_moves_without_a_load_and_back_works(scripted: ScriptedMonitor, page: Page) -> None:
    page.evaluate("window.marked = true")
    opened = scripted.live_opened
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("heading", name="Runs", level=1)).to_be_focused()
    expect(page).to_have_title("Runs · aftershock")
    expect(page.get_by_role("link", name="Runs", exact=True)).to_have_attribute("aria-current", "page")
    page.go_back()
    expect(page.get_by_role("heading", name="What runs next")).to_be_visible()
    assert page.evaluate("window.marked") is True
    assert scripted.live_opened == opened


def test_the_filter_is_in_the_address(scripted: ScriptedMonitor, page: Page) -> None:
    page.goto(f"{scripted.url}/runs")
    expect(page.get_by_text("24 runs")).to_be_visible()
    page.get_by_label("Fault").select_option("worker")
    of_worker = sum(b["fault_name"] == "worker" for b in scripted.world.briefs)
    expect(page.get_by_text(f"{of_worker} runs", exact=True)).to_be_visible()
    assert rows(page) == of_worker < len(scripted.world.briefs)
    page.get_by_label("Verdict").select_option("skipped")
    expect(page.get_by_text(re.compile("^1 run$"))).to_be_visible()
    expect(page).to_have_url(f"{scripted.url}/runs?fault=worker&verdict=skipped")
    page.reload()
    expect(page.get_by_label("Verdict")).to_have_value("skipped")
    assert rows(page) == 1
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_text("24 runs")).to_be_visible()
    expect(page).to_have_url(f"{scripted.url}/runs")


def test_a_filter_by_time_is_exact_and_nothing_found_is_said(scripted: ScriptedMonitor, page: Page) -> None:
    scripted.world.add_run("worker", scripted.world.now() - 40 * 3600 * 10**9)
    page.goto(f"{scripted.url}/runs?since=24")
    expect(page.get_by_text("24 runs")).to_be_visible()
    page.goto(f"{scripted.url}/runs?fault=frontend_pod")
    expect(page.get_by_text("No run fits this filter.")).to_be_visible()


def test_many_runs_have_pages(scripted: ScriptedMonitor, page: Page) -> None:
    for number in range(60):
        scripted.world.add_run("none", scripted.world.now() - number * 10**9, kind="none", verdict="no_impact")
    page.goto(f"{scripted.url}/runs")
    expect(page.get_by_text("84 runs, page 1 of 2")).to_be_visible()
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_text("84 runs, page 2 of 2")).to_be_visible()
    assert rows(page) == 34


def test_a_new_run_appears_in_the_list(scripted: ScriptedMonitor, page: Page) -> None:
    page.goto(f"{scripted.url}/runs?fault=etcd_kill")
    expect(page.get_by_text("No run fits this filter.")).to_be_visible()
    scripted.world.add_run("etcd_kill", scripted.world.now(), failed=2, window=0.8)
    expect(page.get_by_role("row").filter(has_text="etcd_kill")).to_contain_text("0.80 s")


def test_a_run_is_followed_to_its_end(scripted: ScriptedMonitor, page: Page) -> None:
    run = scripted.world.begin({"fault": "worker", "requested_by": "cli"})
    page.goto(f"{scripted.url}/runs/{run['id']}")
    expect(page.get_by_role("heading", name="In progress")).to_be_visible()
    expect(page.get_by_role("button", name="Put it back now")).to_be_visible()
    expect(page.get_by_role("list", name="Phases")).to_have_count(1)
    brief = scripted.world.briefs[-1] | {"verdict": "recovered", "phase": "finished"}
    run |= {"verdict": "recovered", "phase": "finished", "receipt_open": False}
    scripted.world.active = None
    scripted.world.briefs.append(brief)
    expect(page.get_by_role("heading", name="In progress")).to_have_count(0)
    expect(page.locator(".card .chip").first).to_have_text("✓ recovered")
    expect(page.get_by_role("status").filter(has_text="Finished: recovered")).to_be_attached()


def test_the_timeline_is_walked_with_arrow_keys(page: Page) -> None:
    page.locator(".mark[tabindex='0']").focus()
    page.keyboard.press("Home")
    first = page.locator(".mark:focus").get_attribute("aria-label")
    page.keyboard.press("ArrowRight")
    second = page.locator(".mark:focus").get_attribute("aria-label")
    assert first and second and first != second
    expect(page.locator(".told")).to_have_text(second)
    page.keyboard.press("End")
    expect(page.locator(".mark:focus")).to_have_attribute("aria-label", re.compile("by schedule weekdays"))
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/runs/r"))


def test_every_action_is_reached_by_keyboard(page: Page) -> None:
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim().slice(0, 40)"))
    assert {"Skip to the content", "Overview", "Runs", "Faults", "Schedule", "Emergency stop", "All runs"} <= reached


def test_the_chart_takes_seconds_as_they_come(scripted: ScriptedMonitor, page: Page) -> None:
    page.get_by_text("The last two minutes as a table").click()
    newest = page.get_by_role("table", name=re.compile("Requests by start")).get_by_role("rowheader").first
    expect(newest).to_be_visible()
    before = newest.text_content()
    now = scripted.world.now() // 10**9
    scripted.world.bad_seconds = range(now, now + 60)
    expect(newest).not_to_have_text(str(before), timeout=20_000)
    expect(page.locator(".chart")).to_have_attribute("aria-label", re.compile(r"last minute: [\d,]+ good requests, [1-9]\d* bad"), timeout=20_000)  # fmt: skip


def test_focus_stays_where_it_is_while_data_come(scripted: ScriptedMonitor, page: Page) -> None:
    link = page.get_by_role("region", name="What runs next").get_by_role("link", name="weekdays")
    link.focus()
    for sent in (1, 2):
        scripted.world.whole = scripted.world.whole | {"reason": f"change {sent}"}
        expect(page.get_by_text(f"change {sent}")).to_be_visible()
    expect(link).to_be_focused()
