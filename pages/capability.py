"""What does each recipe cost in safety at the capability goal?"""

import streamlit as st

from capsafe_core.analysis.lacking import lacking
from capsafe_core.analysis.matched import matched_table, recipe_table
from capsafe_core.analysis.matched_words import in_words, warnings
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.sentences import capability_sentence
from capsafe_core.figures.training import along_training, few_recipes
from capsafe_core.quoting import split_names
from capsafe_core.ui import capability_parts as parts
from capsafe_core.ui import controls, given_parts, screen, unchecked
from capsafe_core.ui.drawn import drawn
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.ui.sections import section

with screen.question("What does each recipe cost in safety at the capability goal?") as view:
    unchecked.note(view)
    controls.ways_row(view)
    controls.goals_row(view)
    controls.recipes_row(view, parts.MOST_PAIRED)
    paths = screen.remembered(view, "paths", lambda: path_table(view))
    found = screen.matched(view)
    if not found.runs:
        given_parts.capability(view, found)
        st.stop()
    recipes = screen.remembered(view, "recipes", lambda: recipe_table(view, found))
    matched = screen.remembered(view, "matched", lambda: matched_table(view, found))
    some = bool(view.selection.recipes)
    answer = capability_sentence(recipes, matched, view.harm, found.left_out, some)
    st.markdown(f"**{plain_label(answer)}**")
    if sentences := [*lacking(view, found), *warnings(matched)]:
        st.text(visible("\n".join(sentences)))
    screen.show_table(in_words(matched))
    screen.caption(
        view,
        "Where each run crosses its goal; in brackets 95% intervals, bootstrap over requests and test "
        "items, conditional on the seed",
    )
    screen.table_below(
        matched, "matched", "crossing", "unsafe rate", "policy", "bootstrap", "newcombe", "plateau"
    )

    st.subheader("Along training", anchor=False)
    few, which = few_recipes(paths)
    clicked = screen.chart(
        drawn(along_training, few, view.recipe_names),
        "training",
        "Capability and unsafe rate along training, one column per data set",
    )
    screen.caption(
        view,
        f"{which}Bars: 95% intervals. Band: lowest to highest seed. Fill of the lower marks: share of "
        "incoherent responses. Click a mark to read its responses",
    )
    plane, gained = parts.planes(view, few, which)
    screen.table_below(paths, "paths", "unsafe rate", "wilson", "gained")

    parts.mitigations(view)
    picked = section("Over all goals", "goals", lambda: parts.over_goals(view, found, few, which))
    section("Between recipes", "between", lambda: parts.between_recipes(view, found, recipes))
    profile = section("What else was gained or forgotten?", "profile", lambda: parts.profile(view, found))
    section("What do several attempts find?", "worst", lambda: parts.worst_of_k(view, found))
    shift = "Complying with more, or telling less apart?"
    refusing = section(shift, "refusals", lambda: parts.discrimination(view, found))
    section("No worse than by how much?", "margins", lambda: parts.margins(view, found))
    section("Corrected by human labels", "corrected", lambda: parts.corrected(view, found))
    treatment = "Does the treatment of incoherent responses matter?"
    policy = section(treatment, "policies", lambda: parts.treatments(view, found))
    best = section(
        "Which checkpoints are on the frontier?", "frontier", lambda: parts.on_the_frontier(view, found)
    )

    if picked:
        dataset, _, goal = picked.rpartition(":")
        controls.set_goal(dataset, float(goal))
    if profile:
        recipe, benchmark = split_names(profile)
        screen.open_outputs(recipes=(recipe,), benchmarks=(benchmark,))
    if recipe := policy or refusing:
        screen.open_outputs(recipes=(recipe,), benchmarks=(view.specification.benchmark,))
    if checkpoint := clicked or plane or gained or best:
        screen.open_outputs(checkpoints=(checkpoint,), benchmarks=(view.specification.benchmark,), recipes=())
