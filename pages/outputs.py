"""What did the models say?"""

import streamlit as st

from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.outcomes import LISTED_OUTCOMES
from capsafe_core.ui import identity, listing, screen, story, unchecked
from capsafe_core.ui.safe_text import visible

PAGE = 50

with screen.question("What did the models say?") as view:
    unchecked.note(view)
    chosen = screen.selection()
    names = [b.name for b in view.study.benchmarks]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        search = st.text_input("Answers that contain", chosen.search, key="search", width=190)
        benchmarks = st.multiselect(
            "Benchmarks",
            names,
            [b for b in chosen.benchmarks if b in names],
            key="benchmarks",
            format_func=visible,
            width=230,
        )
        recipes = st.multiselect(
            "Recipes",
            sorted(view.points["recipe"].unique()),
            [r for r in chosen.recipes if r in set(view.points["recipe"])],
            key="recipes",
            format_func=visible,
            width=190,
        )
        outcomes = st.multiselect(
            "Outcomes",
            LISTED_OUTCOMES,
            list(chosen.outcomes),
            key="outcomes",
            width=190,
        )
        order = st.segmented_control(
            "Order",
            ["position", "disputed"],
            default=chosen.order or "position",
            key=f"order-{chosen.order}",
            format_func={"position": "by prompt", "disputed": "most disputed"}.get,
        )
    wanted = {
        "search": search,
        "benchmarks": tuple(benchmarks),
        "recipes": tuple(recipes),
        "outcomes": tuple(outcomes),
        "order": "" if order in (None, "position") else order,
    }
    if chosen.but(**wanted) != chosen:
        screen.select(**wanted, page=1)
        st.rerun()
    listing.show_all_again("checkpoints", "pattern", "strata", "before", "prompt")
    order, page = chosen.order or "position", chosen.page
    rows, found = outputs_table(view, PAGE, (page - 1) * PAGE, order)
    last = max(1, -(-found // PAGE))
    if page > last:
        page = last
        rows, _ = outputs_table(view, PAGE, (page - 1) * PAGE, order)
    if found > PAGE:
        turned = st.number_input("Page", 1, last, page, key=f"page-{page}", width=140)
        if turned != page:
            screen.select(page=int(turned))
            st.rerun()
    listing.show(view, rows, found, "outputs", (page - 1) * PAGE)
    screen.caption(view)
    if identity.role() == "researcher" and found:
        st.page_link(
            str(screen.PAGES / "labels.py"),
            label="Let people label these",
            icon=":material/edit_note:",
            query_params=chosen.to_query(),
        )

    story.one_prompt(view)
