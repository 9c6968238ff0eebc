"""The annotators' guidelines: reading and changing them."""

from __future__ import annotations

import streamlit as st

from capsafe_core.ui.acting import noted
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.workspace.owner import Owner


def show(owner: Owner) -> None:
    """The text that annotators see beside each item, to change; every change is a version of its own."""
    now = owner.desk.books.guidelines()
    st.text(
        visible(
            f"Version {now.version}: {len(now.rules)} questions, {len(now.examples)} worked examples, "
            f"{len(now.practice)} items to practise on. Every label remembers the version it was given "
            "under."
        )
    )
    text = st.text_area("Guidelines (TOML)", now.text, height=380, key=f"guidelines-{now.version}")
    if st.button("Keep this version", disabled=text == now.text):
        with noted("guidelines") as person:
            kept = owner.desk.books.save_guidelines(person, text)
        st.success(
            plain_label(f"Version {kept.version} is in force. Everybody practises on it before they go on.")
        )
        st.rerun()
