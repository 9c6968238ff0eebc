"""The three people whom capsafe is for, each at their job on the demo study, with the clicks counted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page

from capsafe_core.jobs.packing import unpack_jobs
from capsafe_core.places import DATA
from tests.e2e.site import click_mark, serve, settle, visitor

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app over the demo study; its address."""
    home = tmp_path_factory.mktemp("people")
    unpack_jobs(DATA / "demo", home / "jobs")
    with serve(home) as base:
        yield base


class Clicks:
    """A page on which somebody clicks, and how often."""

    def __init__(self, page: Page) -> None:
        self.page, self.made = page, 0

    def on(self, what: Locator) -> None:
        what.first.click()
        self.made += 1

    def settled(self) -> str:
        settle(self.page)
        assert self.page.locator("[data-testid=stException]").count() == 0
        return self.page.inner_text("[data-testid=stMainBlockContainer]")


@pytest.fixture
def clicks(demo: str, browser: Browser) -> Iterator[Clicks]:
    page = visitor(browser, demo, viewport={"width": 1280, "height": 720}, accept_downloads=True)
    page.goto(demo)
    page.get_by_text(re.compile("60% accuracy on sums-with-working")).first.wait_for(timeout=150_000)
    settle(page)
    yield Clicks(page)
    page.context.close()


def test_a_researcher_reads_a_disputed_output_in_two_clicks_and_sends_its_link(
    clicks: Clicks, demo: str, browser: Browser
) -> None:
    page = clicks.page
    clicks.on(page.get_by_role("button", name="An output that split the judges"))
    page.wait_for_url("**/output?**", timeout=30_000)
    clicks.settled()
    clicks.on(page.get_by_text("Show model text", exact=True))
    shown = clicks.settled()
    assert clicks.made == 2
    assert "▒" not in shown, "the text can be read"
    assert "learnt-refusal" in shown, "and what each judge says of it"
    link = page.url
    other = visitor(browser, demo, viewport={"width": 1280, "height": 720})
    other.goto(link)
    settle(other)
    other.get_by_text("Show model text", exact=True).first.click()
    settle(other)
    assert other.url == link
    assert other.inner_text("[data-testid=stMainBlockContainer]") == shown
    other.context.close()


def test_the_title_of_judge_disagreement_is_answered_without_a_click(clicks: Clicks, demo: str) -> None:
    clicks.page.goto(f"{demo}/disagreement")
    shown = clicks.settled()
    assert re.search(r"Judges split on \d+% of \d+ incoherent .*\d+% of [0-9,]+ coherent", shown)


def test_an_annotator_has_the_first_item_after_three_actions(clicks: Clicks) -> None:
    page = clicks.page
    clicks.on(page.get_by_role("link", name="Label a few yourself"))
    page.wait_for_url("**/annotate**", timeout=30_000)
    clicks.settled()
    clicks.on(page.get_by_role("button", name=re.compile("Draw 20 outputs")))
    page.get_by_label("Your name").fill("Ada")
    clicks.on(page.get_by_role("button", name="Continue"))
    page.locator("[data-part=item]:not([hidden])").wait_for(timeout=30_000)
    assert clicks.made == 3


def test_chips_on_conclusions_move_headline_and_curve_and_stand_in_the_link(
    clicks: Clicks, demo: str, browser: Browser
) -> None:
    page = clicks.page
    page.goto(f"{demo}/conclusions")
    clicks.settled()
    headline = page.locator("strong").first.inner_text()
    page.get_by_role("button", name="prefix-zou", exact=True).click()
    page.get_by_text(re.compile("8 of 59 analysis variants chosen")).wait_for()
    clicks.settled()
    assert page.locator("strong").first.inner_text() != headline
    assert page.locator(".js-plotly-plot").first.locator(".cartesianlayer .xy .point").count() == 10
    other = visitor(browser, demo, viewport={"width": 1280, "height": 720})
    other.goto(page.url)
    settle(other)
    assert "8 of 59 analysis variants chosen" in other.inner_text("body")
    other.context.close()
    page.get_by_role("button", name="prefix-zou", exact=True).click()
    page.get_by_text(re.compile("Of 59 analysis variants")).first.wait_for()
    clicks.settled()
    assert page.locator("strong").first.inner_text() == headline
    assert "variants=" not in page.url
    page.get_by_role("button", name="prefix-zou", exact=True).click()
    page.get_by_text(re.compile("8 of 59 analysis variants chosen")).wait_for()
    clicks.settled()
    mark = page.locator(".js-plotly-plot").first.locator(".cartesianlayer .xy .point").last
    click_mark(page, mark)
    page.wait_for_url("**/outputs?**judges=prefix-zou**", timeout=30_000)
    assert "variants=" not in page.url


FILES = {"Slides (PPTX)": b"PK", "PDF": b"%PDF", "HTML, one file": b"<!"}


@pytest.mark.parametrize("label", FILES)
def test_a_presenter_has_each_file_after_two_clicks(clicks: Clicks, label: str, tmp_path: Path) -> None:
    page = clicks.page
    clicks.on(page.get_by_role("link", name="Build a report"))
    page.wait_for_url("**/report**", timeout=30_000)
    clicks.settled()
    with page.expect_download(timeout=180_000) as got:
        clicks.on(page.get_by_role("button", name=label, exact=True))
    assert clicks.made == 2
    got.value.save_as(tmp_path / "file")
    assert (tmp_path / "file").read_bytes().lower().startswith(FILES[label].lower())
