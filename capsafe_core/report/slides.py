"""A report as slides: a headline, one number, what it means, and a chart that can be edited."""

from __future__ import annotations

import io
import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.opc.constants import RELATIONSHIP_TYPE
from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls
from pptx.util import Inches, Pt

from capsafe_core.analysis.methods import METHODS
from capsafe_core.report.document import Item, Made
from capsafe_core.report.finding import WORDS, Finding, in_few_words
from capsafe_core.report.html import REDACTED
from capsafe_core.report.logo import logo_bytes
from capsafe_core.report.native_charts import add_chart
from capsafe_core.text import visible

FONT = "Arial"
"""is on every system, or one of the same widths"""
WIDE, HIGH = 13.333, 7.5
"""inches of a slide"""
Box = tuple[float, float, float, float]
"""left, top, width, height in inches"""
TITLE: Box = (0.6, 0.5, 12.1, 1.1)
BIG: Box = (0.6, 1.7, 4.2, 0.9)
SAID: Box = (0.6, 2.6, 4.2, 3.75)
CHART: Box = (5.0, 1.65, 7.75, 4.75)
BODY: Box = (0.6, 1.7, 12.1, 4.65)
LOGO: Box = (11.2, 0.1, 1.5, 0.45)
BASIS: Box = (0.6, 6.45, 12.1, 0.8)
_TITLE_LAYOUT, _TEXT_LAYOUT, _CHART_LAYOUT = 0, 7, 4
"""of the template: title and subtitle; title, content and caption; title and twice text and content"""
_PLACES: dict[int, dict[int, Box]] = {
    _TITLE_LAYOUT: {0: (0.8, 2.0, 11.7, 2.0), 1: (0.8, 4.2, 11.7, 1.6)},
    _TEXT_LAYOUT: {0: TITLE, 1: BODY, 2: BASIS},
    _CHART_LAYOUT: {0: TITLE, 1: BIG, 2: SAID, 3: BASIS, 4: CHART},
}
INK, FAINT, ACCENT = "22313F", "667380", "1F5673"


def to_pptx(made: Made) -> bytes:
    """One slide a finding; the notes say how its numbers came about."""
    deck = _deck()
    first = deck.slides.add_slide(deck.slide_layouts[_TITLE_LAYOUT])
    title = made.report.title or made.findings[0].title or made.findings[0].headline
    _write(first.placeholders[0], [title], _PLACES[_TITLE_LAYOUT][0], (40, 32, 26), bold=True)
    _write(
        first.placeholders[1], [f"{made.way}. {made.selection}."], _PLACES[_TITLE_LAYOUT][1], (16, 13), FAINT
    )
    for item, finding in zip(made.report.items, made.findings, strict=True):
        drawn = finding.slide is not None and bool(finding.slide.drawn)
        slide = deck.slides.add_slide(deck.slide_layouts[_CHART_LAYOUT if drawn else _TEXT_LAYOUT])
        _write(slide.placeholders[0], [_headline(item, finding)], TITLE, (28, 24, 20, 16), bold=True)
        lines = _lines(item, finding)
        basis = "   ".join(f"{label}: {words}." for label, words in finding.basis)
        if drawn:
            _write(slide.placeholders[1], [finding.big[0]], BIG, (44, 34, 26, 20), ACCENT, bold=True)
            _write(slide.placeholders[2], [finding.big[1], *lines], SAID, (17, 16, 15, 14), first_faint=True)
            _write(slide.placeholders[3], [basis], BASIS, (12, 11), FAINT)
            assert finding.slide is not None
            add_chart(finding.slide, _inserted(slide.placeholders[4], finding.alt))
        else:
            text = finding.text if item.shown and finding.text else (REDACTED,) if finding.text else ()
            _write(slide.placeholders[1], [*text, *lines], BODY, (18, 16, 14, 12))
            _write(slide.placeholders[2], [basis], BASIS, (12, 11), FAINT)
        slide.notes_slide.notes_text_frame.text = _notes(item, finding, made)
        _drop_empty(slide)
    for slide in deck.slides if made.logo else ():
        _add_logo(slide, logo_bytes(made.logo))
    stream = io.BytesIO()
    deck.save(stream)
    return stream.getvalue()


def _deck() -> Any:
    """An empty deck of wide slides whose layouts have the places of findings."""
    deck = Presentation()
    wider = Inches(WIDE) / deck.slide_width
    deck.slide_width, deck.slide_height = Inches(WIDE), Inches(HIGH)
    for holder in (deck.slide_master, *deck.slide_layouts):
        for shape in holder.placeholders:
            shape.left, shape.width = round(shape.left * wider), round(shape.width * wider)
    for layout, places in _PLACES.items():
        for shape in deck.slide_layouts[layout].placeholders:
            box = places.get(shape.placeholder_format.idx)
            if box:
                shape.left, shape.top, shape.width, shape.height = (Inches(x) for x in box)
    [chart] = [s for s in deck.slide_layouts[_CHART_LAYOUT].placeholders if s.placeholder_format.idx == 4]
    chart.element.ph.set("type", "chart")
    theme = deck.slide_master.part.part_related_by(RELATIONSHIP_TYPE.THEME)
    theme._blob = theme.blob.replace(b'typeface="Calibri"', f'typeface="{FONT}"'.encode())
    return deck


def _inserted(place: Any, alt: str) -> Callable[[Any, Any], Any]:
    def insert(kind: Any, data: Any) -> Any:
        frame = place.insert_chart(kind, data)
        frame._element.nvGraphicFramePr.cNvPr.set("descr", visible(alt))
        return frame.chart

    return insert


