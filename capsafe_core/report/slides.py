"""A report as slides with charts that can be edited (python-pptx, the extra `export`)."""

from __future__ import annotations

import io
import re
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.figures.style import OUTCOME_COLOURS
from capsafe_core.report.document import Item, Made
from capsafe_core.report.finding import Finding, Slide
from capsafe_core.report.html import REDACTED
from capsafe_core.store.export import guarded
from capsafe_core.text import visible

_SHEET_READS = re.compile(r"\{=|[a-z]+:", re.IGNORECASE)
"""how a text begins of which the writer of the workbook makes a formula or a link"""


def cell(text: str) -> str:
    """A name in the workbook of a chart, where it is neither a formula nor a link."""
    shown = visible(text)
    return f"'{shown}" if _SHEET_READS.match(shown) else str(guarded(shown))


def to_pptx(made: Made) -> bytes:
    """One slide a finding: the sentence, one number, what it means and does not mean, and a native chart.

    Raises:
        CapsafeError: python-pptx is not installed.
    """
    try:
        from pptx import Presentation
        from pptx.util import Inches, Pt
    except ImportError as error:
        raise CapsafeError(
            "Slides need the package python-pptx.", 'Install it: pip install "capsafe[export]".'
        ) from error
    deck = Presentation()
    deck.slide_width, deck.slide_height = Inches(13.333), Inches(7.5)
    blank = deck.slide_layouts[6]

    def write(
        slide: Any,
        text: str,
        left: float,
        top: float,
        width: float,
        height: float,
        size: int,
        bold: bool = False,
    ) -> None:
        frame = slide.shapes.add_textbox(Inches(left), Inches(top), Inches(width), Inches(height)).text_frame
        frame.word_wrap = True
        for i, line in enumerate(text.split("\n")):
            paragraph = frame.paragraphs[0] if i == 0 else frame.add_paragraph()
            run = paragraph.add_run()
            run.text, run.font.size, run.font.bold = visible(line), Pt(size), bold

    first = deck.slides.add_slide(blank)
    write(first, made.report.title or made.findings[0].title, 0.8, 2.4, 11.7, 1.5, 40, True)
    write(first, f"{made.way}. {made.selection}.", 0.8, 4.2, 11.7, 1.5, 14)
    for item, finding in zip(made.report.items, made.findings, strict=True):
        slide = deck.slides.add_slide(blank)
        write(slide, finding.title, 0.6, 0.3, 12.1, 0.5, 14)
        said = item.words or finding.sentence
        write(
            slide, said, 0.6, 0.7, 12.1, 1.3, 22 if len(said) < 200 else 15 if len(said) < 450 else 11, True
        )
        write(slide, finding.big[0], 0.6, 2.1, 4.3, 0.9, 44, True)
        write(slide, finding.big[1], 0.6, 3.0, 4.3, 0.6, 13)
        write(
            slide,
            "\n".join([*finding.means, "", "What it does not mean:", *finding.limits]),
            0.6,
            3.7,
            4.3,
            3.2,
            12,
        )
        if finding.text is not None:
            write(slide, "\n\n".join(finding.text if item.shown else (REDACTED,)), 5.2, 2.1, 7.6, 4.8, 14)
        elif finding.slide is not None:
            _chart(slide, finding.slide)
        slide.notes_slide.notes_text_frame.text = _notes(item, finding, made)
    stream = io.BytesIO()
    deck.save(stream)
    return stream.getvalue()


def _chart(slide: Any, drawn: Slide) -> None:
    from pptx.chart.data import CategoryChartData, XyChartData
    from pptx.dml.color import RGBColor
    from pptx.enum.chart import XL_CHART_TYPE, XL_LEGEND_POSITION
    from pptx.util import Inches, Pt

    if drawn.kind == "points":
        data: Any = XyChartData()
        for name, points in drawn.points.items():
            series = data.add_series(cell(name))
            for x, y in points:
                series.add_data_point(x, y)
        kind = XL_CHART_TYPE.XY_SCATTER
    else:
        data = CategoryChartData()
        data.categories = [cell(c) for c in drawn.categories]
        for name, values in drawn.series.items():
            data.add_series(drawn.words.get(name) or cell(name), values)
        kind = XL_CHART_TYPE.BAR_STACKED_100 if drawn.kind == "stacked" else XL_CHART_TYPE.BAR_CLUSTERED
    chart = slide.shapes.add_chart(kind, Inches(5.1), Inches(2.0), Inches(7.8), Inches(5.1), data).chart
    chart.has_legend = True
    chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.BOTTOM, False
    chart.font.size = Pt(12)
    for axis, words in zip((chart.category_axis, chart.value_axis), drawn.axes, strict=True):
        if words:
            axis.has_title = True
            axis.axis_title.text_frame.text = visible(words)
    if drawn.kind == "stacked":
        for series, name in zip(chart.plots[0].series, drawn.series, strict=True):
            series.format.fill.solid()
            series.format.fill.fore_color.rgb = RGBColor.from_string(
                OUTCOME_COLOURS[name].lstrip("#").upper()
            )


def _notes(item: Item, finding: Finding, made: Made) -> str:
    drafted = f"\nDrafted from the numbers: {finding.sentence}" if item.words else ""
    return visible(
        f"{finding.key}{drafted}\n{made.way}. {made.selection}. Store {made.provenance['store'][:10]}, "
        f"numbers {made.provenance['hash'][:10]}, capsafe {made.provenance['capsafe']}."
    )
