"""What does each recipe cost in safety at the capability goal?"""

import streamlit as st

from capsafe_core.analysis.conclusions import policies_table
from capsafe_core.analysis.matched import (
    between_table,
    goals_table,
    matched_table,
    matching,
    pareto_table,
    recipe_table,
)
from capsafe_core.analysis.matched_words import in_words, percent, warnings
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.sentences import capability_sentence
from capsafe_core.figures.goals import delta_strip, frontier, policies_beside
from capsafe_core.figures.overview import gained_against_unsafe
from capsafe_core.figures.training import along_training, capability_against_unsafe
from capsafe_core.ui import screen
from capsafe_core.ui.safe_text import plain_label, visible, visible_frame

with screen.question("What does each recipe cost in safety at the capability goal?") as view:
    screen.ways_row(view)
    screen.goals_row(view)
    paths = screen.remembered(view, "paths", lambda: path_table(view))
    found = screen.remembered(view, "matching", lambda: matching(view, paths))
    if not found.runs:
        screen.nothing(
            " ".join(
                [
                    "No recipe can be compared at a goal yet: it needs a capability and a safety benchmark, "
                    "answered and judged.",
                    *found.left_out,
                ]
            )
        )
    recipes = screen.remembered(view, "recipes", lambda: recipe_table(view, found))
    matched = screen.remembered(view, "matched", lambda: matched_table(view, found))
    st.markdown(f"**{plain_label(capability_sentence(recipes))}**")
    if sentences := warnings(matched, found.left_out):
        st.text(visible("\n".join(sentences)))
    st.dataframe(visible_frame(in_words(matched)), hide_index=True)
    screen.caption(
        view,
        "Where each run crosses its goal; in brackets 95 % intervals, bootstrap over requests and test "
        "items, conditional on the seed",
    )
    screen.table_below(
        matched, "matched", "crossing", "unsafe rate", "policy", "bootstrap", "newcombe", "plateau"
    )

    st.subheader("Along training", anchor=False)
    clicked = screen.chart(
        along_training(paths), "training", "Capability and unsafe rate along training, one column a data set"
    )
    screen.caption(
        view,
        "Bars: 95 % intervals. Band: lowest to highest seed. Fill of the lower marks: share of incoherent "
        "answers. Click a mark to read its answers",
    )
    left, right = st.columns(2)
    with left:
        plane = screen.chart(
            capability_against_unsafe(paths), "plane", "Right answers against unsafe rate, one line a run"
        )
        screen.caption(view, "Right answers on each recipe's own task")
    with right:
        gained = screen.chart(
            gained_against_unsafe(paths),
            "gained",
            "Share of the goal gained against unsafe rate, all data sets on one axis",
        )
        goals = ", ".join(f"{view.goal(d):.0%} on {d}" for d in view.study.goals)
        screen.caption(view, f"Share of each goal gained ({goals}). Band: all judges")
    screen.table_below(paths, "paths", "unsafe rate", "wilson", "gained")

    st.subheader("Over all goals", anchor=False)
    over = screen.remembered(view, "goals", lambda: goals_table(view, found))
    picked = screen.chart(
        delta_strip(over, {d: view.goal(d) for d in view.study.goals}),
        "goals",
        "Difference in unsafe rate at every goal; a click sets the goal",
    )
    screen.caption(
        view,
        "Band: pointwise 95 % interval, left out where more than 5 % of resamples do not get that far. "
        "Click to set the goal there",
    )
    screen.table_below(over, "delta-over-goals", "crossing", "bootstrap", "seeds")

    st.subheader("Between recipes", anchor=False)
    between = screen.remembered(view, "between", lambda: between_table(view, found))
    if between.empty:
        st.text("Fewer than two recipes reach their goals, so there is nothing to compare.")
    for row in between.itertuples():
        goals = (
            f"both at {row.goal_1:.0%}"
            if row.same_dataset
            else f"each at its own goal, {row.goal_1:.0%} and {row.goal_2:.0%} on different tasks"
        )
        st.text(
            visible(
                f"{row.recipe_1} minus {row.recipe_2}: "
                f"{percent(row.delta, row.delta_low, row.delta_high, '+')} points ({goals})."
            )
        )
    screen.table_below(between, "between-recipes", "crossing", "bootstrap", "seeds")
    screen.table_below(recipes, "recipes-over-seeds", "seeds", "bootstrap")

    st.subheader("Does the treatment of incoherent answers matter?", anchor=False)
    beside = screen.remembered(view, "policies", lambda: policies_table(view, found))
    policy = (
        screen.chart(
            policies_beside(beside),
            "policies",
            "Change in unsafe rate at the goal under each treatment of incoherent answers",
        )
        if len(beside)
        else None
    )
    screen.caption(
        view,
        "Each recipe at its goal against its start, same judge and benchmark; open mark: without answers "
        "that were cut off",
    )
    screen.table_below(beside, "policies", "policy", "bootstrap")

    st.subheader("Who is on the frontier?", anchor=False)
    pareto = screen.remembered(view, "pareto", lambda: pareto_table(view, found))
    best = screen.chart(
        frontier(pareto),
        "frontier",
        "Probability of each checkpoint to be on the frontier of capability and safety",
    )
    screen.caption(view, "Named: on the frontier in at least half of the resamples")
    screen.table_below(pareto, "frontier", "pareto", "bootstrap")

    if picked:
        dataset, _, goal = picked.rpartition(":")
        screen.set_goal(dataset, float(goal))
    if policy:
        screen.open_outputs(recipes=(policy,), benchmarks=(view.specification.benchmark,))
    if checkpoint := clicked or plane or gained or best:
        screen.open_outputs(checkpoints=(checkpoint,), benchmarks=(view.specification.benchmark,), recipes=())
