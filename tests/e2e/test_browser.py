"""What only a browser shows: hostile text, clicks on marks, keys, a phone."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, TimeoutError, expect

from tests.e2e.site import TOKEN, click_mark, plant_hostile, serve, settle, visitor
from tests.synthetic import write_study

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, listener: tuple[int, list[str]]
) -> Iterator[tuple[str, str]]:
    """The app over the made-up study with one hostile output; its address, and that output's id."""
    home = tmp_path_factory.mktemp("site")
    write_study(home / "jobs", safety_size=12, capability_size=10, variant="margins")
    hostile = plant_hostile(home / "jobs", listener[0])
    with serve(home) as base:
        yield base, hostile


def test_a_hostile_output_runs_nothing_and_fetches_nothing(
    site: tuple[str, str], browser: Browser, listener: tuple[int, list[str]]
) -> None:
    base, hostile = site
    page = visitor(browser, site[0], viewport={"width": 1280, "height": 900})
    page.goto(f"{base}/output?generation={hostile}")
    settle(page)
    page.get_by_text("Show model text", exact=True).first.click()
    settle(page)
    for expander in page.locator("[data-testid=stExpander] summary").all():
        expander.click()
    page.wait_for_timeout(800)
    shown = page.inner_text("body")
    assert "<script>fetch(" in shown
    assert "⟨U+202E⟩" in shown
    for path in ("outputs?search=gnp", "disagreement", "outputs"):
        page.goto(f"{base}/{path}")
        settle(page)
        page.get_by_text("Show model text", exact=True).first.click()
        settle(page)
    page.close()
    assert listener[1] == []


ALL_DRAWN = (
    "document.querySelectorAll('[data-testid=stPlotlyChart]').length"
    " === document.querySelectorAll('.js-plotly-plot').length"
)
MORE = "More: agreement by kind of response"
# on each page: which of its charts, and what the address must then contain; charts after MORE show when it is clicked
MARKS: dict[str, list[tuple[int, str, str] | str]] = {
    "": [(0, "/outputs?", "outcomes="), (1, "/outputs?", "checkpoints=")],
    "capability?open=all": [
        *[(chart, "/outputs?", "checkpoints=") for chart in (0, 1, 2, 6)],
        *[(chart, "/outputs?", "recipes=") for chart in (4, 5)],
        (3, "/capability?", "goals=sums"),
    ],
    "incoherence?open=all": [
        (0, "/outputs?", "before="),
        *[(chart, "/outputs?", "checkpoints=") for chart in (1, 2, 3)],
    ],
    "disagreement": [
        (0, "/disagreement?", "strata="),
        (1, "/disagreement?", "strata="),
        (2, "/disagreement?", "pattern="),
        (3, "/disagreement?", "checkpoints="),
        MORE,
        (4, "/disagreement?", "pattern="),
        (7, "/output?", "generation="),
    ],
    "conclusions?open=all": [(0, "/outputs?", "judges="), (1, "/outputs?", "judges=")],
    "outputs?open=story": [(0, "/output?", "generation=")],
    "runs?open=coverage": [(0, "/outputs?", "checkpoints=")],
}
THERE = "([address, part]) => location.href.includes(address) && location.href.includes(part)"


def mark_of(page: Page, chart: int) -> Locator:
    """The topmost point of a chart, or its first bar; looked for anew where another chart takes its place while
    the page is still being drawn."""
    for _ in range(10):
        page.wait_for_function(ALL_DRAWN)  # a later chart may be drawn before an earlier one
        drawn = page.locator("[data-testid=stPlotlyChart]").nth(chart)
        points, bars = (drawn.locator(f"{layer} .point") for layer in (".scatterlayer", ".barlayer"))
        points.or_(bars).first.wait_for(state="attached")
        mark = points.last if points.count() else bars.first
        try:
            mark.hover(force=True, timeout=5_000)
        except TimeoutError:
            settle(page)
        else:
            return mark
    pytest.fail(f"chart {chart} of {page.url} never stands still")


