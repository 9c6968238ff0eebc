"""Charts that an editor of slides draws and changes: bars and points with intervals, in outcomes' colours."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from pptx.chart.data import CategoryChartData, XyChartData
from pptx.dml.color import RGBColor
from pptx.enum.chart import XL_CHART_TYPE, XL_LEGEND_POSITION, XL_MARKER_STYLE, XL_TICK_LABEL_POSITION
from pptx.enum.dml import MSO_LINE, MSO_PATTERN
from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls, qn
from pptx.util import Pt

from capsafe_core.figures.style import GRID, HATCH, INK, OUTCOME_COLOURS
from capsafe_core.report.finding import Series, Slide
from capsafe_core.store.export import guarded
from capsafe_core.text import visible

_SHEET_READS = re.compile(r"\{=|[a-z]+:", re.IGNORECASE)
"""how a text begins of which the writer of the workbook makes a formula or a link"""
_LONGEST_NAME = 42
"""characters of a name in a chart; the finding's table has it whole"""
_AFTER_ERROR_BARS = ("c:cat", "c:val", "c:xVal", "c:yVal", "c:smooth", "c:shape", "c:extLst")
_MARKERS = ("CIRCLE", "SQUARE", "TRIANGLE", "X", "PLUS", "STAR")
_DASHES = ("SOLID", "DASH", "ROUND_DOT", "DASH_DOT", "LONG_DASH")
_DARK = {INK, OUTCOME_COLOURS["refusal"], OUTCOME_COLOURS["unsafe"]}
_BARS = {"stacked": XL_CHART_TYPE.BAR_STACKED_100, "clustered": XL_CHART_TYPE.BAR_CLUSTERED}


def cell(text: str) -> str:
    """A name in the workbook of a chart, where it is neither a formula nor a link."""
    shown = visible(text)
    shown = shown if len(shown) <= _LONGEST_NAME else f"{shown[: _LONGEST_NAME - 1]}…"
    return f"'{shown}" if _SHEET_READS.match(shown) else str(guarded(shown))


def add_chart(slide: Slide, insert: Callable[[Any, Any], Any]) -> None:
    """Draw a chart.

    Args:
        insert: takes the type and the data of a chart, and returns the chart that it put on a slide.
    """
    # LibreOffice drops a series of points that a longer one follows
    drawn = sorted(slide.drawn, key=lambda one: -len(one.x))
    if slide.kind == "points":
        data: Any = XyChartData()
        for one in drawn:
            series = data.add_series(cell(one.name))
            for x, y in zip(one.x, one.y, strict=True):
                series.add_data_point(x, y)
    else:
        data = CategoryChartData(number_format="0%")
        data.categories = [cell(c) for c in reversed(slide.categories)]  # bars are drawn from below
        for one in drawn:
            data.add_series(cell(one.name), list(reversed(one.y)))
    chart = insert(_BARS.get(slide.kind, XL_CHART_TYPE.XY_SCATTER_LINES), data)
    chart.font.size, chart.font.color.rgb = Pt(13), _rgb(INK)
    chart.has_title = False
    chart.has_legend = len(drawn) > 1
    if chart.has_legend:
        chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.BOTTOM, False
        chart.legend.font.size = Pt(12)
    _set_axes(chart, slide)
    _dress(chart, slide, drawn)


def _set_axes(chart: Any, slide: Slide) -> None:
    bars = slide.kind != "points"
    axes = (chart.value_axis, chart.category_axis) if bars else (chart.category_axis, chart.value_axis)
    described = zip(axes, slide.axes, slide.formats, slide.top, (False, bars), strict=True)
    for axis, words, form, top, is_names in described:
        axis.has_title = bool(words)
        if words:
            axis.axis_title.text_frame.text = visible(words)
            font = axis.axis_title.text_frame.paragraphs[0].runs[0].font
            font.size, font.bold = Pt(13), False
        axis.format.line.color.rgb = _rgb(GRID)
        axis.tick_label_position = XL_TICK_LABEL_POSITION.LOW
        if is_names:
            continue
        axis.has_major_gridlines = bool(form)
        if form:
            axis.major_gridlines.format.line.color.rgb = _rgb(GRID)
            axis.tick_labels.number_format, axis.tick_labels.number_format_is_linked = form, False
        else:
            axis.tick_label_position = XL_TICK_LABEL_POSITION.NONE
        if top is not None:
            axis.minimum_scale, axis.maximum_scale = 0, top
    if slide.kind == "stacked":
        chart.plots[0].overlap = 100
    if bars:
        chart.plots[0].gap_width = 60


