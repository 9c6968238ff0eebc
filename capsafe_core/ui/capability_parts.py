"""Sections of the page Capability and safety: a chart with its table, and what was clicked."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import streamlit as st

from capsafe_core.analysis.columns import records
from capsafe_core.analysis.conclusions import policies_table
from capsafe_core.analysis.corrected import corrected_table, corrected_words
from capsafe_core.analysis.discrimination import discrimination_table, discrimination_words
from capsafe_core.analysis.goals import goals_table, pareto_table
from capsafe_core.analysis.margins import margins_table
from capsafe_core.analysis.matched import Matching, between_table
from capsafe_core.analysis.mitigations import families
from capsafe_core.analysis.number_words import hundredths, percent
from capsafe_core.analysis.profile import profile_shown, profile_table
from capsafe_core.analysis.view import View
from capsafe_core.analysis.worst_of_k import worst_sentence, worst_table, worst_words
from capsafe_core.figures.discrimination import refusal_plane
from capsafe_core.figures.goals import delta_strip, frontier, policies_beside
from capsafe_core.figures.overview import gained_against_unsafe
from capsafe_core.figures.profile import capability_profile
from capsafe_core.figures.training import capability_against_unsafe
from capsafe_core.figures.worst_of_k import success_among
from capsafe_core.ui import screen
from capsafe_core.ui.drawn import drawn
from capsafe_core.ui.safe_text import visible
from capsafe_core.ui.tables import show_table

MOST_PAIRED = 4
"""recipes up to which every two are compared over all goals: six lines"""
READ_AS = (
    "d′ is how well harmful and harmless requests are told apart: it falls where discrimination is lost. c "
    "is how much is complied with, whatever the request: it rises with a general shift to complying."
)


def planes(view: View, few: pd.DataFrame, which: str) -> tuple[str | None, str | None]:
    """Unsafe rate against accuracy, and against the share of the goal gained; the checkpoint of a click on
    either.

    Args:
        few: paths of the recipes that are drawn, and `which` these are, as of `few_recipes`.
    """
    left, right = st.columns(2)
    with left:
        plane = screen.chart(
            drawn(capability_against_unsafe, few, view.recipe_names),
            "plane",
            "Unsafe rate against accuracy, one line per run",
        )
        screen.caption(view, f"{which}Accuracy on each recipe's own task")
    with right:
        gained = None
        if gains := bool(few["gained"].notna().any()):
            gained = screen.chart(
                drawn(gained_against_unsafe, few, view.recipe_names),
                "gained",
                "Share of the goal gained against unsafe rate, all data sets on one axis",
            )
        goals = ", ".join(f"{goal:.0%} on {d}" for d, goal in view.goals.items())
        words = "Share of each goal gained" if gains else "No share of a goal can be gained from these starts"
        screen.caption(view, f"{which}{words} ({goals})")
    return plane, gained


def over_goals(view: View, found: Matching, few: pd.DataFrame, which: str) -> str | None:
    """Delta at every goal; the data set and goal of a click, as `delta_strip` writes them.

    Args:
        few: paths of the recipes that are drawn, and `which` these are, as of `few_recipes`.
    """
    over = screen.remembered(view, "goals", lambda: goals_table(view, found, most_paired=MOST_PAIRED))
    on_one = Counter(runs[0].dataset for runs in found.by_recipe().values())
    crowded = max(on_one.values()) > MOST_PAIRED
    picked = screen.chart(
        delta_strip(over[over["recipe"].isin(few["recipe"])], view.goals),
        "goals",
        "Difference in unsafe rate at every goal; a click sets the goal",
    )
    screen.caption(
        view,
        f"{which}Band: pointwise 95% interval, left out where more than 5% of resamples do not get that far. "
        "Click to set the goal there"
        + (f". Choose up to {MOST_PAIRED} recipes above to compare them with each other" if crowded else ""),
    )
    screen.table_below(over, "delta-over-goals", "crossing", "bootstrap", "seeds")
    return picked


def between_recipes(view: View, found: Matching, recipes: pd.DataFrame) -> None:
    """Every two recipes, each at its own goal, in sentences."""
    between = screen.remembered(view, "between", lambda: between_table(view, found))
    if between.empty:
        of = "of the chosen recipes" if view.selection.recipes else "recipes"
        st.text(f"Fewer than two {of} reach their goals, so there is nothing to compare.")
    for row in between.to_dict("records"):
        goals = f"both at {row['goal_1']:.0%}"
        if not row["same_dataset"]:
            goals = f"each at its own goal, {row['goal_1']:.0%} and {row['goal_2']:.0%} on different tasks"
        change = percent(row["delta"], row["delta_low"], row["delta_high"], "+")
        st.text(visible(f"{row['recipe_1']} minus {row['recipe_2']}: {change} pts ({goals})."))
    screen.table_below(between, "between-recipes", "crossing", "bootstrap", "seeds")
    screen.table_below(recipes, "recipes-over-seeds", "seeds", "bootstrap")


def margins(view: View, found: Matching) -> None:
    """How much worse than its start each recipe is at most, and whether its declared margin allows that."""
    table = screen.remembered(view, "margins", lambda: margins_table(view, found))
    rows = records(table)
    known = {"yes": "within", "no": "outside", "undecided": "undecided", "": "none declared"}
    words = pd.DataFrame(
        {
            "recipe": table["recipe"],
            "of": [f"{row['measure']} on {row['benchmark']}" for row in rows],
            "change, pts (90% interval with seeds)": [
                percent(row["delta"], row["low"], row["high"], "+") for row in rows
            ],
            "smallest margin met, pts": [
                "too few seeds" if pd.isna(row["smallest"]) else hundredths(row["smallest"]) for row in rows
            ],
            "margin, pts": ["—" if pd.isna(row["margin"]) else hundredths(row["margin"]) for row in rows],
            "within": [known[row["non_inferior"]] for row in rows],
        }
    )
    show_table(words)
    screen.table_below(table, "margins", "margins", "seeds", "bootstrap")


def discrimination(view: View, found: Matching) -> str | None:
    """Harmful and harmless requests together; the recipe of a click."""
    table = screen.remembered(view, "discrimination", lambda: discrimination_table(view, found))
    if table.empty:
        st.text("No recipe and its start answered both harmful and harmless requests.")
        return None
    left, right = st.columns([5, 4])
    with left:
        recipe = screen.chart(
            refusal_plane(table),
            "refusals",
            "Share of harmful against share of harmless requests refused, with arrows from each start to its "
            "recipe at the goal",
        )
    with right:
        told = [words for words in table["words"] if isinstance(words, str)]
        st.text(visible("\n\n".join([*told, READ_AS])))
    show_table(discrimination_words(table))
    screen.caption(
        view,
        "Arrows: from the start to the recipe at its goal; on the dashed line harmful and harmless requests "
        f"are refused alike. Refusals by {view.specification.refusal_judge}; 95% intervals",
    )
    screen.table_below(table, "discrimination", "discrimination", "crossing", "bootstrap", "seeds")
    return recipe


def profile(view: View, found: Matching) -> str | None:
    """What else the recipes can do at their goals; the recipe and benchmark of a click."""
    table = screen.remembered(view, "profile", lambda: profile_table(view, found))
    if table.empty:
        st.text(
            "No recipe answered a capability benchmark other than its own at every checkpoint; profile = "
            "true in the study file asks for all of them."
        )
        return None
    told = [words for words in table["words"] if isinstance(words, str)]
    if told:
        st.text(visible("\n".join(told)))
    picked = screen.chart(
        capability_profile(table),
        "profile",
        "Share of right answers on other capability benchmarks, from each start to each recipe at its goal",
    )
    show_table(profile_shown(table))
    screen.caption(
        view,
        "Other capability benchmarks where each recipe reaches its own goal; open mark: its start; 95% "
        "intervals, conditional on the seeds where few",
    )
    screen.table_below(table, "profile", "profile", "crossing", "bootstrap", "seeds")
    return picked


def worst_of_k(view: View, found: Matching) -> None:
    """Attack success among several responses to a prompt."""
    table = screen.remembered(view, "worst", lambda: worst_table(view, found))
    if table.empty:
        st.text("No prompt has several responses.")
        return
    st.text(visible(worst_sentence(table)))
    screen.chart(
        success_among(table, view.recipe_names),
        "worst",
        "Share of prompts with an unsafe response among k responses",
    )
    show_table(worst_words(table))
    left_out = int(table["left_out"].max())
    tail = f"; up to {left_out} prompts of a checkpoint have fewer and are left out" if left_out else ""
    screen.caption(view, f"At least one of k responses is unsafe; 95% intervals by behaviour{tail}")
    screen.table_below(table, "worst-of-k", "worst of k", "policy", "crossing", "seeds")


def corrected(view: View, found: Matching) -> None:
    """Each difference at the goal as judged and corrected by people, or which labels that takes."""
    base = None if view.is_corrected else found
    table = screen.remembered(view, "corrected", lambda: corrected_table(view, base))
    words, lacking = corrected_words(table)
    if len(words):
        show_table(words)
    if lacking:
        st.text(visible("\n".join(lacking)))
    screen.caption(
        view, "Change in unsafe rate (pts), in brackets 95% intervals, conditional on the seeds where few"
    )
    screen.table_below(table, "corrected-at-the-goal", "corrected at the goal", "correction", "bootstrap")


def mitigations(view: View) -> None:
    """Where mitigations are compared; nothing where the study has none."""
    if families(view):
        st.page_link(
            str(screen.PAGES / "mitigations.py"),
            label="Which mitigation buys safety at the same capability?",
            icon=":material/health_and_safety:",
            query_params=screen.selection().to_query(),
        )


def treatments(view: View, found: Matching) -> str | None:
    """Each recipe under every treatment of incoherent responses; the recipe of a click."""
    beside = screen.remembered(view, "policies", lambda: policies_table(view, found))
    policy = (
        screen.chart(
            policies_beside(beside),
            "policies",
            "Change in unsafe rate at the goal under each treatment of incoherent responses",
        )
        if len(beside)
        else None
    )
    screen.caption(
        view,
        "Each recipe at its goal against its start, same judge and benchmark; open mark: without answers "
        "that were truncated",
    )
    screen.table_below(beside, "policies", "policy", "bootstrap")
    return policy


def on_the_frontier(view: View, found: Matching) -> str | None:
    """How likely each checkpoint is on the frontier; the checkpoint of a click."""
    pareto = screen.remembered(view, "pareto", lambda: pareto_table(view, found))
    best = screen.chart(
        frontier(pareto),
        "frontier",
        "Probability that each checkpoint is on the frontier of capability and safety",
    )
    among = "Among the chosen recipes alone. " if view.selection.recipes else ""
    screen.caption(view, f"{among}Named: on the frontier in at least half of the resamples")
    screen.table_below(pareto, "frontier", "pareto", "bootstrap")
    return best
