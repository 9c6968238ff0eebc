"""Sections of the page Mitigations: a table or chart with what it rests on, and what was clicked."""

from __future__ import annotations

from typing import NoReturn

import pandas as pd
import streamlit as st

from capsafe_core.analysis.columns import records
from capsafe_core.analysis.matched import Matching
from capsafe_core.analysis.mitigation_order import orders_table, pairs_table
from capsafe_core.analysis.mitigation_words import in_words, order_sentence
from capsafe_core.analysis.mitigations import families
from capsafe_core.analysis.number_words import p_words, percent
from capsafe_core.analysis.view import View
from capsafe_core.figures.mitigations import mitigated_plane
from capsafe_core.study import Study
from capsafe_core.study_checks import PLAIN
from capsafe_core.toml_text import toml_table
from capsafe_core.ui import screen
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.ui.tables import show_table


def first_one(study: Study) -> NoReturn:
    """What a study without a mitigation lacks, with the tables to add to its file; the page ends here."""
    example = examples_of(study)
    st.markdown("**This study has no mitigation yet.**")
    if example:
        st.text(
            "Add these recipes to the study file and run it again: the baseline that costs nothing, and a "
            "published method. docs/running.md lists the others."
        )
        st.code(visible(example), language="toml")
    screen.nothing("A mitigation is compared with the recipe that it mitigates, at the same capability.")


def examples_of(study: Study) -> str:
    """TOML of two mitigations of the first recipe that leaves adapters; "" where there is none."""
    below = {start.recipe for start in study.starts}  # what others begin with aligns them
    here = (r for r in study.recipes if r.is_trained or (r.folders and r.steps))
    tuned = next((r for r in here if r.method in PLAIN and r.name not in below), None)
    if tuned is None:
        return ""
    start = study.start(tuned.start)
    aligned = start.recipe or start.adapters or start.base
    methods = {"scale": [0.25, 0.5, 0.75], "safelora" if aligned else "dare": [0.25, 0.5, 0.75]}
    return "\n".join(
        toml_table(
            "[recipes]",
            {
                "name": f"{tuned.name}-{method}",
                "of": tuned.name,
                "start": tuned.start,
                "dataset": tuned.dataset,
                "mitigation": method,
                "strengths": strengths,
            },
        )
        for method, strengths in methods.items()
    )


def beside(view: View, table: pd.DataFrame, refusals: pd.DataFrame) -> None:
    """Each recipe that is mitigated, its mitigations, and the two that cost nothing."""
    for of, rows in table.groupby("of", sort=False):
        words = in_words(rows, refusals[refusals["of"] == of])
        show_table(words, width="stretch")
    if len(table):
        screen.caption(
            view,
            "Change: against the unmitigated recipe at the same capability. In brackets 95% intervals, "
            "bootstrap over requests and test items. Stopping earlier and halving the adapter are free",
        )


def planes(view: View, paths: pd.DataFrame) -> str | None:
    """Capability against unsafe rate for one recipe that is mitigated and has both; the checkpoint of a
    click."""
    st.subheader("Capability against safety", anchor=False)
    clicked = None
    known = paths.dropna(subset=["capability", "unsafe"])
    shown = {f.base: f for f in families(view) if known["recipe"].isin(f.names).any()}
    base = next(iter(shown), None)
    if len(shown) > 1:
        base = st.segmented_control(
            "Of which recipe?",
            list(shown),
            format_func=plain_label,
            default=base,
            required=True,
            key="family",
        )
    if base is not None:
        family = shown[base]
        clicked = screen.chart(
            mitigated_plane(
                known[known["recipe"].isin(family.names)],
                base,
                [r.name for r in family.mitigations if r.of],
                view.goal(view.study.recipe(base).dataset),
                view.recipe_names,
            ),
            f"plane-{base}",
            f"Unsafe rate against accuracy of {base} and its mitigations",
        )
    screen.caption(
        view,
        "Thick: the unmitigated recipe, along training. Dashed: mitigations, along training or over their "
        "strength. Fill: share of incoherent responses. Lower right is better. Click a mark to read "
        "responses",
    )
    screen.table_below(paths, "paths", "unsafe rate", "wilson")
    return clicked


def order(view: View, found: Matching) -> None:
    """Whether the order of mitigations survives other benchmarks, judges and policies."""
    orders = screen.remembered(view, "orders", lambda: orders_table(view, found))
    sentences = [words for family in families(view) if (words := order_sentence(orders, family.base))]
    st.text(
        visible("\n".join(sentences))
        if sentences
        else "Fewer than two recipes reach the goal, so there is no order."
    )
    st.caption("Analysis variants are not independent of each other, and their shares are not probabilities.")
    screen.table_below(orders, "order", "policy", "crossing")


def pairs(view: View, found: Matching) -> None:
    """Pairwise differences at the goal, adjusted for all of them."""
    table = screen.remembered(view, "pairs", lambda: pairs_table(view, found))
    if table.empty:
        st.text("Fewer than two recipes reach the goal, so there is nothing to compare.")
        return
    rows = records(table)
    words = pd.DataFrame(
        {
            "first": table["recipe_1"],
            "second": table["recipe_2"],
            "first minus second, pts": [
                percent(row["delta"], row["delta_low"], row["delta_high"], "+") for row in rows
            ],
            "p": [p_words(row["p"]) for row in rows],
            "p (Holm)": [p_words(row["p_holm"]) for row in rows],
        }
    )
    show_table(words)
    screen.caption(view, f"Unsafe rates at the goal; p-values adjusted for {len(table)} comparisons")
    screen.table_below(table, "pairs", "crossing", "bootstrap", "interval p", "seeds")
