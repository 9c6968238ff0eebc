"""What did fine-tuning do here, and how sure are we?"""

import streamlit as st

from capsafe_core.analysis.overview import overview
from capsafe_core.ui import controls, given_parts, overview_parts, screen, unchecked
from capsafe_core.ui.safe_text import plain_label

with screen.question("What did fine-tuning do here, and how sure are we?") as view:
    unchecked.note(view)
    at_goal = screen.matched(view.of_every_recipe)
    if not at_goal.runs:
        given_parts.overview(view, at_goal)
        st.stop()
    asked = screen.selection().recipes
    found = screen.remembered(view, "overview", lambda: overview(view, asked[0] if asked else ""))
    st.markdown(f"**{plain_label(found.headline)}**")
    with st.container(horizontal=True, vertical_alignment="center"):
        overview_parts.state_badge(found.chip, found.state)
        controls.back(view)
        overview_parts.recipe_choice(found)
    left, right = st.columns([6, 5])
    with left:
        overview_parts.at_the_goal(found, view)
    with right:
        clicked = overview_parts.way_there(found.paths, view.recipe_names, found.recipe)
        if clicked:
            screen.open_outputs(
                checkpoints=(clicked,), benchmarks=(view.specification.benchmark,), recipes=()
            )
    for column, (name, (value, words)) in zip(st.columns(4), found.numbers.items(), strict=True):
        column.metric(plain_label(name), plain_label(value), help=plain_label(words), border=True)
    goals = ", ".join(f"{goal:.0%} accuracy on {name}" for name, goal in view.goals.items())
    screen.caption(
        view,
        f"Goals: {goals}. Intervals: 95%, bootstrap over requests and test items, conditional on the "
        "training seeds where there are fewer than five",
    )
    if found.missing:
        st.caption(plain_label("Not compared: " + " ".join(found.missing)))
    overview_parts.recipe_list(found)
    overview_parts.doors(view, found.claim)
    screen.table_below(found.matched, "matched", "crossing", "unsafe rate", "policy", "bootstrap")
    screen.table_below(
        found.bars,
        "outcomes-at-the-goal",
        "crossing",
        "detector",
        how="Outcomes, first match: incoherent, unsafe engagement, refusal, safe engagement; mean over the "
        "seeds that reach the goal, or over the last checkpoints where none does.",
    )
    screen.table_below(found.paths, "way-to-the-goal", "gained", "unsafe rate", "wilson")
