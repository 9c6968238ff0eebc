"""Figures for print: SVG and PDF at the width of one or two columns, drawn by Chromium."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import Any
from urllib.parse import unquote

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.figures.style import sealed
from capsafe_core.report.html import run_browser
from capsafe_core.text import visible

WIDTHS = {"one": 85.0, "two": 175.0}
"""millimetres"""
PIXEL = 25.4 / 96
"""millimetres"""
POINT = 8 / 0.75
"""8 points in pixels, the smallest that journals print"""


def _page(figure: dict[str, Any], alt: str, width: float, body: str) -> tuple[str, float, float]:
    """A page that draws a figure at its printed size; with its width and height in pixels."""
    layout = dict(figure["layout"])
    wide = width / PIXEL
    high = float(layout.get("height") or 420)  # less, and labels would lie over each other
    layout |= {
        name: {**axis, "automargin": True}
        for name, axis in layout.items()
        if name.startswith(("xaxis", "yaxis"))
    }
    notes = [
        {**note, "font": {**note.get("font", {}), "size": POINT}} for note in layout.get("annotations", [])
    ]
    layout |= {"annotations": notes, "title": {**(layout.get("title") or {}), "font": {"size": POINT}}}
    layout |= {
        "width": wide,
        "height": high,
        "font": {**layout.get("font", {}), "size": POINT},
        "margin": {"l": 44, "r": 12, "t": 30, "b": 40},
    }
    data = json.dumps({"data": figure["data"], "layout": layout}).replace("<", "\\u003c")
    page = f"""<!doctype html><meta charset="utf-8">
<style>@page {{ size: {wide}px {high}px; margin: 0 }} body {{ margin: 0 }}</style>
<div id="chart" role="img" aria-label="{html.escape(visible(alt), quote=True)}"></div>
<pre id="out" hidden></pre><script>{get_plotlyjs()}</script>
<script>
const figure = {data};
Plotly.newPlot("chart", figure.data, figure.layout, {{staticPlot: true, typesetMath: false}})
    .then(() => {{ {body} }});
</script>"""
    return page, wide, high


def to_svg(figure: go.Figure, alt: str, columns: str = "one") -> str:
    """A figure as SVG with its alt text as title.

    Args:
        columns: one or two.

    Raises:
        CapsafeError: there is no Chromium, or it fails.
    """
    body = (
        'return Plotly.toImage("chart", {format: "svg", width: figure.layout.width,'
        ' height: figure.layout.height}).then(url => { document.getElementById("out").textContent = url; });'
    )
    page, _, _ = _page(json.loads(sealed(figure).to_json()), alt, _width(columns), body)
    dom = run_browser(page, "--dump-dom").decode("utf-8", "replace")
    found = re.search(r'<pre id="out" hidden[^>]*>data:image/svg\+xml([;,].*?)</pre>', dom, re.DOTALL)
    if not found:
        raise CapsafeError("Chromium did not draw the figure.", "Try again, or take the PDF.")
    head, _, data = html.unescape(found.group(1)).partition(",")
    svg = base64.b64decode(data).decode() if "base64" in head else unquote(data)
    return re.sub(
        r"(<svg[^>]*>)", lambda m: f"{m.group(1)}<title>{html.escape(visible(alt))}</title>", svg, count=1
    )


def to_figure_pdf(figure: go.Figure, alt: str, columns: str = "one") -> bytes:
    """A figure as a PDF page of its own size.

    Raises:
        CapsafeError: as `to_svg`.
    """
    page, _, _ = _page(json.loads(sealed(figure).to_json()), alt, _width(columns), "")
    return run_browser(page, "--print-to-pdf")


def _width(columns: str) -> float:
    if columns not in WIDTHS:
        raise UnknownNameError("width", columns, WIDTHS)
    return WIDTHS[columns]
