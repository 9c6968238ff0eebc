"""What axe-core finds on every page, light and dark, and that no page scrolls sideways on a phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.axe import faults, script
from tests.e2e.site import PATHS, click_mark, plant_hostile, serve, settle, visitor
from tests.synthetic import write_study

pytestmark = pytest.mark.browser
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
OVERHANGING = """() => {
    const wide = [];
    let part = document.querySelector('[data-testid=stMainBlockContainer]') ?? document.body;
    for (; part; part = part.parentElement)
        if (part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).display !== 'contents')
            wide.push(`${part.tagName} ${part.dataset.testid ?? ''} ${part.scrollWidth} > ${part.clientWidth}`);
    return wide;
}"""
"""what around a page is wider inside than outside: it scrolls sideways, or is cut"""
DRAWN_DARK = (
    "dark => [...document.querySelectorAll('style')].some(s => s.textContent.includes('[data-tag-index]'))"
    " === dark"
)
"""whether the page was drawn for the dark theme; `page_style` has the rule"""

BEYOND = """() => [...document.querySelectorAll('[data-testid=stMainBlockContainer] *')].filter(part => {
    const {left, right, width, height} = part.getBoundingClientRect();
    return width && height && (left < -1 || right > innerWidth + 1)
        && !part.closest('[class*=st-key-wide-], [data-testid=stDataFrame], svg');
}).map(part => `${part.tagName} ${part.dataset.testid ?? ''} ${(part.innerText ?? '').slice(0, 40)}`)"""
"""what of a page reaches beyond the window, outside of charts and tables that are moved sideways"""


@pytest.fixture(scope="module")
def source() -> str:
    return script()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[tuple[str, str, Page]]:
    """The app over the made-up study, an output of it, and the one page that visits all."""
    home = tmp_path_factory.mktemp("accessible")
    write_study(home / "jobs", safety_size=12, capability_size=10, variant="margins")
    output = plant_hostile(home / "jobs", 9)
    with serve(home) as base:
        page = visitor(browser, base, viewport=DESK)
        yield base, output, page
        page.context.close()


def test_a_keyboard_opens_what_a_click_on_a_mark_opens(site: tuple[str, str, Page]) -> None:
    base, _, page = site
    page.set_viewport_size(DESK)
    page.goto(base)
    settle(page)
    marks = page.get_by_role("combobox", name="Marks of the chart").first
    assert (marks.bounding_box() or {})["width"] < 20
    for _ in range(60):
        if marks.evaluate("element => element === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(marks).to_be_focused()
    expect(marks).to_be_in_viewport(ratio=1)
    page.keyboard.type("refused")
    expect(page.get_by_role("option").first).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url("**/outputs?**outcomes=**")


def test_what_was_used_last_counts_the_list_or_a_click(site: tuple[str, str, Page]) -> None:
    base, _, page = site
    page.set_viewport_size(DESK)
    page.goto(f"{base}/disagreement")
    settle(page)
    page.get_by_role("combobox", name="Marks of the chart “Share of coherent").focus()
    page.keyboard.type("incoherent outputs, judges split")
    expect(page.get_by_role("option").first).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url("**strata=incoherent**")
    settle(page)
    click_mark(page, page.locator(".st-key-splits .barlayer .point path").first)
    page.wait_for_url("**strata=refusal**")
    settle(page)
    page.get_by_text("Show model text").click()
    settle(page)
    assert "strata=refusal" in page.url


@pytest.mark.parametrize("path", PATHS, ids=[path or "overview" for path in PATHS])
def test_a_page_has_no_serious_fault_light_or_dark_and_fits_a_phone(
    site: tuple[str, str, Page], source: str, path: str
) -> None:
    base, output, page = site
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(DESK)
    page.goto(f"{base}/{path}?" + (f"generation={output}" if path == "output" else "open=all"))
    for theme, ground in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(15, 22, 29)")):
        page.emulate_media(color_scheme=theme)
        expect(page.get_by_test_id("stApp")).to_have_css("background-color", ground)
        page.wait_for_function(DRAWN_DARK, arg=theme == "dark")
        settle(page)
        assert faults(page, source) == [], theme
    page.set_viewport_size(PHONE)
    settle(page)
    assert page.evaluate(OVERHANGING) == []
    assert page.evaluate(BEYOND) == []


def test_a_chart_is_drawn_again_when_the_system_turns_dark(site: tuple[str, str, Page]) -> None:
    base, _, page = site
    page.emulate_media(color_scheme="light")
    page.goto(f"{base}/incoherence")
    words = page.locator(".js-plotly-plot .xtick text").first
    expect(words).to_have_css("fill", "rgb(34, 49, 63)")
    page.emulate_media(color_scheme="dark")
    expect(words).to_have_css("fill", "rgb(228, 234, 240)")


def test_what_is_planted_is_found(browser: Browser, source: str) -> None:
    page = browser.new_page(viewport=PHONE)
    page.set_content(
        "<html lang=en><title>t</title><main><h1>t</h1><p style='color:#bbb;background:#fff'>faint</p>"
        "<button></button><div data-testid=stMainBlockContainer style='overflow:hidden'>"
        "<div style='width:700px'>wide</div></div></main>"
    )
    assert {fault.rule for fault in faults(page, source)} == {"color-contrast", "button-name"}
    assert page.evaluate(OVERHANGING) != []
    assert page.evaluate(BEYOND) == ["DIV  wide"]
    page.close()
