"""A study to read without a server: the report as a page, its tables as pages and as CSV, in one ZIP file."""

from __future__ import annotations

import io
import zipfile
from importlib.resources import files

import jinja2
import pandas as pd

from capsafe_core.analysis.by_name import TABLES
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.report.document import Made
from capsafe_core.report.finding import cells
from capsafe_core.report.html import in_plain_sight, number_words, to_html
from capsafe_core.store.export import guarded_csv

KEPT_BACK = ("outputs", "people", "annotators", "repeats", "conflicts")
"""tables that hold what models wrote, or who labelled what: chosen outputs stand in the report"""
ROWS = 2000
"""rows of a table that its page shows; the CSV beside it has all"""


def to_site(view: View, made: Made) -> bytes:
    """The ZIP file: index.html, and tables/NAME.html and .csv for each table that has rows."""
    tables = _tables(view)
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=in_plain_sight
    ).from_string(files("capsafe_core.report").joinpath("table.html").read_text(encoding="utf-8"))
    contents = {"index.html": to_html(made, [(name, f"tables/{name}.html") for name in tables])}
    for name, frame in tables.items():
        contents[f"tables/{name}.csv"] = guarded_csv(frame)
        contents[f"tables/{name}.html"] = template.render(
            name=name,
            study=view.study.name,
            way=made.way,
            selection=made.selection,
            columns=[str(c) for c in frame.columns],
            rows=[[number_words(v) for v in row] for row in cells(frame.head(ROWS))],
            more=max(0, len(frame) - ROWS),
        )
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in contents.items():
            archive.writestr(path, text.encode("utf-8", "replace"))
    return stream.getvalue()


def _tables(view: View) -> dict[str, pd.DataFrame]:
    """The tables that have rows; one that cannot be made of this study is left out."""
    found = {}
    for name, make in TABLES.items():
        if name in KEPT_BACK:
            continue
        try:
            frame = make(view)
        except CapsafeError:
            continue
        if len(frame):
            found[name] = frame
    return found
