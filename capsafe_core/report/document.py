"""A report: chosen findings in order, with what it takes to compute every number again."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from capsafe_core import __version__
from capsafe_core.analysis.rates import cell_rates
from capsafe_core.analysis.view import View, open_view
from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.figures.style import sealed
from capsafe_core.records import canonical_json, digest_text
from capsafe_core.report.checklist import Answer, checklist
from capsafe_core.report.finding import PROSE, Finding, cells, prose
from capsafe_core.report.findings import find
from capsafe_core.report.logo import read_logo
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from capsafe_core.store.batches import store_digest

AUDIENCES = ("stakeholder", "reviewer")
FORMAT = 1
"""version of what `verify` reads"""
REST = "what the numbers leave out"
PLACE = "@numbers@"
"""stands for the numbers while the page around them is hashed"""
DATA_ID = "capsafe-report"
"""the element of an HTML report that holds its numbers"""


@dataclass(frozen=True)
class Item:
    """A chosen finding; `words` in place of the drafted sentence, and whether a model's text is shown. Of a
    text between findings (key `text:NAME`) the words are all there is."""

    key: str
    words: str = ""
    shown: bool = False


@dataclass(frozen=True)
class Report:
    """What somebody chose to report."""

    title: str
    items: tuple[Item, ...]
    audience: str = "stakeholder"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Report:
        """The report in JSON values.

        Raises:
            CapsafeError: there is no such audience, or nothing is chosen.
        """
        if values.get("audience", AUDIENCES[0]) not in AUDIENCES:
            raise UnknownNameError("audience", str(values["audience"]), AUDIENCES)
        items = tuple(Item(**item) for item in values.get("items", ()))
        items = tuple(item for item in items if item.words.strip() or not item.key.startswith(PROSE))
        if not items:
            raise CapsafeError("No finding is chosen.", "Choose at least one.")
        return cls(str(values.get("title", "")), items, values.get("audience", AUDIENCES[0]))


@dataclass(frozen=True)
class Made:
    """A report with its findings.

    Attributes:
        counts: for each judge and benchmark, how many judgments are no verdict and how many outputs are
            incoherent.
        provenance: what `verify` computes again.
        logo: a PNG as a data address; "" for none.
        checklist: what a reader should find in a report, for reviewers.
    """

    report: Report
    findings: list[Finding]
    way: str
    selection: str
    counts: list[dict[str, Any]]
    provenance: dict[str, Any] = field(default_factory=dict)
    logo: str = ""
    checklist: list[Answer] = field(default_factory=list)


def make(view: View, report: Report, logo: bytes = b"") -> Made:
    """Compute a report's findings.

    Args:
        logo: a picture for its pages, as `read_logo` takes it; empty for none.

    Raises:
        CapsafeError: a finding cannot be had, or the logo cannot be used.
    """
    picture = read_logo(logo) if logo else ""
    findings = [
        prose(item.key, item.words) if item.key.startswith(PROSE) else find(view, item.key)
        for item in report.items
    ]
    counts = _counts(view)
    numbers = [*(_numbers(f) for f in findings if not f.is_prose), _rest(view, counts)]
    provenance = {
        "format": FORMAT,
        "capsafe": __version__,
        "made": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "study": view.study.name,
        "study_digest": digest_text(canonical_json(view.study.model_dump(mode="json"))),
        "store": store_digest(view.store),
        "selection": view.selection.but(study=view.study.name).to_query(),
        "report": asdict(report),
        "numbers": numbers,
    }
    provenance["hash"] = digest_text(canonical_json(numbers))
    questions = checklist(view, pd.DataFrame(counts)) if report.audience == AUDIENCES[1] else []
    way = view.specification_words()
    return Made(report, findings, way, _in_force(view), counts, provenance, picture, questions)


def _in_force(view: View) -> str:
    """The selection in words, without filters of lists, which no finding follows."""
    return view.selection.narrowed_to(Selection(truncated=view.selection.truncated)).caption()


def _rest(view: View, counts: list[dict[str, Any]]) -> dict[str, Any]:
    """What stands in a report beside its findings."""
    columns = list(counts[0]) if counts else []
    return {
        "key": REST,
        "way": view.specification_words(),
        "columns": columns,
        "rows": [list(row.values()) for row in counts],
    }


def _numbers(finding: Finding) -> dict[str, Any]:
    """Everything that a finding shows, as JSON values; of its chart a hash."""
    return {
        "key": finding.key,
        "headline": finding.headline,
        "sentence": finding.sentence,
        "big": list(finding.big),
        "means": finding.means,
        "limits": finding.limits,
        "basis": [list(part) for part in finding.basis],
        "chart": digest_text(sealed(finding.figure).to_json()) if finding.figure is not None else "",
        "columns": [str(c) for c in finding.table.columns],
        "rows": cells(finding.table),
    }


def _counts(view: View) -> list[dict[str, Any]]:
    """What the numbers leave out, by benchmark, judge and dimension."""
    rates = cell_rates(view)
    if rates.empty:
        return []
    broken = (rates["incoherent"] * rates["total"]).fillna(0.0)
    grouped = (
        rates.assign(broken=broken)
        .groupby(["benchmark", "judge", "dimension"], as_index=False)[["total", "n", "no_verdict", "broken"]]
        .sum()
    )
    names = {"total": "outputs", "n": "counted", "no_verdict": "no verdict", "broken": "incoherent"}
    return [
        {str(k): round(v) if k in names.values() else str(v) for k, v in row.items()}
        for row in grouped.rename(columns=names).to_dict("records")
    ]


def verify(store: Store, provenance: dict[str, Any]) -> list[str]:
    """Compute every number of a report again.

    Args:
        provenance: as `read_provenance` finds it.

    Returns:
        A sentence for each number that differs; empty where all are the same.

    Raises:
        CapsafeError: it is not a report of this format, or its own hash does not fit its numbers.
    """
    if provenance.get("format") != FORMAT:
        raise CapsafeError(
            f"The report has format {provenance.get('format')!r}; this capsafe reads format {FORMAT}.",
            "Update capsafe.",
        )
    try:
        numbers = provenance["numbers"]
        whole = digest_text(canonical_json(numbers)) == provenance["hash"] and [
            n["key"] for n in numbers
        ] == [*(i["key"] for i in provenance["report"]["items"] if not i["key"].startswith(PROSE)), REST]
        selection = Selection.from_query(dict(provenance["selection"]))
        if not whole:
            raise CapsafeError(
                "The numbers in this report are not those that it was made with: its hash does not fit them.",
                "Regenerate the report.",
            )
        view = open_view(store, selection)
        said = []
        for old in numbers:
            try:
                new = _rest(view, _counts(view)) if old["key"] == REST else _numbers(find(view, old["key"]))
            except CapsafeError as error:
                said.append(f"{old['key']}: it can no longer be computed. {error.message}")
                continue
            said += differences(old, json.loads(json.dumps(new)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CapsafeError(
            f"The numbers in this report cannot be read ({type(error).__name__}: {error}).",
            "Regenerate the report.",
        ) from error
    return said


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between a finding's numbers and the same computed again: texts, and cells of rows that are
    named by what is not a number in them."""
    said = [
        f"{old['key']}: {what} was “{old[what]}”, is “{new[what]}”."
        for what in ("headline", "sentence", "big", "means", "limits", "basis", "way")
        if what in old and old[what] != new.get(what)
    ]
    before, after = (_rows(n) for n in (old, new))
    for name in [*before, *(n for n in after if n not in before)]:
        if name not in after or name not in before:
            said.append(f"{old['key']}: the row {name} {'is gone' if name not in after else 'is new'}.")
            continue
        said += [
            f"{old['key']}: {column} in row {name} was {b}, is {a}."
            for column, b, a in zip(old["columns"], before[name], after[name], strict=True)
            if a != b
        ]
    if not said and old.get("chart") != new.get("chart"):
        said.append(f"{old['key']}: the chart shows other numbers.")
    return said


