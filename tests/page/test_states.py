"""What the page says when the monitor is down, slow, silent, wants a token, or repeats hostile names."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import MakeTab
from tests.page.scripted import ScriptedMonitor

EVIL = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'


@pytest.fixture
def page(scripted: ScriptedMonitor, tab: MakeTab) -> Page:
    """The overview, live."""
    made = tab().page
    made.goto(scripted.url)
    expect(made.locator("#state")).to_have_text("Whole")
    return made


def test_what_is_live_is_shown_as_it_comes(scripted: ScriptedMonitor, page: Page) -> None:
    scripted.world.whole = {"state": "hurt", "since_ns": scripted.world.now(), "reason": "9 of 50 requests were bad"}
    expect(page.locator("#state")).to_have_text("Hurt")
    expect(page.get_by_role("region", name="Now", exact=True)).to_contain_text("9 of 50 requests were bad")
    scripted.world.begin({"fault": "worker_stall", "requested_by": "cli"})
    expect(page.get_by_role("heading", name="In progress")).to_be_visible()
    expect(page.get_by_role("list", name="Phases").get_by_role("listitem").filter(has_text="effective")).to_have_attribute("aria-current", "step")  # fmt: skip
    expect(page.get_by_role("table", name="The last runs, newest first").get_by_role("row").nth(1)).to_contain_text("running")  # fmt: skip


def test_silence_is_not_good_news(scripted: ScriptedMonitor, page: Page) -> None:
    page.clock.install()
    page.reload()
    expect(page.locator("#state")).to_have_text("Whole")
    scripted.muted = True
    page.clock.fast_forward(12_000)
    expect(page.locator("#state")).to_have_text("Unknown")
    expect(page.get_by_text(re.compile(r"No news for \d+ s.*may be wrong by now"))).to_be_visible()
    scripted.muted = False
    expect(page.locator("#state")).to_have_text("Whole")
    expect(page.get_by_text("No news for")).to_have_count(0)


def test_a_client_that_lagged_connects_again(scripted: ScriptedMonitor, page: Page) -> None:
    before = scripted.live_opened
    scripted.lag_once = True
    scripted.world.whole = {"state": "unknown", "since_ns": None, "reason": "a probe gap"}
    expect(page.get_by_role("region", name="Now", exact=True)).to_contain_text("a probe gap")
    assert scripted.live_opened >= before
    scripted.lag_once = True
    expect(page.get_by_text("The live connection was lost")).to_be_visible()
    expect(page.get_by_text("The live connection was lost")).to_have_count(0)
    assert scripted.live_opened > before


def test_what_happened_between_two_connections_is_fetched(scripted: ScriptedMonitor, page: Page) -> None:
    page.goto(f"{scripted.url}/runs?fault=etcd_kill")
    expect(page.get_by_text("No run fits this filter.")).to_be_visible()
    scripted.muted = True
    scripted.lag_once = True
    scripted.world.add_run("etcd_kill", scripted.world.now())
    expect(page.get_by_role("row").filter(has_text="etcd_kill")).to_be_visible()


def test_an_api_that_is_down_is_said_and_comes_back(scripted: ScriptedMonitor, tab: MakeTab) -> None:
    for path in ("/api/v1/live", "/api/v1/runs", "/api/v1/timeline", "/api/v1/series"):
        scripted.answers[path] = (503, "the store refuses: disk full")
    page = tab().page
    page.goto(scripted.url)
    expect(page.get_by_role("alert")).to_have_text("the store refuses: disk full")
    expect(page.locator("#state")).to_have_text("No connection")
    scripted.answers.clear()
    expect(page.locator("#state")).to_have_text("Whole")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="What runs next")).to_be_visible()


def test_a_monitor_that_ends_is_noticed(scripted: ScriptedMonitor, page: Page) -> None:
    scripted.server.should_exit = True
    expect(page.get_by_text(re.compile("The live connection was lost .*trying again"))).to_be_visible()
    page.get_by_role("link", name="Schedule", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("the monitor cannot be reached")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_a_slow_answer_shows_that_it_is_awaited(scripted: ScriptedMonitor, page: Page) -> None:
    scripted.slow_seconds = 1.0
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.locator("main")).to_have_text("Loading…")
    expect(page.get_by_role("heading", name="Runs", level=1)).to_be_visible()


def test_the_last_click_wins_over_a_slow_answer(scripted: ScriptedMonitor, page: Page) -> None:
    scripted.slow_seconds = 0.7
    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_role("link", name="Faults", exact=True).click()
    expect(page.get_by_role("heading", name="Faults", level=1)).to_be_visible()
    with pytest.raises(AssertionError):
        expect(page.get_by_role("heading", name="Runs", level=1)).to_be_visible(timeout=1500)


def test_a_token_is_asked_for_and_kept_for_the_tab(scripted: ScriptedMonitor, tab: MakeTab) -> None:
    scripted.token = "s3cret"  # noqa: S105
    page = tab().page
    page.goto(f"{scripted.url}/runs?verdict=not_recovered")
    dialog = page.get_by_role("dialog", name="This monitor asks for a token")
    expect(dialog.get_by_label("Token")).to_be_focused()
    dialog.get_by_label("Token").fill("guess")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text("The monitor does not take this token.")
    dialog.get_by_label("Token").fill("s3cret")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("Whole")
    expect(page.get_by_role("row").filter(has_text="etcd_stall").first).to_be_visible()
    page.reload()
    expect(page.locator("#state")).to_have_text("Whole")
    assert page.context.cookies() == []
    scripted.token = "another"  # noqa: S105
    page.get_by_role("link", name="Schedule", exact=True).click()
    expect(page.get_by_text("The token that was kept is no longer taken.")).to_be_visible()


def test_names_and_errors_are_data(scripted: ScriptedMonitor, page: Page) -> None:
    world = scripted.world
    world.whole = {"state": "hurt", "since_ns": None, "reason": EVIL}
    world.stopped = {"since_ns": world.now(), "reason": EVIL, "by": EVIL}
    world.incidents.append({"start_ns": world.now(), "end_ns": None, "bad_requests": 1, "first_error": EVIL})
    world.gaps[0] |= {"probe": EVIL, "reason": EVIL}
    world.instances = [world.instances[0] | {"name": EVIL, "component": EVIL}]
    world.schedules[0]["name"] = EVIL
    world.faults[0] |= {"description": EVIL, "fools": EVIL}
    run = world.add_run(EVIL, world.now(), failed=3, window=1.0, reason=EVIL, by=EVIL)
    run["witnesses"][0]["errors"] = {EVIL: 1}
    run["evidence"]["summary"] = EVIL
    for path in ("/", "/runs", f"/runs/{run['id']}", "/faults", "/faults/none", "/schedule"):
        page.goto(scripted.url + path)
        expect(page.locator("#state")).to_have_text("Hurt, stopped")
        expect(page.locator("main h1")).to_have_count(1)
        assert EVIL in page.locator("body").inner_text(), path
        assert page.locator("main img, main script, #banners img").count() == 0
        assert page.evaluate("window.hurt") is None


def test_an_address_that_is_nowhere_says_so(scripted: ScriptedMonitor, page: Page) -> None:
    page.goto(f"{scripted.url}/runs/r404")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_text("no run is called 'r404'")


def test_stop_asks_for_a_reason_and_resume_releases(scripted: ScriptedMonitor, page: Page) -> None:
    page.get_by_role("button", name="Emergency stop").click()
    dialog = page.get_by_role("dialog", name="Emergency stop")
    dialog.get_by_role("button", name="Stop everything").click()
    expect(dialog.get_by_role("alert")).to_have_text("Give a reason first.")
    assert scripted.world.stopped is None
    dialog.get_by_label("Reason").fill("the night shift asks")
    dialog.get_by_role("button", name="Stop everything").click()
    expect(page.get_by_text(re.compile("Stopped by page .*the night shift asks"))).to_be_visible()
    expect(page.get_by_role("button", name="Emergency stop")).to_be_hidden()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("dialog", name="Resume").get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Emergency stop")).to_be_visible()
    expect(page.locator("#state")).to_have_text("Whole")
