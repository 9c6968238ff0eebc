"""The finding, for people who were not there."""

import streamlit as st

from capsafe_core.ui import report_form, screen

if st.query_params.get("present"):
    with screen.presented() as view:
        report_form.present(view)
else:
    with screen.question("Build a report") as view:
        report_form.show(view)
