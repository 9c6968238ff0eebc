"""What commands may ask of reports; the running app does it for them.

What draws and writes is imported by the first report, so that other commands start without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from capsafe_core.analysis.citing import bibtex
from capsafe_core.analysis.view import open_view
from capsafe_core.errors import CapsafeError
from capsafe_core.labelling.desk import Desk
from capsafe_core.people import Person
from capsafe_core.selection import Selection

Answer = dict[str, Any]


def _make(
    desk: Desk, person: Person, report: dict[str, Any], selection: dict[str, str], form: str, logo: str = ""
) -> Answer:
    from capsafe_core.report.document import Report, make
    from capsafe_core.report.findings import USUAL, offered
    from capsafe_core.report.html import to_html
    from capsafe_core.report.site import to_site
    from capsafe_core.report.slides import to_pptx

    view = open_view(desk.store, Selection.from_query(selection))
    if not report.get("items"):
        report = {**report, "items": [{"key": key} for key in USUAL if key in offered(view)]}
    made = make(view, Report.from_dict(report), bytes.fromhex(logo))
    if form == "zip":
        return {"zip": to_site(view, made).hex()}
    return {"pptx": to_pptx(made).hex()} if form == "pptx" else {"html": to_html(made)}


def _verify(desk: Desk, person: Person, provenance: dict[str, Any]) -> Answer:
    from capsafe_core.report.document import verify

    return {"differences": verify(desk.store, provenance)}


def _gate(desk: Desk, person: Person, study: str, primary: str = "") -> Answer:
    from capsafe_core.analysis.gate import gate

    view = open_view(desk.store, Selection(study=study))
    if primary not in ("", view.study.primary_digest):
        raise CapsafeError(
            f"The study file declares another primary specification than the one on record for {study}.",
            "`capsafe declare` the file first; the time of that goes on record.",
        )
    return gate(view).as_dict()


def _offered(desk: Desk, person: Person, selection: dict[str, str]) -> Answer:
    from capsafe_core.report.findings import offered

    return {
        "rows": [
            {"item": key, "finding": words}
            for key, words in offered(open_view(desk.store, Selection.from_query(selection))).items()
        ]
    }


def _figure(desk: Desk, person: Person, item: str, selection: dict[str, str]) -> Answer:
    from capsafe_core.report.findings import find

    found = find(open_view(desk.store, Selection.from_query(selection)), item)
    if found.figure is None:
        raise CapsafeError(
            f"The finding {item!r} has no figure.",
            "overview, capability, conclusion, judges and incoherence have one.",
        )
    return {"figure": found.figure.to_json(), "alt": f"{found.alt}. {found.sentence}"}


def _cite(desk: Desk, person: Person, selection: dict[str, str]) -> Answer:
    return {"text": bibtex(open_view(desk.store, Selection.from_query(selection)))}


REPORTING: dict[str, Callable[..., Answer]] = {
    "figure": _figure,
    "cite": _cite,
    "report": _make,
    "gate": _gate,
    "verify report": _verify,
    "list findings": _offered,
}
