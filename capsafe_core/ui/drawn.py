"""Figures, built once for what they show: on a warm page building them takes longer than all else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.runtime.caching.cache_errors import UnhashableParamError

P = ParamSpec("P")
LARGEST = 10_000
"""rows of a table, or numbers of an array, up to which all of it is compared; Streamlit samples large ones"""


def drawn(draw: Callable[P, go.Figure], *given: P.args, **named: P.kwargs) -> go.Figure:
    """The figure that a function of `figures` draws, from memory where it was drawn from the same values.

    Nobody may change it; `sealed` makes a copy.
    """
    if any(_is_large(value) for value in (*given, *named.values())):
        return draw(*given, **named)
    try:
        return _drawn(f"{draw.__module__}.{draw.__qualname__}", given, named, lambda: draw(*given, **named))
    except UnhashableParamError:
        return draw(*given, **named)


@st.cache_resource(max_entries=128, show_spinner=False)
def _drawn(
    name: str, given: tuple[Any, ...], named: dict[str, Any], _draw: Callable[[], go.Figure]
) -> go.Figure:
    return _draw()


def _is_large(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.size > LARGEST
    return isinstance(value, pd.DataFrame | pd.Series) and len(value) > LARGEST
