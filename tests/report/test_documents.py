"""Reports as files: pages of a PDF, the weight of a page, texts between findings, a logo, a copy to read
without a server."""

from __future__ import annotations

import base64
import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import plotly.graph_objects as go
import pptx
import pytest
from PIL import Image
from plotly.offline import get_plotlyjs_version
from typer.testing import CliRunner

from capsafe_core.analysis.by_name import TABLES
from capsafe_core.analysis.view import View
from capsafe_core.cli import app
from capsafe_core.errors import CapsafeError
from capsafe_core.report.document import Item, Made, Report, items_of, make, read_provenance, verify
from capsafe_core.report.finding import PROSE
from capsafe_core.report.html import drawing, to_html, to_pdf
from capsafe_core.report.logo import read_logo
from capsafe_core.report.site import KEPT_BACK, to_site
from capsafe_core.report.slides import to_pptx
from capsafe_core.store import Store
from tests.report.conftest import KINDS
from tests.report.printed_pages import Page, pages_of
from tests.report.test_report import HOSTILE, needs_browser
from tests.report.test_slides import strained

NOTE = Item("text:why", "Why this matters: the model ships on Monday.\nRead the limits first.")
LARGEST_PAGE = 1_500_000
"""bytes of a report that one can still send by mail"""


@pytest.fixture(scope="module")
def told(view: View) -> Made:
    """For stakeholders, with a text between the first two findings."""
    items = [Item(key) for key in KINDS]
    return make(view, Report("Shall we ship?", (items[0], NOTE, *items[1:])))


def picture(kind: str = "PNG", size: tuple[int, int] = (60, 20)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, "#d1495b").save(stream, kind)
    return stream.getvalue()


def squeezed(text: str) -> str:
    """Letters and digits only: a page breaks lines between them, and sets signs in its own way."""
    return re.sub(r"\W+", "", text)


def assert_whole(pages: list[Page], made: Made) -> None:
    assert len(pages) == len(made.findings)
    for number, (page, finding) in enumerate(zip(pages, made.findings, strict=True), 1):
        assert page.inked > 0.002
        shown = squeezed(page.text)
        for words in (finding.sentence, *finding.means, *finding.limits, *(w for _, w in finding.basis)):
            assert squeezed(words)[:400] in shown, (number, words)
        assert squeezed(f"{number} of {len(pages)}") in shown
        assert all(
            line.left > 0 and line.right < 1 and line.top > 0 and line.bottom < 1 for line in page.lines
        )


@needs_browser
def test_a_pdf_has_one_finding_a_page_and_cuts_nothing(told: Made) -> None:
    assert_whole(pages_of(to_pdf(to_html(told))), told)
    long = strained(replace(told, report=Report("", told.report.items)), "A sentence of some length. " * 30)
    findings = [
        replace(f, basis=b.basis, big=b.big) for f, b in zip(long.findings, told.findings, strict=True)
    ]
    assert_whole(
        pages_of(to_pdf(to_html(replace(long, findings=findings)))), replace(long, findings=findings)
    )


@needs_browser
def test_a_reviewers_pdf_has_no_blank_page_and_cuts_no_chart(made: Made) -> None:
    pages = pages_of(to_pdf(to_html(made)))
    assert all(page.text and page.inked > 0.002 for page in pages)
    assert squeezed("What did fine-tuning do") in squeezed(pages[0].text)
    for ends in (("start: aligned", "100%"), ("learnt-harm", "outputs called unsafe")):
        assert any(all(squeezed(end) in squeezed(page.text) for end in ends) for page in pages)


def test_a_page_is_light_and_draws_with_the_basic_bundle(told: Made, made: Made) -> None:
    for one in (told, made):
        assert len(to_html(one).encode()) < LARGEST_PAGE
    banner = drawing(told.findings)[:200]
    assert "plotly.js (basic - minified)" in banner
    assert f"v{get_plotlyjs_version()}" in banner, "take the bundle of the plotly that is installed"
    heat = SimpleNamespace(figure=go.Figure(go.Heatmap(z=[[1]])))
    assert "basic" not in drawing([*told.findings, heat])[:200]  # type: ignore[list-item]


