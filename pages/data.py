"""Bring data in, take data out."""

import streamlit as st

from capsafe_core.ui import export_list, identity, import_form, import_list
from capsafe_core.ui.owner import current_owner

st.title("What shall come in, and what go out?", anchor=False)
owner, person = current_owner(), identity.person()
bring, there, take = st.tabs(["Bring in", "What was brought in", "Take out"])
with bring:
    import_form.show(owner, person)
with there:
    import_list.show(owner, person)
with take:
    export_list.show(owner, person)
