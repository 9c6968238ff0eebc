"""axe-core in a page: what of WCAG a machine can find."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page

from capsafe_core.settings import ROOT

VERSION = "4.10"
CACHE = ROOT / "build" / "axe-core"
GRAVE = ("serious", "critical")
AXE = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations.flatMap(v =>
    v.nodes.map(n => ({rule: v.id, impact: n.impact ?? v.impact, where: n.target.flat().join(' '),
        html: n.html.slice(0, 160), why: (n.failureSummary ?? '').slice(0, 300)})))"""


@dataclass(frozen=True)
class Fault:
    """A rule that an element breaks."""

    rule: str
    where: str
    html: str
    why: str


def script() -> str:
    """The source of axe-core, fetched once with npm; skips the test where npm or its registry is missing."""
    npm = shutil.which("npm")
    CACHE.mkdir(parents=True, exist_ok=True)
    if not any(CACHE.glob("*.tgz")):
        if npm is None:
            pytest.skip("there is no npm: axe-core cannot be fetched")
        packed = subprocess.run(
            [npm, "pack", f"axe-core@{VERSION}", "--silent"], cwd=CACHE, capture_output=True, timeout=120
        )
        if packed.returncode:
            pytest.skip("the npm registry does not answer: axe-core cannot be fetched")
    with tarfile.open(next(CACHE.glob("*.tgz"))) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


def faults(page: Page, source: str) -> list[Fault]:
    """The serious and critical faults of a page as it stands."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(source)
    found = page.evaluate(AXE)
    return [Fault(f["rule"], f["where"], f["html"], f["why"]) for f in found if f["impact"] in GRAVE]
