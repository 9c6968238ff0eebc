"""What mitigations buy at the goal, as a finding."""

from __future__ import annotations

import pandas as pd

from capsafe_core.analysis.columns import records
from capsafe_core.analysis.matched import matching
from capsafe_core.analysis.mitigation_order import orders_table, over_refusal_table
from capsafe_core.analysis.mitigation_words import answer, not_compared, order_sentence, verb
from capsafe_core.analysis.mitigations import MITIGATION, families, mitigations_table
from capsafe_core.analysis.number_words import hundredths, pts
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.figures.mitigations import mitigated_plane
from capsafe_core.report.basis import basis, outputs_words, state_words
from capsafe_core.report.finding import Finding
from capsafe_core.report.slide_charts import plane_chart

QUESTION = "Which mitigation buys safety at the same capability, and at what price?"


def mitigations_finding(view: View, of: str) -> Finding:
    """The mitigations of one recipe; of the first that has some where none is named.

    Raises:
        CapsafeError: no recipe of the study is mitigated, or not that one.
    """
    view = view.of_every_recipe
    family = next((f for f in families(view) if of in ("", f.base)), None)
    if family is None:
        raise CapsafeError(
            f"{of or 'No recipe of this study'} is not mitigated by another.",
            "Add a recipe `of` it to the study file, or one that `mitigates` it.",
        )
    paths = view.once(path_table)
    found = matching(view, paths)
    table = mitigations_table(view, found, paths)
    table = table[table["of"] == family.base].reset_index(drop=True)
    there = [row for row in records(table) if row["kind"] == MITIGATION and pd.notna(row["delta"])]
    proven = [row for row in there if verb(view, row) == "safer"]
    big = ("–", f"no mitigation of {family.base} is shown to be safer at the same capability")
    headline = f"No mitigation of {family.base} is shown to be safer at the same capability"
    if proven:
        best = min(proven, key=lambda row: row["delta"])
        ends = " to ".join(hundredths(best[end], "+") for end in ("verb_low", "verb_high"))
        big = (
            pts(best["delta"], "+"),
            f"{view.harm.answers} of {best['recipe']} against {family.base} at the same capability; 95%, "
            f"with training seeds: {ends}",
        )
        headline = f"{best['recipe']} is safer than {family.base} at the same capability: {big[0]}"
    said = answer(view, table, over_refusal_table(view, found))
    order = order_sentence(orders_table(view, found), family.base)
    mine = paths[paths["recipe"].isin(family.names)].dropna(subset=["capability", "unsafe"])
    after = [r.name for r in family.mitigations if r.of]
    goal = view.goal(view.study.recipe(family.base).dataset)
    return Finding(
        "mitigations",
        QUESTION,
        headline,
        " ".join(said) or f"{family.base} cannot be compared at a goal.",
        big,
        [order] if order else [],
        [
            "Each recipe is read where it has the same capability; at others the order can differ.",
            *not_compared(view, found, table),
        ],
        mitigated_plane(mine, family.base, after, goal, view.recipe_names),
        "Unsafe rate against accuracy: the unmitigated recipe along training, and each mitigation",
        table,
        ("crossing", "bootstrap", "seeds", "interval p", "detector", "cost"),
        plane_chart(mine, table[table["kind"] == MITIGATION], view.harm.answers),
        basis=basis(
            view, outputs_words(table["n"], view.specification.benchmark), state_words(view, family.base)
        ),
    )
