"""What somebody in front of a browser waits for: pages, filters and bytes, on the app in a process of its own.

A page counts as there when its script has ended and it has kept still; the half second of stillness is not
part of the time. The browser runs on the machine of the server, over loopback, without a GPU.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from capsafe_core.jobs.packing import unpack_jobs
from capsafe_core.places import DATA
from tests.e2e.conftest import FLAGS
from tests.e2e.site import serve, settle, visitor

PAGES = {
    "": "Overview",
    "capability": "Capability and safety",
    "incoherence": "Incoherence",
    "disagreement": "Judge disagreement",
    "conclusions": "Conclusions",
    "outputs": "Outputs",
    "labels": "Labels",
    "runs": "Runs",
}
"""address -> what the menu calls it"""
STILL = 400
"""milliseconds in which nothing may move"""
WAIT = """([act, still]) => new Promise(done => {
    const root = document.querySelector('[data-testid=stMain]') ?? document.body, began = performance.now();
    let last = began;
    const seen = new MutationObserver(() => { last = performance.now(); });
    seen.observe(document.body, {subtree: true, childList: true, characterData: true, attributes: true});
    const busy = () => document.querySelector('[data-test-script-state=notRunning]') === null
        || document.querySelector('[data-stale=true]') !== null;
    const look = () => {
        if (busy()) last = performance.now();
        if (performance.now() - last < still) { setTimeout(look, 10); return; }
        seen.disconnect();
        done(last - began);
    };
    if (act) { act.click(); setTimeout(look, 30); } else look();
})"""


def after(page: Page, selector: str) -> float:
    """Milliseconds from a click until the page is still again."""
    element = page.locator(selector).first.element_handle()
    return float(page.evaluate(WAIT, [element, STILL]))


def change(page: Page, name: str) -> float:
    """Milliseconds from a click in the menu until the page stands."""
    link = page.get_by_role("link", name=name, exact=True)
    if not link.first.is_visible():
        page.get_by_role("button", name="more").first.click()
    return float(page.evaluate(WAIT, [link.first.element_handle(), STILL]))


def traffic(page: Page) -> Callable[[], int]:
    """Counts what this page's WebSocket brings, which is all but Streamlit's own files and downloads; bytes since
    the last call."""
    count = [0]
    page.on(
        "websocket",
        lambda socket: socket.on(
            "framereceived",
            lambda frame: count.__setitem__(
                0, count[0] + len(frame if isinstance(frame, bytes) else str(frame).encode())
            ),
        ),
    )

    def taken() -> int:
        bytes_, count[0] = count[0], 0
        return bytes_

    return taken


def first_visit(browser: Browser, base: str, path: str) -> tuple[float, int]:
    """Milliseconds and bytes of the app's own in a browser that has nothing yet."""
    page = visitor(browser, base, viewport={"width": 1280, "height": 720})
    taken = traffic(page)
    page.goto(f"{base}/{path}", wait_until="commit")
    page.wait_for_selector("h1", timeout=120_000)
    page.evaluate(WAIT, [None, STILL])
    elapsed = float(page.evaluate("performance.now()")) - STILL
    found = elapsed, taken()
    page.context.close()
    return found


def look(base: str, browser: Browser, rounds: int) -> list[tuple[str, float, str]]:
    """Name, value and unit of each figure."""
    out: list[tuple[str, float, str]] = []
    for path, name in PAGES.items():
        first_visit(browser, base, path)  # fills the server's caches
        visits = [first_visit(browser, base, path) for _ in range(rounds)]
        out.append((f"first visit, fresh browser: {name}", statistics.median(v[0] for v in visits), "ms"))
        out.append((f"to the browser: {name}", statistics.median(v[1] for v in visits) / 1000, "kB"))
    page = visitor(browser, base, viewport={"width": 1600, "height": 900})
    page.goto(base)
    settle(page)
    for name in PAGES.values():
        change(page, name)
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name in PAGES.values():
            times.setdefault(name, []).append(change(page, name))
    out += [(f"page change: {name}", statistics.median(t), "ms") for name, t in times.items()]
    page.goto(f"{base}/conclusions")
    settle(page)
    chip = "[data-testid=stButtonGroup] button"
    turns = [after(page, chip) for _ in range(2 * rounds)]
    out.append(("a chip on Conclusions, headline and curve", statistics.median(turns), "ms"))
    page.goto(f"{base}/outputs")
    settle(page)
    orders = [
        after(page, f"[data-testid=stButtonGroup] button:has-text('{order}')")
        for order in ("most disputed", "by prompt") * rounds
    ]
    out.append(("order of Outputs until settled", statistics.median(orders), "ms"))
    page.context.close()
    return out


def screens(rounds: int = 5) -> list[dict[str, Any]]:
    """The figures on the demo study; none where there is no browser."""
    path = shutil.which("chromium")
    if path is None:
        print("there is no chromium: what a browser waits for is not measured")
        return []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home = Path(folder)
        unpack_jobs(DATA / "demo", home / "jobs")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        with serve(home) as base:
            page = visitor(browser, base)
            page.goto(base)
            page.get_by_text("60% accuracy on sums-with-working").first.wait_for(timeout=150_000)
            page.context.close()
            found = look(base, browser, rounds)
        browser.close()
    return [
        {
            "name": name,
            "value": round(value),
            "unit": unit,
            "peer": None,
            "peer_value": None,
            "ratio": None,
        }
        for name, value, unit in found
    ]


if __name__ == "__main__":
    for row in screens(int(sys.argv[1]) if len(sys.argv) > 1 else 5):
        print(f"{row['value']:>7} {row['unit']:<3} {row['name']}")
