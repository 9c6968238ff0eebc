"""Logs dropped on the Data page, and a report taken from the Report page, in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.site import preview, serve, settle, visitor
from tests.logs import write_forms
from tests.synthetic import write_study

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The app over the made-up study; its address and its workspace."""
    home = tmp_path_factory.mktemp("data")
    write_study(home / "jobs", safety_size=12, capability_size=10)
    with serve(home) as base:
        yield base, home


def enter(page: Page, address: str) -> None:
    page.goto(address)
    settle(page)
    if page.get_by_label("Your name").count():
        page.get_by_label("Your name").fill("Ada")
        page.get_by_role("button", name="Continue").click()
        settle(page)


def test_logs_are_looked_at_imported_shown_and_undone(
    site: tuple[str, Path], browser: Browser, tmp_path: Path, listener: tuple[int, list[str]]
) -> None:
    base, _ = site
    address = f"http://127.0.0.1:{listener[0]}"
    logs = tmp_path / "logs"
    write_forms(logs)
    hostile = f"![x]({address}/md.png) <img src='{address}/img.png'>"
    rows = [
        {
            "model": f"m {hostile}",
            "task": f"t {hostile}",
            "id": i,
            "prompt": hostile,
            "response": hostile,
            "unsafe": True,
        }
        for i in range(3)
    ]
    (logs / "table" / "hostile.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    page = visitor(browser, base, viewport={"width": 1280, "height": 900})
    enter(page, f"{base}/data")
    preview(page, logs, settle)
    assert "53 outputs of" in page.inner_text("body")
    page.get_by_text("Show the first outputs").click()
    page.wait_for_function("() => document.body.innerText.includes('<img src=')")  # as text
    settle(page)
    page.reload()  # the look is in the address
    settle(page)
    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_text(re.compile("The import is queued")).wait_for(timeout=60_000)
    page.get_by_role("tab", name="Imports").click()
    page.get_by_text(re.compile("brought 53 outputs")).wait_for(timeout=60_000)
    undone = page.get_by_text(re.compile("undone, nothing of it counts"))
    page.get_by_role("button", name="Undo this import").click()
    undone.wait_for(timeout=60_000)
    settle(page)  # the button of before stands until the script has ended
    page.get_by_role("button", name="Restore").click()
    undone.wait_for(state="hidden", timeout=60_000)
    settle(page)
    page.goto(f"{base}/outputs?study=logs")
    settle(page)
    assert "53 outputs" in page.inner_text("body")
    assert listener[1] == []
    page.close()


def test_dropped_files_are_kept_and_looked_at(
    site: tuple[str, Path], browser: Browser, tmp_path: Path
) -> None:
    base, home = site
    write_forms(tmp_path)
    page = visitor(browser, base, viewport={"width": 1280, "height": 900})
    enter(page, f"{base}/data")
    page.locator("input[type=file]").first.set_input_files([str(tmp_path / "inspect-eval" / "log.eval")])
    settle(page)
    page.get_by_role("button", name="Preview", exact=True).click()
    page.get_by_text("What was recognised", exact=True).wait_for(timeout=60_000)
    settle(page)
    assert "8 outputs of 1 checkpoint in 1 file" in page.inner_text("body")
    assert [p.name for p in (home / "uploads").rglob("*.eval")] == ["log.eval"]
    page.close()


def test_a_report_is_chosen_taken_out_and_presented(
    site: tuple[str, Path], browser: Browser, tmp_path: Path
) -> None:
    base, _ = site
    page = visitor(browser, base, viewport={"width": 1280, "height": 720}, accept_downloads=True)
    page.goto(f"{base}/?study=made-up")
    settle(page)
    headline = page.locator("strong").first.inner_text()
    page.goto(f"{base}/report?study=made-up&items=overview~judges")
    settle(page)
    assert headline in page.inner_text("body")
    with page.expect_download(timeout=60_000) as got:
        page.get_by_role("button", name="HTML, one file").click()
    got.value.save_as(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert headline in text
    report = browser.new_page(viewport={"width": 1280, "height": 720})
    faults: list[str] = []
    asked: list[str] = []
    report.on("pageerror", lambda error: faults.append(str(error)))
    report.on("request", lambda r: asked.append(r.url))
    report.goto((tmp_path / "r.html").as_uri())
    report.locator(".main-svg").first.wait_for()
    report.keyboard.press("ArrowRight")
    report.wait_for_timeout(800)
    assert abs(report.evaluate("document.getElementById('finding-1').getBoundingClientRect().top")) < 5
    assert faults == []
    assert asked == [(tmp_path / "r.html").as_uri()]
    report.close()
    page.get_by_role("button", name="Link to this view").click()
    assert f"{base}/report?" in page.locator("[data-testid=stCode]").last.inner_text()
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{base}/report?study=made-up&items=overview~judges&present=1")
    settle(page)
    sizes = {
        name: float(page.locator(place).first.evaluate("e => parseFloat(getComputedStyle(e).fontSize)"))
        for name, place in {"headline": "h1", "caption": "[data-testid=stCaptionContainer] p"}.items()
    }
    assert sizes["headline"] > 2 * sizes["caption"]
    assert page.locator("h1").inner_text().startswith("At its goal, harsh does not refuse")
    assert page.evaluate(
        "(e => e.scrollHeight <= e.clientHeight && e.scrollWidth <= e.clientWidth)"
        "(document.querySelector('[data-testid=stMain]'))"
    ), "something is cut off"
    assert (
        page.get_by_role("link", name="Overview").count() == 0
        or not page.get_by_role("link", name="Overview").first.is_visible()
    )
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("present=2"))
    settle(page)
    assert "On incoherent responses, judges differ" in page.inner_text("body")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Present").wait_for(timeout=30_000)
    page.close()
