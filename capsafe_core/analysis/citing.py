"""What a selection rests on, as BibTeX."""

from __future__ import annotations

from typing import Any

from capsafe_core import catalogue
from capsafe_core.analysis.view import View
from capsafe_core.store.counts import joint_counts
from capsafe_core.store.labels import labellers
from capsafe_core.text import bibtex_comment

_FIELDS = (
    "author",
    "title",
    "journal",
    "publisher",
    "edition",
    "volume",
    "number",
    "pages",
    "year",
    "eprint",
)


def bibtex(view: View) -> str:
    """The entries of the benchmarks, judges and methods that a view's numbers use, each with a line that says
    for what."""
    used = view.listed_cells
    counts = joint_counts(view.store, view.specification.coherence)
    judges = sorted(counts[counts["cell_id"].isin(used["cell_id"])]["judge"].unique())
    names = {
        "benchmark": sorted(used["benchmark"].unique()),
        "judge": judges,
        "method": _methods(view, judges),
        "paper": ["*"],
    }
    entries, without = [], {name for kind in ("benchmark", "judge") for name in names[kind]}
    for key, entry in catalogue.citations().items():
        mine = [
            n
            for kind in entry["use"]
            for n in names.get(kind, [])
            if any(n.lower().startswith(p) for p in entry["names"])
        ]
        if mine:
            without -= set(mine)
            entries.append(_entry(key, entry, mine))
    notes = f"% Without an entry here: {bibtex_comment(', '.join(sorted(without)))}\n" if without else ""
    return "\n".join(entries) + ("\n" + notes if notes else "")


def _methods(view: View, judges: list[str]) -> list[str]:
    """The methods of the pages that have something to show."""
    found = ["wilson", "newcombe", "curve", "benjamini", "kendall"]
    if view.matched_recipes:
        found.append("mcnemar")
    if len(judges) > 1:
        found += ["coefficients", "cochran"]
    if len(labellers(view.store)):
        found.append("correction")
    return found


def _entry(key: str, entry: dict[str, Any], names: list[str]) -> str:
    lines = [f"  {field} = {{{entry[field]}}}" for field in _FIELDS if field in entry]
    lines += ["  archivePrefix = {arXiv}"] if "eprint" in entry else []
    used = "the argument of this tool" if names == ["*"] else ", ".join(dict.fromkeys(names))
    return f"% {bibtex_comment(used)}\n@{entry['type']}{{{key},\n" + ",\n".join(lines) + "\n}\n"
