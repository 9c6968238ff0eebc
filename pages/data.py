"""Bring data in, take data out."""

from functools import partial

import streamlit as st

from capsafe_core.ui import audit_log, export_list, import_form, import_list, study_list
from capsafe_core.ui.sections import tabs
from capsafe_core.workspace.owner import current_owner

st.title("Import and export", anchor=False)
owner = current_owner()
tabs(
    {
        "import": ("Import", partial(import_form.show, owner)),
        "imports": ("Imports", partial(import_list.show, owner)),
        "export": ("Export", partial(export_list.show, owner)),
        "studies": ("Studies", partial(study_list.show, owner)),
        "log": ("Audit log", partial(audit_log.show, owner)),
    }
)
