"""The address of what is on the screen: it brings the same screen back, here and in a message to somebody
else."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st


def show() -> None:
    """A link to this view, to be copied."""
    address = str(st.context.url or "").split("?")[0]
    query = urlencode(dict(st.query_params))
    with st.popover("Link to this view", icon=":material/link:", type="tertiary"):
        st.code(address + (f"?{query}" if query else ""), language=None, wrap_lines=True)
