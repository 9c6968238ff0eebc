"""Slides: layouts with titles, native charts with intervals, notes; looked at as LibreOffice renders them."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pptx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pptx.oxml.ns import qn

from capsafe_core.analysis.methods import METHODS
from capsafe_core.analysis.view import View
from capsafe_core.figures.style import OUTCOME_COLOURS
from capsafe_core.report.document import Item, Made, Report, make
from capsafe_core.report.finding import Series, Slide, in_few_words
from capsafe_core.report.findings import offered
from capsafe_core.report.slides import HIGH, WIDE, fitted, to_pptx
from tests.report.conftest import KINDS
from tests.report.printed_pages import needs_office, rendered
from tests.report.test_report import HOSTILE


def opened(deck: bytes) -> Any:
    return pptx.Presentation(io.BytesIO(deck))


@pytest.fixture(scope="module")
def deck(made: Made) -> Any:
    return opened(to_pptx(made))


def charts(deck: Any) -> list[Any]:
    return [shape.chart for slide in deck.slides for shape in slide.shapes if shape.has_chart]


def test_each_slide_has_a_title_in_few_words_and_notes_with_all_of_it(deck: Any, made: Made) -> None:
    assert len(deck.slides) == 1 + len(KINDS)
    for slide, finding in zip(list(deck.slides)[1:], made.findings, strict=True):
        assert slide.shapes.title.text_frame.text == finding.headline
        assert len(finding.headline.split()) <= 15
        assert all(shape.is_placeholder for shape in slide.shapes)
        assert not any(s.has_text_frame and not s.text_frame.text for s in slide.placeholders)
        notes = slide.notes_slide.notes_text_frame.text
        for words in (
            finding.sentence,
            *finding.means,
            *finding.limits,
            *(METHODS[m] for m in finding.methods),
        ):
            assert words in notes
        assert made.provenance["hash"][:10] in notes
        shown = " ".join(s.text_frame.text for s in slide.placeholders if s.has_text_frame)
        assert all(f"{label}: {words}" in shown for label, words in finding.basis)


def test_charts_can_be_edited_and_have_the_findings_numbers(deck: Any, made: Made) -> None:
    found = charts(deck)
    assert len(found) == len(KINDS)
    for chart, finding in zip(found, made.findings, strict=True):
        assert finding.slide is not None
        drawn = {one.name: one for one in finding.slide.drawn}
        assert {s.name for s in chart.plots[0].series} == set(drawn)
        for series in chart.plots[0].series:
            values = drawn[series.name].y if drawn[series.name].x else drawn[series.name].y[::-1]
            assert list(series.values) == pytest.approx(list(values))
        assert chart.has_legend == (len(drawn) > 1)


def test_charts_have_colours_of_outcomes_intervals_goal_and_primary_mark(deck: Any, made: Made) -> None:
    overview, capability, conclusion, judges, incoherence = charts(deck)
    bars = {s.name: s for s in overview.plots[0].series}
    refused = str(bars["refused"].format.fill.fore_color.rgb)
    assert refused == OUTCOME_COLOURS["refusal"].lstrip("#").upper()
    assert str(bars["incoherent"].format.fill.back_color.rgb) == OUTCOME_COLOURS["incoherent"][1:].upper()
    lows = made.findings[0].table["unsafe_low"].notna().any()
    assert lows
    for chart in (capability, conclusion, judges, incoherence):
        assert chart.element.findall(f".//{qn('c:errBars')}")
    names = {s.name: s for s in capability.plots[0].series}
    assert [s for s in names if s.startswith("goal")] == ["goal, 50%"]
    at = {s.name: s for s in conclusion.plots[0].series}["primary variant"]
    assert len(list(at.values)) == 1
    assert at.marker.size > 10
    words = {
        a.axis_title.text_frame.text
        for c in charts(deck)
        for a in (c.value_axis, c.category_axis)
        if a.has_title
    }
    assert {"Responses, %", "Accuracy, %", "Responses called unsafe, %"} <= words
    assert capability.value_axis.tick_labels.number_format == "0%"


def test_intervals_are_those_of_the_table(made: Made) -> None:
    finding = made.findings[KINDS.index("judges")]
    table = finding.table[finding.table["family"] != "people"].dropna(subset=["shift"])
    [coherent] = [s for s in finding.slide.series if s.name == "coherent responses"]  # type: ignore[union-attr]
    assert [i and i[0] for i in coherent.intervals] == pytest.approx(list(table["coherent_low"]))
    assert [i and i[1] for i in coherent.intervals] == pytest.approx(list(table["coherent_high"]))
    [chart] = [c for c in charts(opened(to_pptx(made))) if "coherent responses" in [s.name for s in c.series]]
    [series] = [s for s in chart.series if s.name == "coherent responses"]
    plus = series._element.find(f"{qn('c:errBars')}/{qn('c:plus')}")
    ends = [float(v.text) for v in plus.iter(qn("c:v"))][::-1]
    assert ends == pytest.approx(list(table["coherent_high"] - table["coherent"]), abs=1e-5)


LONG = " ".join(["Wiederholungszwang"] * 40)
TEXTS = (LONG, "W" * 400, "@" * 90 + " %" * 200, "short", "a\nb\nc\n" * 30, "ill " * 300)


def strained(made: Made, text: str) -> Made:
    findings = [
        replace(
            f,
            title=text,
            headline=in_few_words(text),
            sentence=text,
            big=(text, text),
            means=[text, text],
            limits=[text],
            basis=tuple((label, text) for label, _ in f.basis),
        )
        for f in made.findings
    ]
    return replace(made, report=replace(made.report, title=text), findings=findings, way=text, selection=text)


@needs_office
def test_rendered_slides_overflow_nowhere_and_none_is_empty(made: Made, tmp_path: Path) -> None:
    decks = [to_pptx(one) for one in (made, *(strained(made, text) for text in TEXTS))]
    for number, (deck, pages) in enumerate(zip(decks, rendered(decks, tmp_path), strict=True)):
        slides = list(opened(deck).slides)
        assert len(pages) == len(slides) == 1 + len(KINDS)
        for page, slide in zip(pages, slides, strict=True):
            assert page.inked > 0.002
            boxes = [_box(shape) for shape in slide.shapes]
            for line in page.lines:
                assert any(_holds(box, line) for box in boxes), (line, boxes)
            if number == 0:
                assert slide.shapes.title.text_frame.text[:30] in page.text


def _box(shape: Any) -> tuple[float, float, float, float]:
    left, top = shape.left.inches / WIDE, shape.top.inches / HIGH
    return left, top, left + shape.width.inches / WIDE, top + shape.height.inches / HIGH


def _holds(box: tuple[float, float, float, float], line: Any, room: float = 0.006) -> bool:
    left, top, right, bottom = box
    inside = left - room <= line.left and line.right <= right + room
    return inside and top - room <= line.top and line.bottom <= bottom + room


@given(st.lists(st.text(max_size=400), min_size=1, max_size=5), st.sampled_from([(44, 20), (15, 14), (12,)]))
def test_what_does_not_fit_is_left_out_whole_or_cut_with_an_ellipsis(lines: list[str], sizes: Any) -> None:
    size, shown = fitted(lines, 4.0, 1.2, sizes)
    assert size in sizes
    assert shown
    assert shown == lines[: len(shown)] or (len(shown) == 1 and shown[0].endswith("…"))
    if size != sizes[-1]:
        assert shown == lines


def test_a_presenters_words_are_the_headline_where_they_are_few(view: View) -> None:
    for words in ("Fine-tuning cost us eleven points", " ".join(["word"] * 40)):
        deck = opened(to_pptx(make(view, Report("", (Item("judges", words),)))))
        slide = deck.slides[1]
        texts = " ".join(s.text_frame.text for s in slide.placeholders if s.has_text_frame)
        assert (slide.shapes.title.text_frame.text == words) == (len(words.split()) <= 15)
        assert words in texts
        assert "Drafted from the numbers: prefix-" in slide.notes_slide.notes_text_frame.text


def test_every_finding_becomes_a_slide(view: View) -> None:
    keys = list(offered(view))
    assert len(opened(to_pptx(make(view, Report("", tuple(Item(k) for k in keys))))).slides) == 1 + len(keys)


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
    bars = Slide("clustered", [Series(hostile, [1.0, 2.0])], [hostile, "b"], (hostile, hostile))
    dots = Slide("points", [Series(hostile, [1.0], [0.0], look="path")], axes=(hostile, hostile))
    basis = tuple((label, hostile) for label, _ in made.findings[0].basis)
    texts = {"title": hostile, "headline": hostile, "sentence": hostile, "alt": hostile, "basis": basis}
    findings = [
        replace(f, big=(hostile, hostile), means=[hostile], limits=[hostile], **texts) for f in made.findings
    ]
    findings[0], findings[1] = replace(findings[0], slide=bars), replace(findings[1], slide=dots)
    changed = replace(made, findings=findings, selection=hostile, way=hostile)
    deck = zipfile.ZipFile(io.BytesIO(to_pptx(changed)))
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
