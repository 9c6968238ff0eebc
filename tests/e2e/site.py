"""The app in a process of its own, and how to wait for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page

from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.records import Generation, Judgment
from capsafe_core.settings import ROOT
from tests.synthetic import CONDITION, RATERS, benchmark, checkpoint

PATHS = [
    "",
    "capability",
    "mitigations",
    "incoherence",
    "disagreement",
    "conclusions",
    "outputs",
    "output",
    "annotate",
    "labels",
    "runs",
    "report",
    "data",
]
"""the address of every page"""
TOKEN = "a token that e2e tests give".replace(" ", "-")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def start(home: Path, port: int, *options: str, token: str | None = TOKEN) -> subprocess.Popen[bytes]:
    """The app over a workspace, when it answers; options as `streamlit run` takes them. Without a token it
    makes its own."""
    environment = {**os.environ, "CAPSAFE_HOME": str(home), **({"CAPSAFE_TOKEN": token} if token else {})}
    with (home / "log").open("a") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), *options],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
            return server
        except OSError:
            time.sleep(0.2)
    server.kill()
    pytest.fail((home / "log").read_text())


@contextmanager
def serve(home: Path) -> Iterator[str]:
    """The app over a workspace; its address."""
    port = free_port()
    server = start(home, port)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(timeout=20)


def visitor(browser: Browser, base: str, **options: Any) -> Page:
    """A page of a browser of its own that has shown the token."""
    page = browser.new_page(**options)
    page.set_default_timeout(60_000)  # a slow machine is not a fault
    shown = page.context.request.get(f"{base}/?token={TOKEN}", max_redirects=0)
    assert shown.status == 303
    return page


def settle(page: Page) -> None:
    """Wait until the script has ended and the page has kept its height for half a second."""
    page.wait_for_selector("h1", timeout=60_000)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=60_000)
    page.evaluate(
        """() => new Promise(done => {
            let height = 0, since = performance.now();
            const look = () => {
                const now = document.querySelector('[data-testid=stMainBlockContainer]')?.scrollHeight ?? 0;
                const busy = document.querySelector('[data-test-script-state=notRunning]') === null;
                if (now !== height || busy) { height = now; since = performance.now(); }
                performance.now() - since > 500 ? done() : setTimeout(look, 50);
            };
            look();
        })"""
    )


def click_mark(page: Page, mark: Locator) -> None:
    """Click a mark of a chart as a person does: it is brought into sight, not under the bar at the top, and
    pointed at."""
    mark.evaluate("element => element.scrollIntoView({block: 'center'})")
    page.wait_for_timeout(300)
    mark.hover(force=True)
    page.wait_for_timeout(150)
    mark.click(force=True)


def preview(page: Page, folder: Path, wait: Callable[[Page], object]) -> None:
    """Look at a folder of logs on the page Data, until it says what was recognised."""
    page.get_by_label("Or a file or folder on the machine that runs capsafe").fill(str(folder))
    page.keyboard.press("Enter")
    wait(page)
    page.get_by_role("button", name="Preview", exact=True).click()
    page.get_by_text("What was recognised", exact=True).wait_for(timeout=60_000)
    wait(page)


def plant_hostile(jobs: Path, port: int) -> str:
    """An output that would ask a local server for something if any of it were read as markup; its id."""
    address = f"http://127.0.0.1:{port}"
    text = (
        f"![a]({address}/markdown.png) <img src='{address}/img.png' onerror=\"fetch('{address}/onerror')\"> "
        f"<script>fetch('{address}/script')</script>"
        f"<iframe src='{address}/frame'></iframe> <style>body{{background:url({address}/style)}}</style> "
        f"[click]({address}/link) :material/home: $$x$$ \u202egnp.exe"
    )
    bench, prompts = benchmark("requests", "safety", 12)
    point = checkpoint("harsh", 0, 40)
    g = Generation(point.id, bench.id, CONDITION.id, prompts[0].id, 1, 0, text, "stop", 9)
    job = create_job(jobs, Manifest("import", "hostile", {}))
    with Part(job) as part:
        verdicts = [
            Judgment(g.id, g.cell_id, RATERS[name].id, d, "ok", label, native=text, raw=text, asked=text)
            for name, d, label in (
                ("prefix-zou", "safety", "unsafe"),
                ("prefix-zou", "refusal", "none"),
                ("coherence-rules", "coherence", "incoherent"),
                ("learnt-harm", "safety", "safe"),
            )
        ]
        part.write("x", [g, *verdicts])
    return g.id
