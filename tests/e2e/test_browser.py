"""What only a browser shows: cold deep links, hostile text, clicks on marks."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, TimeoutError, expect

from tests.e2e.site import PATHS, TOKEN, click_mark, plant_hostile, serve, settle, visitor
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


def test_deep_links_to_every_page_work_and_nothing_leaves_the_host(
    site: tuple[str, str], browser: Browser
) -> None:
    for path in PATHS:
        page = visitor(browser, site[0], viewport={"width": 1280, "height": 720})
        elsewhere: list[str] = []
        page.on(
            "request",
            lambda r, kept=elsewhere: (
                kept.append(r.url)
                if not r.url.startswith((site[0], site[0].replace("http", "ws"), "data:", "blob:"))
                else None
            ),
        )
        page.goto(f"{site[0]}/{path}")
        settle(page)
        assert page.locator("h1").first.inner_text(), path
        assert page.locator("[data-testid=stException]").count() == 0, path
        assert elsewhere == [], path
        page.close()


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
# page, which of its charts, and what the address must then contain; "more" charts come after a toggle
MARKS = [
    ("", 1, "/outputs?", "checkpoints="),
    *[
        ("capability", i, "/outputs?", part)
        for i, part in (
            (0, "checkpoints="),
            (1, "checkpoints="),
            (2, "checkpoints="),
        )
    ],
    *[
        ("capability?open=all", i, "/outputs?", part)
        for i, part in ((4, "recipes="), (5, "recipes="), (6, "checkpoints="))
    ],
    ("", 0, "/outputs?", "outcomes="),
    ("capability?open=all", 3, "/capability?", "goals=sums"),
    ("incoherence", 0, "/outputs?", "before="),
    ("incoherence", 1, "/outputs?", "checkpoints="),
    *[("incoherence?open=all", i, "/outputs?", "checkpoints=") for i in (2, 3)],
    ("disagreement", 0, "/disagreement?", "strata="),
    ("disagreement", 1, "/disagreement?", "strata="),
    ("disagreement", 2, "/disagreement?", "pattern="),
    ("disagreement", 3, "/disagreement?", "checkpoints="),
    ("disagreement more", 4, "/disagreement?", "pattern="),
    ("disagreement more", 7, "/output?", "generation="),
    ("conclusions", 0, "/outputs?", "judges="),
    ("conclusions?open=all", 1, "/outputs?", "judges="),
    ("outputs?open=story", 0, "/output?", "generation="),
    ("runs?open=coverage", 0, "/outputs?", "checkpoints="),
]


@pytest.mark.parametrize(
    ("where", "chart", "address", "part"), MARKS, ids=[f"{w or 'overview'}-{c}" for w, c, _, _ in MARKS]
)
def test_a_click_on_a_mark_of_every_chart_opens_what_is_behind_it(
    site: tuple[str, str], browser: Browser, where: str, chart: int, address: str, part: str
) -> None:
    path, _, more = where.partition(" ")
    page = visitor(browser, site[0], viewport={"width": 1280, "height": 900})
    for _ in range(
        3
    ):  # on a slow machine a chart may be drawn again just under the click: then as a person would, once more
        page.goto(f"{site[0]}/{path}")
        settle(page)
        if more:
            page.get_by_text("More: agreement by kind of response").click()
            settle(page)
        page.wait_for_function(ALL_DRAWN)  # a later chart may be drawn before an earlier one
        drawn = page.locator("[data-testid=stPlotlyChart]").nth(chart)
        points, bars = (drawn.locator(f"{layer} .point") for layer in (".scatterlayer", ".barlayer"))
        points.or_(bars).first.wait_for(state="attached")
        mark = points.last if points.count() else bars.first
        left = page.url
        click_mark(page, mark)
        try:
            page.wait_for_function("part => location.href.includes(part)", arg=part, timeout=15_000)
            break
        except TimeoutError:
            continue
    settle(page)
    assert part in page.url
    assert address in page.url
    assert page.locator("[data-testid=stException]").count() == 0
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
