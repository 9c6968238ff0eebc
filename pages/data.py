"""Bring data in, take data out."""

import streamlit as st

from capsafe_core.ui import export_list, identity, import_form, import_list, screen
from capsafe_core.workspace.owner import current_owner

st.title("Import and export", anchor=False)
owner, person = current_owner(), identity.person()
bring, there, take = st.tabs(["Import", "Imports", "Export"])
with screen.part(bring):
    import_form.show(owner, person)
with screen.part(there):
    import_list.show(owner, person)
with screen.part(take):
    export_list.show(owner, person)
