"""The address of what is on the screen: it brings the same screen back, here and in a message to somebody
else."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st

from capsafe_core.replica import is_stale, replica_words
from capsafe_core.ui.safe_text import plain_label
from capsafe_core.workspace.owner import current_owner


def show_if_behind() -> None:
    """What a replica says above all else, where it has not looked at the job folders for a while."""
    owner = current_owner()
    if owner.settings.replica_of and is_stale(owner.looked):
        words = replica_words(owner.settings.replica_of, owner.looked)
        st.warning(plain_label("\n".join([words, *(f"{p.message} {p.hint}" for p in owner.problems)])))


def show() -> None:
    """A link to this view, to be copied; on a replica, of what and as of when it is one."""
    owner = current_owner()
    if owner.settings.replica_of:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(plain_label(replica_words(owner.settings.replica_of, owner.looked)), width="content")
            st.link_button(
                "Open it", owner.settings.replica_of, type="tertiary", icon=":material/open_in_new:"
            )
    address = str(st.context.url or "").split("?")[0]
    query = urlencode(dict(st.query_params))
    with st.popover("Link to this view", icon=":material/link:", type="tertiary"):
        st.code(address + (f"?{query}" if query else ""), language=None, wrap_lines=True)
