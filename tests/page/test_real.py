"""The page over a real service: real probes, a real fault on a real process, a real stop."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import MakeTab
from tests.support.monitor import Monitor, free_port, supervised
from tests.system.conftest import Stub, document

EVIL = "<img src=x onerror=window.hurt=1>"
TOKEN = "s3cret-of-the-test"  # noqa: S105
RUN_MS = 90_000


@dataclass
class Real:
    """A service and where its page is."""

    monitor: Monitor
    url: str


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """A monitor of the stub deployment, steady; one component has a hostile name."""
    folder = tmp_path_factory.mktemp("real")
    port = free_port()
    described = document(port)
    with supervised(described, folder / "deployment") as state:
        config = Stub(state, port).config()
        config["faults"] = {"evil": {"fault": {"kind": "none"}, "description": EVIL}}
        config["api"] = {"listen": f"127.0.0.1:{(own := free_port())}", "token_env": "PAGE_TOKEN"}
        with Monitor(config, folder / "monitor", env={"PAGE_TOKEN": TOKEN}, port=own) as monitor:
            monitor.http.headers["Authorization"] = f"Bearer {TOKEN}"
            monitor.start()
            monitor.wait_steady()
            yield Real(monitor, monitor.url)


@pytest.fixture
def page(real: Real, tab: MakeTab) -> Page:
    """The overview, live."""
    made = tab().page
    made.add_init_script(f"sessionStorage.setItem('aftershock.token', '{TOKEN}')")
    made.goto(real.url)
    expect(made.locator("#state")).to_have_text("Whole", timeout=30_000)
    return made


def test_a_stall_is_triggered_seen_and_over(real: Real, page: Page, pictures: Path | None) -> None:
    real.monitor.wait_steady(fault="frontend_stall")
    page.get_by_role("link", name="Faults", exact=True).click()
    page.get_by_role("link", name="frontend_stall").click()
    page.get_by_label("duration seconds").fill("4")
    page.get_by_role("button", name="Dry run").click()
    dialog = page.get_by_role("dialog", name="Trigger frontend_stall?")
    expect(dialog.get_by_role("rowheader", name="frontend-0")).to_be_visible()
    assert real.monitor.status()["active_run"] is None
    dialog.get_by_role("button", name="Trigger on frontend-0").click()
    expect(page.get_by_role("heading", name="In progress")).to_be_visible()
    if pictures:
        expect(page.locator(".phases [data-state=now]").first).to_contain_text("effective")
        page.screenshot(path=pictures / "page-active.png")
    expect(page.locator("#state")).to_have_text("Hurt", timeout=30_000)
    run_id = page.url.rsplit("/", 1)[1]
    expect(page.get_by_role("status").filter(has_text="Finished")).to_be_attached(timeout=RUN_MS)
    run = real.monitor.run(run_id)
    assert run["fault"]["duration_seconds"] == 4
    assert run["requested_by"] == "page"
    expect(page.locator(".card .chip").first).to_contain_text(run["verdict"].replace("_", " "))
    expect(page.get_by_role("table", name=re.compile("each source")).get_by_role("row").nth(1)).to_contain_text(
        "client"
    )


def test_a_token_is_asked_for_and_judged_by_the_service(real: Real, tab: MakeTab) -> None:
    page = tab().page
    page.goto(f"{real.url}/runs?fault=frontend_stall")
    dialog = page.get_by_role("dialog", name="This monitor asks for a token")
    dialog.get_by_label("Token").fill("guess")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text("The monitor does not take this token.")
    dialog.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Fault")).to_have_value("frontend_stall")
    expect(page.locator("#state")).to_have_text(re.compile("Whole|Hurt"), timeout=30_000)


def test_the_chart_draws_what_real_probes_measure(real: Real, page: Page) -> None:
    expect(page.locator(".chart")).to_have_attribute("aria-label", re.compile(r"Probe chat, last minute: [1-9]\d* good"), timeout=30_000)  # fmt: skip
    expect(page.locator(".chart canvas")).to_have_count(2)


def test_the_report_can_be_saved(real: Real, page: Page) -> None:
    page.goto(f"{real.url}/runs?fault=frontend_stall")
    page.get_by_role("table").get_by_role("link").first.click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the report").click()
    assert "<html" in Path(saved.value.path()).read_text(encoding="utf-8")[:200]


def test_a_refused_stall_says_why(real: Real, page: Page) -> None:
    page.goto(f"{real.url}/faults/prefill_worker")
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_role("dialog")).to_contain_text("prefill")
    expect(page.get_by_role("dialog").get_by_role("button")).to_have_text(["Close"])


def test_what_the_service_refuses_is_marked(real: Real, page: Page) -> None:
    page.goto(f"{real.url}/faults/worker")
    page.get_by_label("instances").fill(EVIL)
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_label("instances")).to_be_focused()
    expect(page.get_by_role("alert")).to_contain_text(EVIL)
    page.goto(f"{real.url}/faults/evil")
    expect(page.get_by_text(EVIL)).to_be_visible()
    assert page.evaluate("window.hurt") is None


def test_stop_holds_until_resume(real: Real, page: Page) -> None:
    page.get_by_role("button", name="Emergency stop").click()
    page.get_by_label("Reason").fill(f"stopped by {EVIL}")
    page.get_by_role("button", name="Stop everything").click()
    expect(page.locator("#banners")).to_contain_text(f"stopped by {EVIL}")
    assert real.monitor.status()["stopped"]["by"] == "page"
    page.goto(f"{real.url}/faults/worker")
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_role("dialog")).to_contain_text("stopped")
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("dialog", name="Resume").get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Emergency stop")).to_be_visible()
    assert real.monitor.status()["stopped"] is None
