"""Hostile text in every field on every page with content on it: no request, no script, no live link, nothing
drawn as markup."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser, Page

from capsafe_core.settings import ROOT
from tests.e2e.hostile import fill, hostile
from tests.e2e.site import PATHS, serve, settle, visitor

pytestmark = pytest.mark.browser
LIVE = """(own) => {
    const found = [];
    const walk = (root) => {
        for (const e of root.querySelectorAll('*')) {
            if (e.shadowRoot) walk(e.shadowRoot);
            const name = e.tagName.toLowerCase();
            const to = e.getAttribute('href') ?? e.getAttribute('xlink:href') ?? e.getAttribute('src') ?? '';
            const at = to && !to.startsWith('#') && !to.startsWith('data:') && !to.startsWith('blob:') ? new URL(to, location.href) : null;
            if (at && (at.origin !== own || at.protocol === 'javascript:') && !at.host.endsWith('plotly.com')) found.push(`${name} ${to}`);
            if (e.classList.contains('katex')) found.push(`katex ${e.textContent}`);
            if (e.getAttribute('role') === 'img' && e.getAttribute('aria-label') === 'home icon') found.push('icon');
            if (e.classList.contains('stMarkdownColoredText') && e.textContent === 'r') found.push('colour');
            if (['tspan', 'b', 'strong'].includes(name) && e.textContent === 'bold') found.push('bold');
            if (['strong', 'em'].includes(name) && e.textContent === 's') found.push('strong');
        }
    };
    walk(document);
    if (window.pwned !== undefined) found.push('a script ran');
    const unseen = document.body.innerText.match(/[\\u202e\\u200b\\u001b]/u);
    if (unseen) found.push('unseen ' + JSON.stringify(document.body.innerText.slice(unseen.index - 120, unseen.index + 10)));
    return found;
}"""


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, listener: tuple[int, list[str]]
) -> Iterator[tuple[str, Path]]:
    """The app over a workspace full of hostile text; its address and its workspace."""
    home = tmp_path_factory.mktemp("hostile")
    fill(home, listener[0])
    with serve(home) as base:
        yield base, home


@pytest.fixture(scope="module")
def page(site: tuple[str, Path], browser: Browser) -> Iterator[Page]:
    found = visitor(browser, site[0], viewport={"width": 1280, "height": 900}, accept_downloads=True)
    found.goto(f"{site[0]}/annotate")
    settle(found)
    found.get_by_label("Your name").fill("<b>Ada</b> :red[r] $x$")
    found.get_by_role("button", name="Continue").click()
    settle(found)
    yield found
    found.close()


def look(page: Page, site: str, where: str) -> None:
    """Everything that the page has now is text."""
    assert page.locator("[data-testid=stException]").count() == 0, (
        where,
        page.locator("[data-testid=stException]").first.inner_text(),
    )
    assert page.evaluate(LIVE, site) == [], where


def show_texts(page: Page) -> None:
    """What a page shows only when asked, once."""
    for label in (
        "Show model text",
        "Show the first outputs",
        "Show its first outputs",
        "More: agreement by kind of response, judges against people, a map of the responses",
    ):
        toggle = page.get_by_text(label, exact=True).locator("visible=true")
        if (
            toggle.count()
            and not toggle.first.locator("xpath=ancestor::label").locator("input:checked").count()
        ):
            toggle.first.click()
            settle(page)


def open_all(page: Page, site: str, where: str) -> None:
    """Texts are shown, the rest of the page is asked for, and every tab and expander is opened."""
    show_texts(page)
    for tab in page.get_by_role("tab").all():
        tab.click()
        settle(page)
        show_texts(page)
        look(page, site, f"{where}, tab {tab.inner_text()}")
    page.evaluate(
        "document.querySelectorAll('[data-testid=stExpander] details:not([open]) summary').forEach(s => "
        "s.click())"
    )
    settle(page)
    for mark in page.locator(".scatterlayer .point, .barlayer .point").locator("visible=true").all()[:3]:
        mark.hover(force=True)
        look(page, site, f"{where}, hovering")
    look(page, site, where)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("study", ["hostile", "logs"])
def test_a_page_shows_text_as_text(
    site: tuple[str, Path], page: Page, listener: tuple[int, list[str]], study: str, path: str
) -> None:
    base, _ = site
    foreign: list[str] = []
    page.on(
        "request",
        lambda r: (
            foreign.append(r.url)
            if not r.url.startswith((base, base.replace("http", "ws"), "data:", "blob:"))
            else None
        ),
    )
    if path == "output":
        page.goto(f"{base}/outputs?study={study}&open=story")
        settle(page)
        page.locator(".scatterlayer .point").first.click(force=True)
        page.wait_for_url("**/output?**generation=**", timeout=60_000)
    else:
        page.goto(f"{base}/{path}?study={study}")
    settle(page)
    assert page.locator("h1").first.inner_text()
    open_all(page, base, f"{path} of {study}")
    assert foreign == []
    assert listener[1] == []


NAMES = (
    "study",
    "benchmarks",
    "goals",
    "judges",
    "recipes",
    "claim",
    "search",
    "outcomes",
    "queue",
    "attack",
    "title",
    "survey",
)
"""of what an address may hold, one for each page"""


@pytest.mark.parametrize(
    ("path", "name"), list(zip([path for path in PATHS if path != "output"], NAMES, strict=True))
)
def test_what_an_address_says_is_text(
    site: tuple[str, Path], page: Page, listener: tuple[int, list[str]], path: str, name: str
) -> None:
    base, _ = site
    page.goto(f"{base}/{path}?{urlencode({'study': 'hostile', name: hostile(name, listener[0])})}")
    settle(page)
    look(page, base, f"{name} of {path}")
    assert listener[1] == []


def test_practice_items_are_text(
    site: tuple[str, Path], browser: Browser, listener: tuple[int, list[str]]
) -> None:
    base, _ = site
    page = visitor(browser, base)
    page.goto(f"{base}/annotate")
    settle(page)
    page.get_by_label("Your name").fill("Eve")
    page.get_by_role("button", name="Continue").click()
    settle(page)
    open_all(page, base, "practice")
    page.close()
    assert listener[1] == []


def test_logs_that_are_looked_at_are_text(
    site: tuple[str, Path], page: Page, listener: tuple[int, list[str]]
) -> None:
    base, home = site
    page.goto(f"{base}/data")
    settle(page)
    page.get_by_label("Or a file or folder on the machine that runs capsafe").fill(str(home / "logs"))
    page.keyboard.press("Enter")
    settle(page)
    page.get_by_role("button", name="Preview", exact=True).click()
    page.get_by_text("What was recognised", exact=True).wait_for(timeout=120_000)
    settle(page)
    open_all(page, base, "logs")
    assert listener[1] == []


def test_a_report_taken_out_is_text(
    site: tuple[str, Path], page: Page, browser: Browser, listener: tuple[int, list[str]], tmp_path: Path
) -> None:
    base, _ = site
    page.goto(
        f"{base}/report?study=hostile&audience=reviewer&items=overview~capability~judges~conclusion~incoherence"
    )
    settle(page)
    page.get_by_label("Title").fill(hostile("heading", listener[0]) + " @numbers@")
    page.keyboard.press("Enter")
    settle(page)
    look(page, base, "report with a title")
    with page.expect_download(timeout=120_000) as got:
        page.get_by_role("button", name="HTML, one file").click()
    got.value.save_as(tmp_path / "r.html")
    with page.expect_download(timeout=120_000) as got:
        page.get_by_role("button", name="Slides (PPTX)").click()
    got.value.save_as(tmp_path / "r.pptx")
    report = browser.new_page()
    asked: list[str] = []
    faults: list[str] = []
    report.on("request", lambda r: asked.append(r.url))
    report.on("pageerror", lambda error: faults.append(str(error)))
    report.goto((tmp_path / "r.html").as_uri())
    report.locator(".main-svg").first.wait_for()
    assert report.evaluate(LIVE, "null") == []
    assert asked == [(tmp_path / "r.html").as_uri()]
    assert faults == []
    report.close()
    assert listener[1] == []


def test_a_figure_taken_out_is_text(
    site: tuple[str, Path], listener: tuple[int, list[str]], tmp_path: Path
) -> None:
    _, home = site
    environment = {**os.environ, "CAPSAFE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    for item in ("overview", "conclusion"):
        target = tmp_path / f"{item}.svg"
        command = [
            sys.executable,
            "-m",
            "capsafe_core.cli",
            "figure",
            item,
            str(target),
            "--study",
            "hostile",
        ]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        drawn = ElementTree.parse(target)
        names = {element.tag.rpartition("}")[2] for element in drawn.iter()}
        assert not names & {"a", "script", "image", "foreignObject"}
        assert not [
            v
            for element in drawn.iter()
            for k, v in element.attrib.items()
            if k.endswith("href") and not v.startswith("#")
        ]
        assert "<b>bold</b>" in "".join(drawn.getroot().itertext())
    assert listener[1] == []
