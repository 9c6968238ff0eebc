"""What a finding holds, for a report, its slides and its check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

WORDS = 15
"""of a headline, which people read while somebody speaks"""

PROSE = "text:"
"""how the key of a text between findings begins"""


def in_few_words(text: str) -> str:
    """A text of at most WORDS words; a longer one ends in an ellipsis."""
    words = text.split()
    return " ".join(words) if len(words) <= WORDS else f"{' '.join(words[:WORDS])}…"


@dataclass(frozen=True)
class Series:
    """One series of a native chart.

    Attributes:
        name: as the legend shows it.
        y: its values; of bars one for each category.
        x: where its points stand; empty for bars.
        intervals: lowest and highest of each value, None where it has none; empty for a series without.
        colour: as "#rrggbb"; a colour of an outcome means that outcome.
        look: fill or hatched (bars); marks, path (marks with a line), line (dashed, without marks) or primary
            (a large diamond).
    """

    name: str
    y: Sequence[float | None]
    x: Sequence[float] = ()
    intervals: Sequence[tuple[float, float] | None] = ()
    colour: str = "#22313f"
    look: str = "fill"


@dataclass(frozen=True)
class Slide:
    """A chart that an editor of slides can draw and change.

    Attributes:
        kind: stacked (to 100%) or clustered bars, or points.
        categories: of bars, from the top.
        axes: words along the values that lie (of bars: their lengths) and those that stand.
        formats: number formats of the same; "" for an axis without numbers.
        top: the end of each axis, where it is known.
    """

    kind: str
    series: Sequence[Series]
    categories: Sequence[str] = ()
    axes: tuple[str, str] = ("", "")
    formats: tuple[str, str] = ("0%", "0%")
    top: tuple[float | None, float | None] = (None, None)

    @property
    def drawn(self) -> list[Series]:
        """The series that have something to show: the others have no place in a legend."""
        least = 0.0005 if self.kind == "stacked" else 0.0  # a part of no width cannot be seen
        return [s for s in self.series if any(v is not None and (abs(v) >= least) for v in s.y)]


@dataclass(frozen=True)
class Finding:
    """One thing to say.

    Attributes:
        key: as `capsafe report --item` takes it.
        title: the question.
        headline: the answer in at most WORDS words.
        sentence: the answer with its numbers, drafted from them.
        big: one number, and what it is.
        means: what follows from it, never more than its interval allows.
        limits: what does not follow.
        figure, alt: a chart and what it shows, in words.
        table: every number that the finding rests on; `verify` computes it again.
        methods: keys of `analysis.methods.METHODS`.
        slide: the chart as slides draw it.
        text: a prompt and an answer, for findings that are outputs.
        basis: what it rests on (judge, outputs, conditions, conclusion), as label and words: a page that is
            taken out of its report still says it.
    """

    key: str
    title: str
    headline: str
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
    basis: tuple[tuple[str, str], ...] = ()

    @property
    def is_prose(self) -> bool:
        """Whether it is a text between findings, by the person who reports, without numbers of its own."""
        return self.key.startswith(PROSE)


def prose(key: str, words: str) -> Finding:
    """A text between findings."""
    nothing = pd.DataFrame()
    return Finding(key, "", in_few_words(words), words.strip(), ("", ""), [], [], None, "", nothing, ())


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