def test_texts_between_findings_are_text_and_leave_the_numbers_alone(
    view: View, made_up_store: Store, tmp_path: Path
) -> None:
    report = Report("", (Item("text:1", HOSTILE), Item("judges"), Item("text:2", "Second")))
    made = make(view, report)
    html = to_html(made)
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt; ⟨U+202E⟩gnp.exe" in html
    assert "<img src=x" not in html
    assert html.index("onerror=alert(1)&gt;") < html.index("Which outputs split") < html.index(">Second<")
    (tmp_path / "r.html").write_text(html, encoding="utf-8")
    assert verify(made_up_store, read_provenance(tmp_path / "r.html")) == []
    slides = pptx.Presentation(io.BytesIO(to_pptx(made))).slides
    assert [s.shapes.title.text_frame.text for s in slides][1:] == [
        "</script><img src=x onerror=alert(1)> ⟨U+202E⟩gnp.exe",
        made.findings[1].headline,
        "Second",
    ]
    with pytest.raises(CapsafeError, match="No finding is chosen"):
        Report.from_dict({"items": [{"key": "text:1", "words": " "}]})
    with pytest.raises(CapsafeError, match="has no text"):
        items_of(["text:1"])
    assert items_of(["text:1"], ["text:1=a=b"]) == (Item("text:1", "a=b"),)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_of_a_logo_only_its_pixels_stay(view: View, kind: str) -> None:
    data = picture(kind) + b"<script>alert(1)</script>"
    made = make(view, Report("", (Item("judges"),)), data)
    kept = base64.b64decode(made.logo.partition(",")[2])
    assert b"script" not in kept
    assert Image.open(io.BytesIO(kept)).size == (60, 20)
    assert f'src="{made.logo}"' in to_html(made)
    for slide in pptx.Presentation(io.BytesIO(to_pptx(made))).slides:
        [shown] = [s for s in slide.shapes if s.shape_type == 13]
        assert shown.width / shown.height == pytest.approx(3, rel=0.01)
    assert made.logo not in str(made.provenance)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"<svg onload='alert(1)'/>",
        picture()[:40],
        picture("GIF"),
        b"\x89PNG\r\n\x1a\n" + b"\0" * 99,
    ]
    + [picture()[:-i] for i in (30, 45)]
    + [b"\0" * (5 << 20)],
)
def test_what_is_no_picture_is_no_logo(data: bytes) -> None:
    with pytest.raises(CapsafeError, match="not a PNG or JPEG"):
        read_logo(data)


def test_a_copy_opens_without_a_server_and_holds_nobodys_texts(
    view: View, told: Made, tmp_path: Path
) -> None:
    archive = zipfile.ZipFile(io.BytesIO(to_site(view, told)))
    names = archive.namelist()
    tables = {n.removeprefix("tables/").removesuffix(".html") for n in names if n.startswith("tables/")}
    assert {"match", "judges", "conclusions", "rates"} <= tables
    assert not tables & set(KEPT_BACK)
    assert tables - {f"{n}.csv" for n in TABLES} <= set(TABLES)
    archive.extractall(tmp_path)
    index = (tmp_path / "index.html").read_text()
    links = re.findall(r'href="([^"]+)"', index[: index.index("<section")])
    assert len(links) == len(names) // 2
    assert all((tmp_path / link).is_file() for link in links)
    for path in tmp_path.rglob("*.html"):
        page = path.read_text()
        assert "default-src 'none'" in page
        assert not re.search(r"<(?:link|img|iframe|script)[^>]+(?:src|href)=", page)
    match = (tmp_path / "tables" / "match.html").read_text()
    assert all(f"<th>{c}</th>" in match for c in told.findings[0].table.columns)
    assert verify(view.store, read_provenance(tmp_path / "index.html")) == []


def test_commands_take_texts_a_logo_and_write_a_copy(
    made_up_jobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSAFE_HOME", str(tmp_path))
    monkeypatch.setenv("CAPSAFE_JOBS", str(made_up_jobs))
    (tmp_path / "logo.png").write_bytes(picture())
    target = tmp_path / "study.zip"
    words = ["--item", "judges", "--item", f"{PROSE}a", "--words", f"{PROSE}a=Our text"]
    done = CliRunner().invoke(app, ["look"])
    done = CliRunner().invoke(app, ["report", str(target), *words, "--logo", str(tmp_path / "logo.png")])
    assert done.exit_code == 0, done.output
    index = zipfile.ZipFile(target).read("index.html").decode()
    assert "Our text" in index
    assert "data:image/png;base64," in index
    missing = CliRunner().invoke(app, ["report", str(target), "--logo", str(tmp_path / "none.png")])
    assert isinstance(missing.exception, CapsafeError)
