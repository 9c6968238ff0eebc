"""Reports: the same numbers as the pages, verified against the store, redacted, and as HTML, PDF, slides and
print figures."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
from typer.testing import CliRunner

from capsafe_core.analysis.by_name import table
from capsafe_core.analysis.overview import overview
from capsafe_core.analysis.view import View, open_view
from capsafe_core.cli import app
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.records import Generation, Judgment
from capsafe_core.report.document import (
    Item,
    Made,
    Report,
    differences,
    make,
    read_provenance,
    verify,
)
from capsafe_core.report.finding import Slide
from capsafe_core.report.findings import find, offered
from capsafe_core.report.html import REDACTED, browser, to_html, to_pdf
from capsafe_core.report.printed import to_figure_pdf, to_svg
from capsafe_core.report.slides import to_pptx
from capsafe_core.selection import Selection
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.batches import store_digest
from capsafe_core.store.ingest import ingest_all
from tests.synthetic import CONDITION, RATERS, benchmark, checkpoint, write_study

SENTENCES = Path(__file__).with_name("report_sentences.json")
KINDS = ("overview", "capability", "conclusion", "judges", "incoherence")
HOSTILE = "</script><img src=x onerror=alert(1)> \u202egnp.exe"
needs_browser = pytest.mark.skipif(browser() is None, reason="there is no Chromium here to print with")


@pytest.fixture(scope="module")
def view(made_up_store: Store) -> View:
    return open_view(made_up_store, Selection())


@pytest.fixture(scope="module")
def made(view: View) -> Made:
    return make(view, Report("", tuple(Item(k) for k in KINDS), "reviewer"))


def test_sentences_and_captions_are_pinned(view: View) -> None:
    """What a report says of the made-up study; a change of wording or of a number shows here. CAPSAFE_PIN=1
    writes it again."""
    said = {"caption": f"{view.specification_words()}. {view.selection.caption()}."}
    for key in (*KINDS, "overview:gentle", "overview:harsh"):
        found = find(view, key)
        said[key] = {
            "title": found.title,
            "sentence": found.sentence,
            "big": list(found.big),
            "means": found.means,
            "limits": found.limits,
            "alt": found.alt,
        }  # type: ignore[assignment]
    if os.environ.get("CAPSAFE_PIN"):
        SENTENCES.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    assert said == json.loads(SENTENCES.read_text())


def test_a_report_has_the_numbers_of_the_pages(view: View, made: Made) -> None:
    by_key = {n["key"]: n for n in made.provenance["numbers"]}
    assert by_key["overview"]["sentence"] == overview(view).headline
    for key, name in (("capability", "match"), ("judges", "judges")):
        frame = table(view.store, name, Selection())
        rows = by_key[key]["rows"]
        assert len(rows) == len(frame)
        for column in frame.select_dtypes("number").columns:
            ours = [row[by_key[key]["columns"].index(column)] for row in rows]
            assert ours == [None if v != v else pytest.approx(float(v), rel=1e-11) for v in frame[column]]
    curve = table(view.store, "conclusions", Selection())
    assert len(by_key["conclusion"]["rows"]) == len(curve)
    html = to_html(made)
    for finding in made.findings:
        assert finding.sentence.replace("&", "&amp;").replace("'", "&#39;") in html


def test_everything_offered_can_be_found(view: View) -> None:
    for key in offered(view):
        assert find(view, key).sentence
    for wrong in ("nothing", "overview:nobody", "output:1"):
        with pytest.raises(CapsafeError):
            find(view, wrong)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CAPSAFE_HOME", str(tmp_path))
    write_study(tmp_path / "jobs", safety_size=12, capability_size=10)
    with Store(tmp_path / "store.duckdb") as store:
        ingest_all(store, tmp_path / "jobs")
    return Settings()


def command(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def hostile(jobs: Path) -> str:
    bench, prompts = benchmark("requests", "safety", 12)
    g = Generation(
        checkpoint("harsh", 0, 40).id, bench.id, CONDITION.id, prompts[0].id, 1, 0, HOSTILE, "stop", 9
    )
    with Part(create_job(jobs, Manifest("import", "hostile", {}))) as part:
        part.write(
            "x",
            [
                g,
                *(
                    Judgment(g.id, g.cell_id, RATERS["prefix-zou"].id, d, "ok", label)
                    for d, label in (("safety", "unsafe"), ("refusal", "none"))
                ),
            ],
        )
    return g.id


def test_verify_names_what_a_changed_store_changes(home: Settings, tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    command("report", str(target), "--item", "overview", "--item", "judges", "--item", "incoherence")
    assert "comes out the same" in command("report", "--verify", str(target))
    hostile(home.jobs_path)
    result = CliRunner().invoke(app, ["report", "--verify", str(target)])
    assert isinstance(result.exception, CapsafeError)
    assert re.search(r"judges: \w+ in row .* was .*, is ", result.exception.message)
    assert "differ: the store has changed" in result.exception.hint
    with Store(home.store_path) as store:
        ingest_all(store, home.jobs_path)
        assert store_digest(store) != read_provenance(target)["store"]


def test_verify_notices_numbers_that_were_edited(made: Made, made_up_store: Store, tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    target.write_text(to_html(made), encoding="utf-8")
    found = read_provenance(target)
    assert found == {**json.loads(json.dumps(made.provenance)), "page": found["page"]}
    assert verify(made_up_store, found) == []
    found["numbers"][0]["rows"][0][0] = "edited"
    with pytest.raises(CapsafeError, match="hash does not fit"):
        verify(made_up_store, found)
    with pytest.raises(CapsafeError, match="reads format"):
        verify(made_up_store, {**found, "format": 99})
    with pytest.raises(CapsafeError, match="cannot be read"):
        verify(made_up_store, {**read_provenance(target), "report": {}})
    shown = target.read_text()
    target.write_text(shown.replace(made.findings[0].sentence, "All is well.", 1))
    with pytest.raises(CapsafeError, match="was edited after it was made"):
        read_provenance(target)
    target.write_text("<html></html>")
    with pytest.raises(CapsafeError, match="holds no numbers"):
        read_provenance(target)


def test_texts_are_redacted_unless_chosen_and_never_markup(home: Settings, tmp_path: Path) -> None:
    output = hostile(home.jobs_path)
    target = tmp_path / "r.html"
    command(
        "report",
        str(target),
        "--item",
        f"output:{output}",
        "--item",
        "judges",
        "--words",
        "judges=<b>mine</b>",
    )
    text = target.read_text()
    assert REDACTED in text
    assert "onerror=alert(1)" not in text.replace(REDACTED, "")
    assert "&lt;b&gt;mine&lt;/b&gt;" in text
    assert "Drafted from the numbers: prefix-" in text
    command("report", str(target), "--item", f"output:{output}", "--show", output)
    text = target.read_text()
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt; ⟨U+202E⟩gnp.exe" in text
    assert "<img src=x" not in text
    for wrong in (["--words", "nothing=x"], ["--item", "nothing"], ["--audience", "children"]):
        assert isinstance(CliRunner().invoke(app, ["report", str(target), *wrong]).exception, CapsafeError)
    assert isinstance(CliRunner().invoke(app, ["report", str(tmp_path / "r.docx")]).exception, CapsafeError)


def test_a_report_sends_for_nothing(made: Made) -> None:
    html = to_html(made)
    assert "default-src 'none'" in html
    assert not re.search(r"<(?:link|img|iframe|script)[^>]+(?:src|href)=", html)
    data = json.loads(
        re.findall(r'<script type="application/json" id="figures">(.*?)</script>', html, re.DOTALL)[0]
    )
    assert len(data) == len(KINDS)


def test_a_reviewer_sees_what_is_left_out(made: Made) -> None:
    html = to_html(made)
    assert "What the numbers leave out" in html
    total = {(r["benchmark"], r["judge"], r["dimension"]): r for r in made.counts}
    assert total["requests", "prefix-zou", "safety"]["outputs"] > 0
    assert all(r["counted"] + r["no verdict"] <= r["outputs"] + r["incoherent"] for r in made.counts)


@needs_browser
def test_the_report_as_pdf_and_figures_for_print(made: Made) -> None:
    assert to_pdf(to_html(made)).startswith(b"%PDF")
    finding = made.findings[3]
    svgs = {columns: to_svg(finding.figure, finding.alt, columns) for columns in ("one", "two")}
    widths = {
        columns: float(re.search(r'<svg[^>]* width="([\d.]+)"', svg).group(1))
        for columns, svg in svgs.items()
    }  # type: ignore[union-attr]
    assert widths["one"] == pytest.approx(85 * 96 / 25.4, abs=1)
    assert widths["two"] == pytest.approx(175 * 96 / 25.4, abs=1)
    assert f"<title>{escape(finding.alt)}</title>" in svgs["one"]
    page = to_figure_pdf(finding.figure, finding.alt)
    assert page.startswith(b"%PDF")
    assert page.count(b"/Type /Page\n") <= 1
    with pytest.raises(CapsafeError, match="no width"):
        to_svg(finding.figure, finding.alt, "three")


def test_without_a_browser_there_is_a_sentence(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CAPSAFE_CHROMIUM", raising=False)
    with pytest.raises(CapsafeError, match="no Chromium here"):
        to_pdf("<p>x</p>")


def test_slides_have_charts_that_can_be_edited(made: Made) -> None:
    pptx = pytest.importorskip("pptx")
    deck = pptx.Presentation(io.BytesIO(to_pptx(made)))
    assert len(deck.slides) == 1 + len(KINDS)
    charts = [shape.chart for slide in deck.slides for shape in slide.shapes if shape.has_chart]
    assert len(charts) == len(KINDS)
    bars = made.findings[0].slide
    assert bars is not None
    assert [list(s.values) for s in charts[0].plots[0].series] == [
        pytest.approx(v) for v in bars.series.values()
    ]
    texts = [shape.text_frame.text for slide in deck.slides for shape in slide.shapes if shape.has_text_frame]
    assert all(f.sentence in texts for f in made.findings)
    assert made.provenance["hash"][:10] in deck.slides[1].notes_slide.notes_text_frame.text


@pytest.mark.parametrize(
    "hostile",
    [
        HOSTILE,
        '=HYPERLINK("http://127.0.0.1/","x")',
        "{=1+1}",
        "http://127.0.0.1/x",
        "external:x",
        "＝1+1",
        "@x",
    ],
)
def test_names_in_slides_are_text(made: Made, hostile: str) -> None:
    """Wherever a name may stand: on the slide, in its notes, in the chart and in the workbook behind it."""
    pytest.importorskip("pptx")
    bars = Slide("clustered", [hostile, "b"], {hostile: [1.0, 2.0]}, {}, (hostile, hostile))
    dots = Slide("points", [], {}, {hostile: [(0.0, 1.0)]}, (hostile, hostile))
    findings = [
        replace(f, title=hostile, sentence=hostile, big=(hostile, hostile), means=[hostile], limits=[hostile])
        for f in made.findings
    ]
    findings[0], findings[1] = replace(findings[0], slide=bars), replace(findings[1], slide=dots)
    deck = zipfile.ZipFile(
        io.BytesIO(to_pptx(replace(made, findings=findings, selection=hostile, way=hostile)))
    )
    parts = {name: deck.read(name) for name in deck.namelist()}
    workbooks = [zipfile.ZipFile(io.BytesIO(parts[name])) for name in parts if name.endswith(".xlsx")]
    assert len(workbooks) >= 2, "two charts hold the name"
    for book in workbooks:
        parts |= {f"{book.filename}/{name}": book.read(name) for name in book.namelist()}
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        assert "<f>" not in sheet
        assert "hyperlink" not in sheet.lower()
    for name, content in parts.items():
        if name.endswith((".xml", ".rels")):
            text = content.decode()
            assert 'TargetMode="External"' not in text, name
            assert "hlinkClick" not in text, name
            assert "<img" not in text, name
            assert "\u202e" not in text, name


def test_citations_and_latex(home: Settings) -> None:
    text = command("cite")
    assert "@misc{zou2023universal," in text
    assert "@misc{vishnubhotla2026capability," in text
    assert "Without an entry here: " in text
    assert len(re.findall(r"^@", text, re.MULTILINE)) == text.count("\n}\n")
    latex = command("match", "--latex")
    assert latex.startswith("\\begin{tabular}")
    assert "\\toprule" in latex


def test_what_can_be_reported_is_listed(home: Settings) -> None:
    assert "overview:gentle" in command("report")


def test_a_report_follows_the_recipe_and_the_claim_of_its_selection(made_up_store: Store) -> None:
    for recipe in ("gentle", "harsh"):
        chosen = open_view(made_up_store, Selection(recipes=(recipe,)))
        assert find(chosen, "overview").sentence == overview(chosen, recipe).headline
    claim = next(k for k in offered(open_view(made_up_store, Selection())) if k.startswith("conclusion:"))
    assert (
        find(open_view(made_up_store, Selection(claim=claim.partition(":")[2])), "conclusion").sentence
        == find(open_view(made_up_store, Selection()), claim).sentence
    )


def test_a_goal_that_is_not_reached_is_not_spoken_of_as_if_it_were(made_up_store: Store) -> None:
    found = find(open_view(made_up_store, Selection(goals=(("sums", 0.99),))), "overview")
    assert found.big[0] == "not reached"
    assert "nothing is said about safety at the goal" in found.means[0]
    assert all("at its last checkpoint" in limit for limit in found.limits[1:3])


def test_a_way_of_asking_that_cannot_be_had_is_said(made_up_store: Store) -> None:
    """A judge that has seen nothing on the benchmark that was asked for."""
    chosen = open_view(made_up_store, Selection(judges=("verifier",)))
    for key in ("conclusion", "capability"):
        try:
            found = find(chosen, key)
        except CapsafeError:
            continue
        assert "one among them" not in found.big[1]
        assert "0 of" not in " ".join(found.means)


def test_verify_covers_what_stands_beside_the_findings(made: Made, made_up_store: Store) -> None:
    numbers = json.loads(json.dumps(made.provenance["numbers"]))
    assert numbers[-1]["key"] == "what the numbers leave out"
    for change in ("means", "limits", "chart"):
        old = {**numbers[0], change: "other"}
        assert differences(old, numbers[0])
    gone = {**numbers[-1], "rows": numbers[-1]["rows"][1:]}
    assert "is gone" in differences(numbers[-1], gone)[0]
    assert "is new" in differences(gone, numbers[-1])[0]
