"""A report as one HTML file that opens offline, and as the PDF that Chromium prints of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from capsafe_core.analysis.methods import METHODS
from capsafe_core.errors import CapsafeError
from capsafe_core.figures.style import sealed
from capsafe_core.records import digest_text
from capsafe_core.report.document import DATA_ID, PLACE, Item, Made
from capsafe_core.report.finding import Finding, cells
from capsafe_core.text import visible
from capsafe_core.writing import refusal

BASIC = ("bar", "pie", "scatter")
"""kinds of trace of plotly's basic bundle, which is a quarter of the whole"""
ROWS = 1000
"""rows of a table that are printed"""
REDACTED = "(not shown: the text of an output is shown only where it was chosen)"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 120


def to_html(made: Made, links: Sequence[tuple[str, str]] = ()) -> str:
    """The report as one file: no request leaves it.

    Args:
        links: names and addresses of files that lie beside it.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=in_plain_sight
    )
    template = environment.from_string(
        files("capsafe_core.report").joinpath("page.html").read_text(encoding="utf-8")
    )
    shown = [_shown(item, finding) for item, finding in zip(made.report.items, made.findings, strict=True)]
    figures = {
        f"chart-{i}": json.loads(sealed(f.figure).to_json())
        for i, f in enumerate(made.findings, 1)
        if f.figure is not None
    }
    page = template.render(
        title=made.report.title or made.findings[0].title or made.findings[0].headline,
        audience=made.report.audience,
        way=made.way,
        selection=made.selection,
        findings=shown,
        counts=made.counts,
        provenance=made.provenance,
        data=PLACE,
        figures=_json(figures),
        plotly=Markup(drawing(made.findings)),
        logo=made.logo,
        links=list(links),
        checklist=made.checklist,
        data_id=DATA_ID,
    )
    before, own, after = page.partition(
        f'id="{DATA_ID}">{PLACE}<'
    )  # a text of the page has no quotes of its own
    return before + own.replace(PLACE, _json({**made.provenance, "page": digest_text(page)})) + after


def drawing(findings: Sequence[Finding]) -> str:
    """The program that draws the charts: plotly's basic bundle where all charts are of its kinds of trace."""
    traces = (trace.type for f in findings if f.figure is not None for trace in f.figure.data)
    if all(trace in BASIC for trace in traces):
        return files("capsafe_core.report").joinpath("plotly-basic/plotly-basic.min.js").read_text("utf-8")
    return str(get_plotlyjs())


def _shown(item: Item, finding: Finding) -> dict[str, Any]:
    """What the page shows of a finding; a model's text only where it was chosen."""
    text = None
    if finding.text is not None:
        text = finding.text if item.shown else (REDACTED, REDACTED)
    rows = cells(finding.table)
    return {
        "prose": finding.sentence if finding.is_prose else "",
        "basis": finding.basis,
        "title": finding.title,
        "sentence": item.words or finding.sentence,
        "own": bool(item.words),
        "drafted": finding.sentence,
        "big": finding.big,
        "means": finding.means,
        "limits": finding.limits,
        "figure": finding.figure is not None,
        "alt": finding.alt,
        "text": text,
        "methods": [METHODS[m] for m in finding.methods],
        "columns": list(finding.table.columns),
        "rows": [[number_words(v) for v in row] for row in rows[:ROWS]],
        "more": max(0, len(rows) - ROWS),
    }


def number_words(value: Any) -> str:
    """A cell of a table as people read it."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def in_plain_sight(value: Any) -> Any:
    """What a template is about to write, in which nothing is unseen; our own markup stays."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _json(value: Any) -> Markup:
    """JSON that cannot end the element that it stands in."""
    return Markup(json.dumps(value, ensure_ascii=True).replace("<", "\\u003c"))


def browser() -> str | None:
    """The browser that prints PDFs, where there is one; CAPSAFE_CHROMIUM names another."""
    named = os.environ.get("CAPSAFE_CHROMIUM")
    return named if named else next((found for name in BROWSERS if (found := shutil.which(name))), None)


def to_pdf(html: str) -> bytes:
    """The report as PDF, printed by Chromium.

    Raises:
        CapsafeError: there is no Chromium, or it fails.
    """
    return run_browser(html, "--print-to-pdf")


def run_browser(html: str, what: str) -> bytes:
    """What Chromium makes of a page.

    Args:
        what: "--print-to-pdf" or "--dump-dom".

    Raises:
        CapsafeError: there is no Chromium, or it fails.
    """
    program = browser()
    if program is None:
        raise CapsafeError(
            "There is no Chromium here to print with.",
            "Install Chromium, or set CAPSAFE_CHROMIUM to one; or open the HTML report in a browser and "
            "print it.",
        )
    try:
        return _run(program, html, what)
    except OSError as error:
        raise refusal(error) from error


def _run(program: str, html: str, what: str) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        page, target = Path(scratch) / "page.html", Path(scratch) / "page.pdf"
        page.write_text(html, encoding="utf-8", errors="replace")
        command = [
            program,
            "--headless",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            f"--user-data-dir={scratch}/profile",
            "--virtual-time-budget=20000",
            "--no-pdf-header-footer",
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--no-sandbox")  # Chromium refuses its sandbox to root
        try:
            done = subprocess.run(
                [*command, what if what == "--dump-dom" else f"{what}={target}", f"{page.as_uri()}#paper"],
                capture_output=True,
                timeout=SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CapsafeError(
                f"{program} could not print: {error}.", "Open the HTML report in a browser and print it."
            ) from error
        found = done.stdout if what == "--dump-dom" else target.read_bytes() if target.exists() else b""
        if not found:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise CapsafeError(
                f"{program} printed nothing: {said[-1][:200] if said else 'no message'}.",
                "Open the HTML report in a browser and print it.",
            )
        return found
