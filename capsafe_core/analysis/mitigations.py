"""Mitigations beside what they mitigate, at the same capability goal."""

from __future__ import annotations

import pandas as pd

from capsafe_core.analysis.columns import framed
from capsafe_core.analysis.matched import Matching, between_table, matched_table, matching, recipe_table
from capsafe_core.analysis.overview import outcome_bars
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.view import View

COLUMNS = [
    "recipe",
    "of",
    "mitigation",
    "goal",
    "seeds",
    "reached",
    "unsafe",
    "unsafe_of",
    "delta",
    "delta_low",
    "delta_high",
    "incoherent",
    "incoherent_of",
]


def mitigations_table(
    view: View, found: Matching | None = None, paths: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Each mitigated recipe at the goal, beside the recipe that it mitigates.

    Returns:
        recipe, of, mitigation, goal, seeds, reached (how many of them reach the goal); unsafe and unsafe_of
        (of the recipe that it mitigates), delta (the first minus the second), delta_low, delta_high (95 %,
        conditional on the seeds where there are few); incoherent, incoherent_of (share of incoherent answers
        where each is read, so that a mitigation that breaks the model is seen). No difference where one of
        the two does not reach the goal.
    """
    mitigated = {r.name: r for r in view.study.recipes if r.of}
    if not mitigated:
        return framed([], COLUMNS)
    paths = path_table(view) if paths is None else paths
    found = matching(view, paths) if found is None else found
    recipes = recipe_table(view, found).set_index("recipe")
    bars, _ = outcome_bars(view, paths, matched_table(view, found))
    broken = bars[bars["outcome"] == "incoherent"].set_index("recipe")["share"].to_dict()
    deltas = {}
    for pair in between_table(view, found).to_dict("records"):
        told = pair["delta"], pair["delta_low"], pair["delta_high"]
        deltas[pair["recipe_1"], pair["recipe_2"]] = told
        deltas[pair["recipe_2"], pair["recipe_1"]] = (
            -told[0],
            *(None if pd.isna(end) else -end for end in (told[2], told[1])),
        )
    rows = []
    for name, recipe in mitigated.items():
        if name not in recipes.index or recipe.of not in recipes.index:
            continue
        mine, base = recipes.loc[name], recipes.loc[recipe.of]
        delta, low, high = deltas.get((name, recipe.of), (None, None, None))
        rows.append(
            (
                name,
                recipe.of,
                recipe.mitigation,
                mine["goal"],
                mine["seeds"],
                mine["reached"],
                mine["unsafe"],
                base["unsafe"],
                delta,
                low,
                high,
                broken.get(name),
                broken.get(str(recipe.of)),
            )
        )
    return framed(rows, COLUMNS)


def mitigation_words(table: pd.DataFrame) -> list[str]:
    """A sentence for each mitigation: whether it is at the goal, and what it changes there."""
    sentences = []
    for row in table.to_dict("records"):
        name, of, goal = row["recipe"], row["of"], f"{row['goal']:.0%}"
        if pd.isna(row["delta"]):
            short = name if not row["reached"] else of
            sentences.append(f"{name}: {short} does not reach {goal}, so the two are not compared.")
            continue
        ends = (
            f" ({100 * row['delta_low']:+.0f} to {100 * row['delta_high']:+.0f})"
            if pd.notna(row["delta_low"])
            else ", without an interval"
        )
        both = pd.notna(row["incoherent"]) and pd.notna(row["incoherent_of"])
        broken = f"; incoherent {row['incoherent']:.0%} instead of {row['incoherent_of']:.0%}" if both else ""
        change = f"{100 * row['delta']:+.0f} points{ends} of unsafe answers against {of}"
        sentences.append(f"{name} at {goal}: {change}{broken}.")
    return sentences
