"""Reports: the same numbers as the pages, verified against the store, redacted, and as HTML, PDF, slides and
print figures."""

from __future__ import annotations

import json
import os
import re
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
    Made,
    differences,
    read_provenance,
    verify,
)
from capsafe_core.report.findings import find, offered
from capsafe_core.report.html import REDACTED, browser, to_html, to_pdf
from capsafe_core.report.printed import to_figure_pdf, to_svg
from capsafe_core.selection import Selection
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.batches import store_digest
from capsafe_core.store.ingest import ingest_all
from tests.report.conftest import KINDS
from tests.synthetic import CONDITION, RATERS, benchmark, checkpoint, write_study

SENTENCES = Path(__file__).with_name("report_sentences.json")
HOSTILE = "</script><img src=x onerror=alert(1)> \u202egnp.exe"
needs_browser = pytest.mark.skipif(browser() is None, reason="there is no Chromium here to print with")


def test_sentences_and_captions_are_pinned(view: View) -> None:
    """What a report says of the made-up study; a change of wording or of a number shows here. CAPSAFE_PIN=1
    writes it again."""
    said = {"caption": f"{view.specification_words()}. {view.selection.caption()}."}
    for key in (*KINDS, "overview:gentle", "overview:harsh"):
        found = find(view, key)
        said[key] = {
            "title": found.title,
            "headline": found.headline,
            "basis": [list(part) for part in found.basis],
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


def test_everything_offered_can_be_found_and_stands_alone(view: View) -> None:
    """A page that is taken out of its report says whose verdicts, of how many outputs, under which
    conditions, and how far the conclusion holds."""
    for key in offered(view):
        found = find(view, key)
        assert found.sentence
        assert 0 < len(found.headline.split()) <= 15, found.headline
        said = dict(found.basis)
        [judge] = {"Judge", "Judges"} & set(said)
        assert any(rater in said[judge] for rater in RATERS)
        assert re.search(r"\d", said["Outputs"])
        assert "no system prompt, temperature 0, maximum tokens 64" in said["Conditions"]
        assert re.match(r"(Robust|Mixed|Contested)\b.* analysis variants", said["Conclusion"]), said
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
        for other in ("gentle", "harsh"):
            assert find(chosen, f"overview:{other}").sentence == overview(chosen, other).headline
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
