"""Lists of outputs that have a name: to open, to save, and to remove."""

from __future__ import annotations

import streamlit as st

from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.selection import Selection
from capsafe_core.store.remarks import saved_views
from capsafe_core.ui import identity, screen
from capsafe_core.ui.acting import actor
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.workspace.owner import current_owner

NAME, TOLD = "name-of-list", "list-not-saved"


def show(view: View) -> None:
    """The lists of the study that have a name, and a name for the one on the screen."""
    known = saved_views(view.store, view.study.name)
    may_save = identity.role() == "researcher"
    if not known and not may_save:
        return
    with st.popover("Saved views", icon=":material/bookmark:"):
        for number, saved in enumerate(known):
            with st.container(horizontal=True, vertical_alignment="center"):
                link = Selection.from_query(saved.selection).but(study=view.study.name)
                st.page_link(
                    str(screen.PAGES / "outputs.py"),
                    label=plain_label(saved.name),
                    icon=":material/bookmark:",
                    query_params=link.to_query(),
                )
                st.text(visible(f"by {saved.author}"))
                if may_save:
                    st.button("Remove", on_click=_save, args=(view, saved.name, {}), key=f"remove-{number}")
        if may_save:
            if message := st.session_state.pop(TOLD, ""):
                st.warning(plain_label(message))
            st.text_input("Name", key=NAME, placeholder="Name of this list", max_chars=80)
            chosen = screen.selection().but(study=view.study.name, generation="", page=1)
            st.button("Save this list", on_click=_save, args=(view, None, chosen.to_query()))


def _save(view: View, name: str | None, selection: dict[str, str]) -> None:
    """Keep a list under a name, by default the one that was typed; without a selection take the name away."""
    try:
        typed = str(st.session_state.get(NAME, "")) if name is None else name
        current_owner().desk.books.save_view(actor(), view.study.name, typed, selection)
    except CapsafeError as error:
        st.session_state[TOLD] = f"{error.message} {error.hint}"
        return
    st.session_state[NAME] = ""
