"""A headless Chromium, and pages in it that keep what went wrong inside them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.page.scripted import ScriptedMonitor
from tests.page.world import a_day
from tests.support.chromium import NoChromiumError, chromium
from tests.support.monitor import free_port, wait_for

PATIENCE_MS = 15_000


@dataclass
class Tab:
    """A page of the browser with what it complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Uncaught errors and what the content security policy refused."""


MakeTab = Callable[..., Tab]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, fetched first where it is missing."""
    try:
        found = chromium()
    except NoChromiumError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=str(found.program), env={**os.environ, **found.env}, args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[MakeTab]:
    """Makes tabs in a context of their own; uncaught errors fail the test."""
    tabs: list[Tab] = []

    def make(*, width: int = 1280, height: int = 900, dark: bool = False, touch: bool = False) -> Tab:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", has_touch=touch,
            reduced_motion="reduce", locale="en-GB", timezone_id="Europe/Berlin",
        )  # fmt: skip
        context.set_default_timeout(PATIENCE_MS)
        made = Tab(context.new_page())
        made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
        made.page.on(
            "console", lambda said: made.complaints.append(said.text) if "Content Security Policy" in said.text else None
        )
        tabs.append(made)
        return made

    yield make
    for one in tabs:
        one.page.context.close()
    assert [c for one in tabs for c in one.complaints] == []


@pytest.fixture
def scripted() -> Iterator[ScriptedMonitor]:
    """A scripted monitor with a day behind it."""
    monitor = ScriptedMonitor(a_day(), free_port())
    thread = threading.Thread(target=monitor.run, daemon=True)
    thread.start()
    wait_for("the scripted monitor", lambda: _up(monitor.url), 20)
    yield monitor
    monitor.server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


def _up(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: kept when AFTERSHOCK_PICTURES names a folder."""
    folder = Path(os.environ.get("AFTERSHOCK_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
