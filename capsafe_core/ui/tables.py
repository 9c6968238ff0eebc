"""Tables on screen, all in one way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from numbers import Real
from types import MappingProxyType
from typing import Any

import pandas as pd
import streamlit as st
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from pandas.io.formats.style import Styler

from capsafe_core.ui.heads import Head
from capsafe_core.ui.safe_text import visible_frame

NOTHING = "—"
"""in a cell that has no value"""
MOST_CELLS = 20_000
"""of a table whose numbers are written here; larger ones keep the browser's hyphen for a minus"""
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
    below = _below_zero(shown) if shown.size <= MOST_CELLS else []
    config |= {name: heads[name].words for name in below if name in heads}
    return st.dataframe(
        _with_minus(shown, heads) if below else shown,
        hide_index=True,
        placeholder=NOTHING,
        column_config={name: c for name, c in config.items() if c is not None} | dict(column_config),
        **options,
    )


def _below_zero(frame: pd.DataFrame) -> list[str]:
    """The columns with a number below zero."""
    names = frame.columns[[is_numeric_dtype(t) and not is_bool_dtype(t) for t in frame.dtypes]]
    return [str(name) for name in names if frame.columns.is_unique and (frame[name] < 0).any()]


def _with_minus(frame: pd.DataFrame, heads: Mapping[str, Head]) -> Styler:
    """A table whose numbers are written with a true minus, as text does; they stay numbers, by which it is
    sorted and saved. No format of a column does that: Streamlit writes them with a hyphen."""

    def written(name: str) -> Callable[[object], str]:
        is_formatted = name in heads and is_numeric_dtype(frame[name])
        decimals = heads[name].decimals if is_formatted else None
        return lambda value: _cell_text(value, decimals)

    cells: dict[Any, str | Callable[[object], str] | None] = {name: written(name) for name in frame.columns}
    return frame.reset_index(drop=True).style.format(cells, na_rep=NOTHING)


def _cell_text(value: object, decimals: int | None) -> str:
    """What stands in a cell; of what is not a number, as without a format."""
    if isinstance(value, Real) and not isinstance(value, bool):
        return number_text(float(value), decimals)
    return value.isoformat(" ", "seconds") if isinstance(value, datetime) else str(value)


def number_text(value: float, decimals: int | None = None) -> str:
    """A number as a table shows it, with a true minus.

    Args:
        decimals: how many; None for as many as tables without a format have: four at most, more for what is
            smaller than they show.
    """
    if decimals is None:
        small = 0 < abs(value) < 1e-4
        text = f"{value:.{-math.floor(math.log10(abs(value))) if small else 4}f}".rstrip("0").rstrip(".")
    else:
        text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if not float(text) else text.replace("-", "−")


def _column(name: str, head: Head | None, frame: pd.DataFrame) -> Any:
    if head is None:
        return name.replace("_", " ").capitalize() if "_" in name else None
    if head.decimals is None or not is_numeric_dtype(frame[name]):
        return head.words
    return st.column_config.NumberColumn(head.words, format=f"%.{head.decimals}f")
