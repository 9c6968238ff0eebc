"""What did the models say?"""

import streamlit as st

from capsafe_core.analysis.outputs import page_table
from capsafe_core.ui import identity, listing, output_list, screen, story, unchecked
from capsafe_core.ui.sections import section

output_list.bring_back()
with screen.question("What did the models say?") as view:
    unchecked.note(view)
    output_list.filters(view)
    listing.show_all_again("checkpoints", "pattern", "strata", "before", "prompt")
    rows, found, page = page_table(view)
    output_list.form(view, found, page)
    output_list.show(view, rows, found, page)
    output_list.keep(view)
    screen.caption(view)
    if identity.role() == "researcher" and found:
        st.page_link(
            str(screen.PAGES / "labels.py"),
            label="Let people label these",
            icon=":material/edit_note:",
            query_params=screen.selection().to_query(),
        )
    section("One prompt, along all training", "story", lambda: story.one_prompt(view))
