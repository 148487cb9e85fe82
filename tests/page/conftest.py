"""A headless Chromium, and pages in it that keep what went wrong inside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.page.scripted import ScriptedMonitor
from tests.page.world import a_day
from tests.support.chromium import chromium_or_skip, playwright_or_skip
from tests.support.serving import running

PATIENCE_MS = 15_000


@dataclass
class Tab:
    """A page of the browser with what it complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Uncaught errors and what the content security policy refused."""


MakeTab = Callable[..., Tab]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, fetched first where it is missing.

    Ended with the package: Playwright keeps an event loop running, beside which no other test could start its own.
    """
    found = chromium_or_skip()
    with playwright_or_skip() as playwright:
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
            "console",
            lambda said: made.complaints.append(said.text) if "Content Security Policy" in said.text else None,
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
    monitor = ScriptedMonitor(a_day())
    with running(monitor.server) as monitor.url:
        yield monitor


@pytest.fixture
def pictures() -> Path | None:
    """Where screenshots are kept for a look; None when AFTERSHOCK_PICTURES names no folder."""
    named = os.environ.get("AFTERSHOCK_PICTURES")
    if not named:
        return None
    folder = Path(named)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
