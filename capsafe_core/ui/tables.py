"""Tables on screen, all in one way."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd
import streamlit as st
from pandas.api.types import is_numeric_dtype

from capsafe_core.ui.heads import Head
from capsafe_core.ui.safe_text import visible_frame

NOTHING = "—"
"""in a cell that has no value"""
NO_HEADS: Mapping[str, Head] = MappingProxyType({})


def show_table(
    frame: pd.DataFrame,
    heads: Mapping[str, Head] = NO_HEADS,
    column_config: Mapping[str, Any] = MappingProxyType({}),
    **options: Any,
) -> Any:
    """A table with nothing that cannot be seen, and a dash where there is no value.

    Args:
        heads: by column: how those are shown whose names are those of data. Of others, words stand apart.
        column_config, options: as `st.dataframe` has them.

    Returns:
        What `st.dataframe` does: where rows can be selected, those that are.
    """
    shown = visible_frame(frame)
    config = {str(name): _column(str(name), heads.get(name), shown) for name in shown.columns}
    for name, head in heads.items():
        if head.times != 1 and name in shown and is_numeric_dtype(shown[name]):
            shown[name] = head.times * shown[name]
    return st.dataframe(
        shown,
        hide_index=True,
        placeholder=NOTHING,
        column_config={name: c for name, c in config.items() if c is not None} | dict(column_config),
        **options,
    )


def _column(name: str, head: Head | None, frame: pd.DataFrame) -> Any:
    if head is None:
        return name.replace("_", " ").capitalize() if "_" in name else None
    if head.decimals is None or not is_numeric_dtype(frame[name]):
        return head.words
    return st.column_config.NumberColumn(head.words, format=f"%.{head.decimals}f")