def _rows(numbers: dict[str, Any]) -> dict[str, list[Any]]:
    """The rows of a table by the texts in them, and by their place where those say the same."""
    found: dict[str, list[Any]] = {}
    for row in numbers["rows"]:
        name = ", ".join(str(v)[:40] for v in row if isinstance(v, str) and v) or "1"
        while name in found:
            name += "'"
        found[name] = row
    return found


def read_provenance(path: Path) -> dict[str, Any]:
    """What an HTML report says of itself.

    Raises:
        CapsafeError: it is not a report of capsafe.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CapsafeError(f"{path} cannot be read: {error}.", "Give an HTML report of capsafe.") from error
    before, tag, rest = text.partition(f'<script type="application/json" id="{DATA_ID}">')
    held, closing, after = rest.partition("</script>")
    try:
        data = json.loads(held) if closing else None
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, dict) and data.get("page") != digest_text(before + tag + PLACE + closing + after):
        raise CapsafeError(
            f"What {path.name} shows was edited after it was made: the page does not fit its hash.",
            "Regenerate the report.",
        )
    if not isinstance(data, dict) or "numbers" not in data:
        raise CapsafeError(
            f"{path.name} holds no numbers of a capsafe report.",
            "`capsafe report` writes one; PDF and slides are verified by their HTML.",
        )
    return data


def items_of(keys: Sequence[str], words: Sequence[str] = (), shown: Sequence[str] = ()) -> tuple[Item, ...]:
    """Items as the command line has them: keys, own sentences as KEY=SENTENCE, and outputs whose text is
    shown.

    Raises:
        CapsafeError: a sentence belongs to no chosen key.
    """
    own = {key: sentence for key, _, sentence in (w.partition("=") for w in words)}
    strange = [k for k in own if k not in keys]
    if strange:
        raise CapsafeError(
            f"There are words for {strange[0]!r}, which is not among the findings.",
            "Write --words KEY=SENTENCE with a key of --item.",
        )
    if empty := [k for k in keys if k.startswith(PROSE) and not own.get(k, "").strip()]:
        raise CapsafeError(f"{empty[0]!r} has no text.", f"Write it: --words {empty[0]}=TEXT.")
    return tuple(Item(k, own.get(k, ""), k.partition(":")[2] in shown or k in shown) for k in keys)