@pytest.mark.parametrize("where", MARKS, ids=[where.partition("?")[0] or "overview" for where in MARKS])
def test_a_click_on_a_mark_of_every_chart_opens_what_is_behind_it(
    site: tuple[str, str], browser: Browser, where: str
) -> None:
    page = visitor(browser, site[0], viewport={"width": 1280, "height": 900})
    page.goto(f"{site[0]}/{where}")
    for step in MARKS[where]:
        settle(page)
        if isinstance(step, str):
            page.get_by_text(step).click()
            continue
        chart, address, part = step
        mark, left = mark_of(page, chart), page.url
        click_mark(page, mark)
        page.wait_for_function(THERE, arg=[address, part], timeout=90_000)
        settle(page)
        assert page.locator("[data-testid=stException]").count() == 0, step
        page.go_back()
        page.wait_for_function("url => location.href === url", arg=left)
    page.close()


def test_on_a_phone_a_wide_chart_moves_sideways_and_the_page_does_not(
    site: tuple[str, str], browser: Browser
) -> None:
    page = visitor(browser, site[0], viewport={"width": 390, "height": 844})
    page.goto(f"{site[0]}/disagreement")
    settle(page)
    page.locator("[class*=st-key-wide-] .main-svg").first.wait_for(timeout=60_000)
    page.wait_for_function(ALL_DRAWN)
    widths = page.locator("[class*=st-key-wide-] .main-svg").evaluate_all(
        "all => all.map(e => e.clientWidth)"
    )
    assert widths
    assert min(widths) > 600
    room = page.locator("[class*=st-key-wide-]").first.bounding_box()
    assert room is not None
    assert room["x"] + room["width"] <= 390
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") == 390
    page.close()


def test_a_section_opens_on_a_click_and_stays_open_in_a_link(site: tuple[str, str], browser: Browser) -> None:
    page = visitor(browser, site[0], viewport={"width": 1280, "height": 900})
    page.goto(f"{site[0]}/capability")
    settle(page)
    expect(page.locator("[data-testid=stPlotlyChart]")).to_have_count(3, timeout=60_000)
    page.get_by_text("Which checkpoints are on the frontier?").click()
    page.wait_for_function("() => location.href.includes('open=frontier')")
    settle(page)
    expect(page.locator("[data-testid=stPlotlyChart]")).to_have_count(4, timeout=60_000)
    page.goto(page.url)
    settle(page)
    expect(page.locator("[data-testid=stPlotlyChart]")).to_have_count(4, timeout=60_000)
    page.get_by_text("Which checkpoints are on the frontier?").click()
    page.wait_for_function("() => !location.href.includes('open=')")
    page.close()


def test_arrow_keys_walk_the_story_of_a_prompt(site: tuple[str, str], browser: Browser) -> None:
    page = visitor(browser, site[0], viewport={"width": 1280, "height": 900})
    page.goto(f"{site[0]}/output?generation={site[1]}")
    settle(page)
    seen = [page.url]
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowRight"):
        page.wait_for_timeout(1500)
        for last in (
            False,
            False,
            True,
        ):  # a key that comes while the page is being drawn again is lost, and pressed again
            page.keyboard.press(key)
            try:
                page.wait_for_function(
                    "before => location.href !== before", arg=seen[-1], timeout=30_000 if last else 15_000
                )
                break
            except TimeoutError:
                if last:
                    raise
        settle(page)
        seen.append(page.url)
        assert page.locator("[data-testid=stException]").count() == 0
    assert len(set(seen)) == len(seen)
    assert "Side by side" in page.inner_text("body")
    page.close()


def test_the_way_of_asking_goes_along_through_the_menu(site: tuple[str, str], browser: Browser) -> None:
    page = visitor(browser, site[0], viewport={"width": 1280, "height": 900})
    page.goto(f"{site[0]}/capability?policy=excluded")
    settle(page)
    page.get_by_role("link", name="Incoherence").first.click()
    page.wait_for_url("**/incoherence**", timeout=30_000)
    settle(page)
    assert "policy=excluded" in page.url
    page.close()


def test_headers_forbid_other_hosts(site: tuple[str, str]) -> None:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    headers = opener.open(f"{site[0]}/?token={TOKEN}").headers
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
