"""`make screenshots`: every page of the shipped study as a reader sees it, on three screens, light and dark.

    python -m tests.screenshots.run [FOLDER]

One file a page, width and theme, as high as the page is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from capsafe_core.places import ROOT
from tests.e2e.conftest import FLAGS
from tests.e2e.site import PATHS, serve, settle, visitor

SIZES = ((1280, 720), (1440, 900), (390, 844))
THEMES = ("light", "dark")


def shoot(browser: Browser, base: str, folder: Path, paths: list[str]) -> None:
    """Write a picture of each page on each screen in each theme."""
    for theme in THEMES:
        for width, height in SIZES:
            page = visitor(browser, base, viewport={"width": width, "height": height}, color_scheme=theme)
            for path in paths:
                page.set_viewport_size({"width": width, "height": height})
                page.goto(f"{base}/{path}")
                settle(page)
                whole = page.evaluate(
                    "document.querySelector('[data-testid=stMainBlockContainer]').scrollHeight + 40"
                )
                page.set_viewport_size({"width": width, "height": max(height, min(int(whole), 6000))})
                settle(page)
                name = path.partition("?")[0] or "overview"
                page.screenshot(path=folder / f"{name}-{width}-{theme}.png")
            page.close()


def _capsafe(home: str, *words: str) -> str:
    """What a command over a workspace prints."""
    command = [sys.executable, "-m", "capsafe_core.cli", *words]
    environment = {**os.environ, "CAPSAFE_HOME": home}
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Start the app over the shipped study, and go through its pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "screenshots")
    parser.add_argument("--pages", nargs="*", default=PATHS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    path = shutil.which("chromium")
    if path is None:
        raise SystemExit("There is no chromium: install Debian's package.")
    with tempfile.TemporaryDirectory() as home:
        _capsafe(home, "demo-store", str(ROOT / "data" / "demo"))
        listed = json.loads(_capsafe(home, "outputs", "--json", "--recipe", "sums", "--outcome", "unsafe"))
        one = f"output?generation={listed[0]['generation_id']}"
        paths = [one if path == "output" else path for path in given.pages]
        with serve(Path(home)) as base, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            shoot(browser, base, given.folder, paths)
            browser.close()
    print(f"{len(list(given.folder.glob('*.png')))} pictures in {given.folder}")


if __name__ == "__main__":
    main()
