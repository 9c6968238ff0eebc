"""Which mitigation buys safety at the same capability, and at what price?"""

import streamlit as st

from capsafe_core.analysis.mitigation_order import over_refusal_table
from capsafe_core.analysis.mitigation_words import answer, not_compared
from capsafe_core.analysis.mitigations import families, mitigations_table
from capsafe_core.analysis.paths import path_table
from capsafe_core.ui import controls, mitigation_parts, screen, unchecked
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.ui.sections import section

with screen.question("Which mitigation buys safety at the same capability, and at what price?") as view:
    unchecked.note(view)
    controls.ways_row(view)
    controls.goals_row(view)
    if not families(view):
        mitigation_parts.first_one(view.study)
    view = view.of_every_recipe  # what others mitigate is needed beside them
    paths = screen.remembered(view, "paths", lambda: path_table(view))
    found = screen.matched(view)
    table = screen.remembered(view, "mitigations", lambda: mitigations_table(view, found, paths))
    refusals = screen.remembered(view, "over-refusal", lambda: over_refusal_table(view, found))
    for sentence in answer(view, table, refusals):
        st.markdown(f"**{plain_label(sentence)}**")
    mitigation_parts.beside(view, table, refusals)
    if sentences := [*not_compared(view, found, table), *found.why_left_out]:
        st.text(visible("\n".join(sentences)))
    screen.table_below(
        table, "mitigations", "crossing", "bootstrap", "seeds", "interval p", "detector", "cost"
    )
    screen.table_below(refusals, "over-refusal", "crossing", "bootstrap")

    clicked = mitigation_parts.planes(view, paths)
    section(
        "Does the order survive another benchmark, judge or policy?",
        "order",
        lambda: mitigation_parts.order(view, found),
    )
    section("Pairwise differences at the goal", "pairs", lambda: mitigation_parts.pairs(view, found))
    if clicked:
        screen.open_outputs(checkpoints=(clicked,), benchmarks=(view.specification.benchmark,), recipes=())