def _dress(chart: Any, slide: Slide, drawn: Sequence[Series]) -> None:
    """Colours, marks and intervals."""
    paths = 0
    for series, one in zip(chart.plots[0].series, drawn, strict=True):
        if slide.kind == "points":
            _dress_points(series, one, paths)
            paths += one.look == "path"
        else:
            _dress_bars(series, one)
            if slide.kind == "stacked":
                labels = series.data_labels
                labels.show_value, labels.number_format = True, "[>=0.06]0%;;"
                labels.number_format_is_linked = False
                labels.font.size = Pt(13)
                labels.font.color.rgb = _rgb("#ffffff" if one.colour in _DARK else INK)
        if any(one.intervals):
            ordered = one if slide.kind == "points" else _reversed(one)
            _add_intervals(series._element, ordered, "y" if slide.kind == "points" else "")


def _dress_bars(series: Any, one: Series) -> None:
    fill = series.format.fill
    if one.look == "hatched":
        fill.patterned()
        fill.pattern = MSO_PATTERN.WIDE_UPWARD_DIAGONAL
        ground = one.colour == OUTCOME_COLOURS["incoherent"]
        fill.fore_color.rgb = _rgb(HATCH if ground else one.colour)
        fill.back_color.rgb = _rgb(one.colour if ground else "#ffffff")
        series.format.line.color.rgb = _rgb(HATCH if ground else one.colour)
    else:
        fill.solid()
        fill.fore_color.rgb = _rgb(one.colour)
    series.invert_if_negative = False


def _dress_points(series: Any, one: Series, place: int) -> None:
    line, marker = series.format.line, series.marker
    series.smooth = False
    if one.look in ("path", "line"):
        line.color.rgb, line.width = _rgb(one.colour), Pt(1.75)
        line.dash_style = getattr(
            MSO_LINE, "ROUND_DOT" if one.look == "line" else _DASHES[place % len(_DASHES)]
        )
    else:
        line.fill.background()
    if one.look == "line":
        marker.style = XL_MARKER_STYLE.NONE
        return
    primary = one.look == "primary"
    shape = "DIAMOND" if primary else _MARKERS[place % len(_MARKERS)]
    marker.style = getattr(XL_MARKER_STYLE, shape)
    marker.size = 13 if primary else 7 if one.look == "path" else 5
    marker.format.fill.solid()
    marker.format.fill.fore_color.rgb = _rgb(one.colour)
    marker.format.line.color.rgb = _rgb(INK if primary else one.colour)


def _reversed(one: Series) -> Series:
    return Series(one.name, one.y[::-1], intervals=one.intervals[::-1], colour=one.colour)


def _add_intervals(element: Any, one: Series, direction: str) -> None:
    """Error bars; python-pptx has no words for them."""
    sides = {
        side: "".join(
            f'<c:pt idx="{i}"><c:v>{max(0.0, sign * (interval[end] - value)):.6g}</c:v></c:pt>'
            for i, (interval, value) in enumerate(zip(one.intervals, one.y, strict=True))
            if interval is not None and value is not None
        )
        for side, end, sign in (("plus", 1, 1), ("minus", 0, -1))
    }
    along = f'<c:errDir val="{direction}"/>' if direction else ""
    numbers = "".join(
        f"<c:{side}><c:numLit><c:formatCode>General</c:formatCode>"
        f'<c:ptCount val="{len(one.y)}"/>{points}</c:numLit></c:{side}>'
        for side, points in sides.items()
    )
    bars = parse_xml(
        f"<c:errBars {nsdecls('c', 'a')}>{along}"
        f'<c:errBarType val="both"/><c:errValType val="cust"/><c:noEndCap val="1"/>{numbers}'
        f'<c:spPr><a:ln w="15875"><a:solidFill><a:srgbClr val="{_hex(one.colour if one.x else INK)}"/>'
        "</a:solidFill></a:ln></c:spPr></c:errBars>"
    )
    after = next((child for child in element if child.tag in [qn(name) for name in _AFTER_ERROR_BARS]), None)
    if after is None:
        element.append(bars)
    else:
        after.addprevious(bars)


def _rgb(colour: str) -> RGBColor:
    return RGBColor.from_string(_hex(colour))


def _hex(colour: str) -> str:
    return colour.lstrip("#").upper()
