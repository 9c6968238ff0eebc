"""What did fine-tuning do here, and how sure are we?"""

import streamlit as st

from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.analysis.overview import overview
from capsafe_core.analysis.view import open_view
from capsafe_core.figures.overview import gained_against_unsafe, outcome_bars
from capsafe_core.ui import identity, screen, unchecked
from capsafe_core.ui.safe_text import plain_label

with screen.question("What did fine-tuning do here, and how sure are we?") as view:
    unchecked.note(view)
    asked = screen.selection().recipes
    found = screen.remembered(view, "overview", lambda: overview(view, asked[0] if asked else ""))
    st.markdown(f"**{plain_label(found.headline)}**")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(plain_label(found.chip), icon=":material/rule:", color="blue")
        screen.back(view)
        recipes = list(dict.fromkeys(found.matched["recipe"]))
        chosen = st.segmented_control(
            "Recipe",
            recipes,
            default=found.recipe,
            format_func=plain_label,
            label_visibility="collapsed",
            key=f"recipe-{found.recipe}",
        )
        if chosen and chosen != found.recipe:
            screen.select(recipes=(chosen,))
            st.rerun()
    left, right = st.columns([6, 5])
    with left:
        st.markdown("**At its capability goal, how does each recipe answer harmful requests?**")
        screen.picture(
            outcome_bars(found.bars, found.notes),
            "bars",
            "Share of refusals, safe, harmful and incoherent answers of each recipe at its goal",
        )
    with right:
        st.markdown("**What does the way there cost?** Line: chosen judge. Band: all judges.")
        clicked = screen.chart(
            gained_against_unsafe(found.paths),
            "gained",
            "Share of goal gained against unsafe rate, one line a recipe",
        )
        if clicked:
            screen.open_outputs(
                checkpoints=(clicked,), benchmarks=(view.specification.benchmark,), recipes=()
            )
    for column, (name, (value, words)) in zip(st.columns(4), found.numbers.items(), strict=True):
        column.metric(plain_label(name), plain_label(value), help=plain_label(words), border=True)
    goals = ", ".join(f"{view.goal(name):.0%} right on {name}" for name in view.study.goals)
    screen.caption(
        view,
        f"Goals: {goals}. Intervals: 95 %, bootstrap over requests and test items, conditional on the "
        "training seeds where there are fewer than five",
    )
    with st.container(horizontal=True):
        if st.button("An output that split the judges", icon=":material/call_split:"):
            inner = open_view(
                view.store,
                screen.selection().but(benchmarks=(view.specification.benchmark,), outcomes=("incoherent",)),
            )
            rows, count = outputs_table(inner, limit=1, order="disputed")
            if count:
                screen.open_output(str(rows["generation_id"].iloc[0]))
        st.page_link(
            str(screen.PAGES / "disagreement.py"),
            label="Where judges disagree",
            icon=":material/balance:",
            query_params=screen.selection().to_query(),
        )
        st.page_link(
            str(screen.PAGES / "conclusions.py"),
            label="Does it survive? Every way of asking",
            icon=":material/rule:",
            query_params=screen.selection().but(claim=found.claim).to_query(),
        )
        st.page_link(
            str(screen.PAGES / "incoherence.py"),
            label="Where answers stop making sense",
            icon=":material/blur_on:",
            query_params=screen.selection().to_query(),
        )
        if identity.role() == "researcher":
            st.page_link(
                str(screen.PAGES / "annotate.py"), label="Label a few yourself", icon=":material/edit_note:"
            )
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
