"""Bring data in, take data out."""

import streamlit as st

from capsafe_core.ui import audit_log, export_list, identity, import_form, import_list, screen
from capsafe_core.workspace.owner import current_owner

st.title("Import and export", anchor=False)
owner = current_owner()
identity.person()
bring, there, take, log = st.tabs(["Import", "Imports", "Export", "Audit log"])
with screen.part(bring):
    import_form.show(owner)
with screen.part(there):
    import_list.show(owner)
with screen.part(take):
    export_list.show(owner)
with screen.part(log):
    audit_log.show(owner)
