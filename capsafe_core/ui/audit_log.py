"""Who did what, on a screen."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from capsafe_core.store.export import guarded_csv
from capsafe_core.ui.acting import actor
from capsafe_core.ui.safe_text import plain_label
from capsafe_core.ui.tables import show_table
from capsafe_core.workspace.actions import ACTIONS
from capsafe_core.workspace.audit import COLUMNS, read_audit
from capsafe_core.workspace.owner import Owner

SHOWN = 200


def show(owner: Owner) -> None:
    """The newest actions, of everybody, for whoever may see them."""
    actor().must_be(ACTIONS["audit"].role)
    found = read_audit(owner.settings.jobs_path, SHOWN)
    for problem in found.problems:
        st.warning(plain_label(problem))
    if not found.rows:
        st.info("Nothing has been done in this workspace since it keeps a log.")
        return
    table = pd.DataFrame(found.rows, columns=COLUMNS)
    show_table(table, width="stretch")
    st.caption(
        f"The newest {SHOWN} actions at most, times in UTC. Labels are not among them: each is kept with its "
        "annotator. `capsafe audit` prints more."
    )
    data = guarded_csv(table).encode("utf-8", "replace")
    st.download_button("Download CSV", data, "audit-log.csv", "text/csv", key="csv-audit-log")
