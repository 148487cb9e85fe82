"""Every page as a picture, light and dark, on a desk and on a phone. Set AFTERSHOCK_PICTURES to keep them for a look."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.page.conftest import MakeTab
from tests.page.scripted import ScriptedMonitor

LOOKS = {
    "light": {"dark": False, "width": 1280, "height": 900},
    "dark": {"dark": True, "width": 1280, "height": 900},
    "phone": {"dark": False, "width": 360, "height": 780},
}
PAGES = ("overview", "runs", "run", "faults", "fault", "schedule")


def address(name: str, monitor: ScriptedMonitor) -> str:
    hurt = next(b["id"] for b in reversed(monitor.world.briefs) if b["failed_requests"])
    paths = {"overview": "/", "run": f"/runs/{hurt}", "fault": "/faults/worker_stall"}
    return monitor.url + paths.get(name, f"/{name}")


def sideways(page: Page) -> int:
    """How many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_accessible_and_fits(
    look: str, scripted: ScriptedMonitor, tab: MakeTab, pictures: Path | None
) -> None:
    page = tab(**LOOKS[look]).page
    for name in PAGES:
        page.goto(address(name, scripted))
        expect(page.locator("#state")).to_have_text("Whole")
        expect(page.locator("main h1")).to_have_count(1)
        expect(page.locator(".loading")).to_have_count(0)
        if name == "overview":
            expect(page.locator(".chart canvas")).to_have_count(2)
        if pictures:
            page.screenshot(path=pictures / f"page-{name}-{look}.png", full_page=True)
        assert sideways(page) == 0, name
        found = Axe().run(
            page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
        )
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"
