"""Tables on screen, all in one way."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from capsafe_core.ui.safe_text import visible_frame

NOTHING = "—"
"""in a cell that has no value"""


def show_table(frame: pd.DataFrame, **options: Any) -> Any:
    """A table with nothing that cannot be seen, and a dash where there is no value.

    Args:
        options: as `st.dataframe` has them.

    Returns:
        What `st.dataframe` does: where rows can be selected, those that are.
    """
    return st.dataframe(visible_frame(frame), hide_index=True, placeholder=NOTHING, **options)
