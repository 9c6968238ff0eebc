"""An empty workspace in a browser: each of the three doors, walked to its end."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.site import preview, serve, settle, visitor
from tests.logs import write_forms
from tests.server import allowed, serving

pytestmark = pytest.mark.browser
NAME = "Your name"


@pytest.fixture
def empty(tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Page]]:
    """The app over a workspace without anything in it, whose workers run in this Python."""
    monkeypatch.setenv("CAPSAFE_ENGINE_PYTHON", sys.executable)
    with serve(tmp_path) as base:
        page = visitor(browser, base, viewport={"width": 1280, "height": 720})
        page.goto(base)
        settle(page)
        assert "Nothing here yet" in page.inner_text("body")
        yield base, page
        page.context.close()


def whole(page: Page) -> str:
    settle(page)
    assert page.locator("[data-testid=stException]").count() == 0
    assert page.get_by_label(NAME).count() == 0, "a name is asked for before a label is given"
    return page.inner_text("body")


def test_the_demo_study_is_opened_shown_removed_and_restored(empty: tuple[str, Page]) -> None:
    base, page = empty
    assert "you can remove it" in whole(page)
    page.get_by_role("button", name="Open the demo study").click()
    page.get_by_text(re.compile("60% accuracy on sums-with-working")).first.wait_for(timeout=150_000)
    for path in ("labels", "runs", "annotate", "report", "data"):
        page.goto(f"{base}/{path}")
        whole(page)
    page.get_by_role("tab", name="Studies").click()
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Restore").wait_for(timeout=60_000)
    page.goto(base)
    assert "Nothing here yet" in whole(page)
    page.get_by_role("button", name="Open the demo study").click()
    page.get_by_text(re.compile("60% accuracy on sums-with-working")).first.wait_for(timeout=150_000)


def test_logs_are_imported_and_lead_to_a_first_picture(empty: tuple[str, Page], tmp_path: Path) -> None:
    base, page = empty
    logs = tmp_path / "logs"
    write_forms(logs)
    page.get_by_role("link", name="Import logs").click()
    page.wait_for_url("**/data**")
    whole(page)
    preview(page, logs, whole)
    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_text(re.compile("The import is queued")).wait_for(timeout=60_000)
    page.get_by_role("tab", name="Imports").click()
    page.get_by_text(re.compile(r"brought \d+ outputs")).wait_for(timeout=60_000)
    page.goto(base)
    assert "as given, not capability-matched" in whole(page)
    assert page.locator(".js-plotly-plot").count() >= 1


def test_a_study_is_written_checked_started_and_leads_to_a_first_picture(empty: tuple[str, Page]) -> None:
    _, page = empty
    with serving() as server, allowed(server.base_url):
        page.get_by_role("link", name="Start a study").click()
        page.wait_for_url("**/runs**")
        assert "1. Model" in whole(page)
        page.get_by_role("textbox", name="Name of the study").fill("My Study")
        page.keyboard.press("Enter")
        page.get_by_text(re.compile("A study's name has lower-case letters")).wait_for()
        assert page.get_by_role("button", name="Start", exact=True).is_disabled()
        page.get_by_role("textbox", name="Name of the study").fill("first-study")
        page.keyboard.press("Enter")
        whole(page)
        page.get_by_role("combobox", name="Engine").click()
        page.get_by_role("option", name=re.compile("a server")).click()
        whole(page)
        page.get_by_label("Address").fill(server.base_url)
        page.keyboard.press("Enter")
        whole(page)
        page.get_by_role("button", name="Allow it").click()
        whole(page)
        page.get_by_text("Preview study.toml").click()
        page.get_by_text(re.compile('name = "first-study"')).wait_for()
        page.get_by_role("button", name="Estimate time").click()
        page.get_by_text(re.compile("24 prompts, 24 generations")).wait_for(timeout=60_000)
        page.get_by_role("button", name="Start", exact=True).click()
        page.get_by_text(re.compile("Jobs: 6 done")).wait_for(timeout=90_000)
        page.get_by_role("link", name="Overview of first-study").click()
        page.get_by_text(re.compile("of 12 requests of direct-requests")).first.wait_for(timeout=30_000)
        whole(page)
        page.locator(".xtitle, .x2title").filter(has_text="accuracy").first.wait_for(timeout=30_000)
    assert page.locator(".js-plotly-plot").count() == 2
