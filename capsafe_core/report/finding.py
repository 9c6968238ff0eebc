"""What a finding holds, for a report, its slides and its check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go


@dataclass(frozen=True)
class Slide:
    """A chart that an editor of slides can draw and change: bars, or points with x and y."""

    kind: str
    """stacked, clustered or points"""
    categories: list[str] = field(default_factory=list)
    series: dict[str, list[float | None]] = field(default_factory=dict)
    points: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    axes: tuple[str, str] = ("", "")
    words: dict[str, str] = field(default_factory=dict)
    """what a series is called, where not by its name"""


@dataclass(frozen=True)
class Finding:
    """One thing to say.

    Attributes:
        key: as `capsafe report --item` takes it.
        title: the question.
        sentence: the answer, drafted from the numbers.
        big: one number, and what it is.
        means: what follows from it, never more than its interval allows.
        limits: what does not follow.
        figure, alt: a chart and what it shows, in words.
        table: every number that the finding rests on; `verify` computes it again.
        methods: keys of `analysis.methods.METHODS`.
        slide: the chart as slides draw it.
        text: a prompt and an answer, for findings that are outputs.
    """

    key: str
    title: str
    sentence: str
    big: tuple[str, str]
    means: list[str]
    limits: list[str]
    figure: go.Figure | None
    alt: str
    table: pd.DataFrame
    methods: tuple[str, ...]
    slide: Slide | None = None
    text: tuple[str, str] | None = None


def cells(table: pd.DataFrame) -> list[list[Any]]:
    """A table as JSON values; numbers to 12 digits, as `verify` compares them."""
    return [
        [_cell(v) for v in row] for row in table.astype(object).where(table.notna(), None).to_numpy().tolist()
    ]


def _cell(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return None if np.isnan(value) or np.isinf(value) else float(f"{value:.12g}")
    return value if isinstance(value, bool | int | str) or value is None else str(value)