def _write(
    shape: Any,
    lines: Sequence[str],
    box: Box,
    sizes: Sequence[int],
    colour: str = INK,
    bold: bool = False,
    first_faint: bool = False,
) -> None:
    """Paragraphs in the largest size in which all of them fit; in the smallest, as many as do."""
    size, shown = fitted([visible(line) for line in lines if line], box[2] - 0.2, box[3] - 0.1, sizes)
    frame = shape.text_frame
    frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.TOP
    for place, line in enumerate(shown):
        paragraph = frame.paragraphs[0] if place == 0 else frame.add_paragraph()
        paragraph.alignment = PP_ALIGN.LEFT
        paragraph.space_before = Pt(0 if place == 0 else size * _GAP)
        paragraph._p.get_or_add_pPr().insert_element_before(_no_bullet(), "a:tabLst", "a:defRPr", "a:extLst")
        paragraph._p.get_or_add_pPr().set("marL", "0")
        paragraph._p.get_or_add_pPr().set("indent", "0")
        for part, words in enumerate(line.split("\n")):
            if part:
                paragraph.add_line_break()
            run = paragraph.add_run()
            run.text, run.font.size, run.font.bold = words, Pt(size), bold
            run.font.color.rgb = RGBColor.from_string(FAINT if first_faint and place == 0 else colour)


def _add_logo(slide: Any, picture: bytes) -> None:
    """The logo in the upper right corner, above the title."""
    shape = slide.shapes.add_picture(io.BytesIO(picture), 0, 0)
    smaller = min(Inches(LOGO[2]) / shape.width, Inches(LOGO[3]) / shape.height)
    shape.width, shape.height = round(shape.width * smaller), round(shape.height * smaller)
    shape.left, shape.top = Inches(LOGO[0] + LOGO[2]) - shape.width, Inches(LOGO[1])
    shape._element.nvPicPr.cNvPr.set("descr", "Logo")


def _no_bullet() -> Any:
    return parse_xml(f"<a:buNone {nsdecls('a')}/>")


_GAP = 0.45
"""of a line, between paragraphs"""
_LINE = 1.22
"""of the size, from line to line"""
_LETTER = 0.56
"""of the size: the mean width of letters, with room to spare"""


def fitted(lines: Sequence[str], width: float, height: float, sizes: Sequence[int]) -> tuple[int, list[str]]:
    """The largest size in points in which paragraphs fit a box of so many inches; in the smallest, those that
    do, the last of them cut short where it alone does not."""
    for size in sizes:
        if sum(_height(line, width, size) for line in lines) <= 72 * height + _GAP * size:
            return size, list(lines)
    kept: list[str] = []
    room = 72 * height + _GAP * sizes[-1]
    for line in lines:
        room -= _height(line, width, sizes[-1])
        if room < 0:
            break
        kept.append(line)
    return sizes[-1], kept or [_cut(lines[0], width, height, sizes[-1])]


def _cut(line: str, width: float, height: float, size: int) -> str:
    while _height(f"{line}…", width, size) > 72 * height and line:
        line = line[: len(line) * 9 // 10].rstrip()
    return f"{line}…"


def _height(text: str, width: float, size: int) -> float:
    """Points that a paragraph takes, with the gap above it."""
    columns = max(1, int(72 * width / (_LETTER * size)))
    rows = sum(
        len(textwrap.wrap(_widened(part), columns, break_on_hyphens=False)) or 1 for part in text.split("\n")
    )
    return size * (_LINE * rows + _GAP)


def _widened(text: str) -> str:
    """The text with a letter more for each that is about twice as wide."""
    return "".join(c * 2 if unicodedata.east_asian_width(c) in "WF" or c in "⟨⟩W@%" else c for c in text)


def _headline(item: Item, finding: Finding) -> str:
    """The presenter's words where they are few enough to be one."""
    return item.words if item.words and len(item.words.split()) <= WORDS else in_few_words(finding.headline)


def _lines(item: Item, finding: Finding) -> list[str]:
    """What stands below the number, the most important first; all of it is in the notes."""
    own = [item.words] if item.words and len(item.words.split()) > WORDS else []
    return [*own, *finding.means, *(f"But: {limit}" for limit in finding.limits)]


def _drop_empty(slide: Any) -> None:
    """Placeholders that nothing was written into would ask for text."""
    for shape in list(slide.placeholders):
        if shape.has_text_frame and not shape.text_frame.text:
            shape._element.getparent().remove(shape._element)


def _notes(item: Item, finding: Finding, made: Made) -> str:
    parts = [
        finding.title,
        item.words,
        "" if finding.is_prose else f"{'Drafted from the numbers: ' if item.words else ''}{finding.sentence}",
        f"{finding.big[0]}: {finding.big[1]}" if finding.big[0] else "",
        "\n".join(["What it means", *finding.means]) if finding.means else "",
        "\n".join(["What it does not mean", *finding.limits]) if finding.limits else "",
        "\n".join(["Method", *(METHODS[m] for m in finding.methods)]) if finding.methods else "",
        "\n".join(f"{label}: {words}" for label, words in finding.basis),
        f"{finding.key}. {made.way}. {made.selection}. Store {made.provenance['store'][:10]}, numbers "
        f"{made.provenance['hash'][:10]}, capsafe {made.provenance['capsafe']}.",
    ]
    return visible("\n\n".join(part for part in parts if part))
