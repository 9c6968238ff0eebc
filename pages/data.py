"""Bring data in, take data out."""

import streamlit as st

from capsafe_core.ui import identity, import_form, import_list
from capsafe_core.ui.owner import current_owner

st.title("Bring data in, take data out", anchor=False)
owner, person = current_owner(), identity.person()
bring, take = st.tabs(["Bring in", "Imports"])
with bring:
    import_form.show(owner)
with take:
    import_list.show(owner, person)
