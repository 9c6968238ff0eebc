"""Several conditions of one checkpoint: which there are, and the cells under a choice.

Nothing here picks one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from capsafe_core.errors import OpenConditionError
from capsafe_core.specification import PARTS, VERSION, Condition

MOST_VALUES = 6
"""values that a hint lists"""
_PLURAL = {
    "system_prompt": "system prompts",
    "few_shot": "numbers of examples",
    "temperature": "temperatures",
    "top_p": "values of top-p",
    "max_tokens": "maximum token counts",
    "template_digest": "chat templates",
}


def own_cells(cells: pd.DataFrame, study: str, points: pd.DataFrame) -> pd.DataFrame:
    """The cells of a study's checkpoints; other studies' only where its own jobs brought none of that
    checkpoint and benchmark."""
    known = cells[cells["checkpoint_id"].isin(points["checkpoint_id"])]
    own = np.array([bool({study, ""} & set(studies)) for studies in known["studies"]], dtype=bool)
    keys = pd.MultiIndex.from_frame(known[["checkpoint_id", "benchmark"]])
    return known[own | ~keys.isin(keys[own])]


def alternatives(cells: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The parts of the condition of which one checkpoint has several values on one benchmark under one
    attack.

    Args:
        cells: as `store.cells`.

    Returns:
        part (for versions, one for each benchmark) -> its values on such benchmarks, in order.
    """
    found: dict[str, set[str]] = {}
    for benchmark, part, rows in _varying(cells):
        name = VERSION + benchmark if part == "version" else part
        found.setdefault(name, set()).update(rows[part])
    order = [*PARTS, *sorted(name for name in found if name not in PARTS)]
    return {name: tuple(sorted(found[name], key=_in_order)) for name in order if name in found}


def under(cells: pd.DataFrame, condition: Condition) -> pd.DataFrame:
    """The cells of a condition: on every benchmark where a chosen part varies within a checkpoint, those with
    the chosen value.

    A checkpoint that has not answered under the chosen value is left out there, whatever else it answered
    under.
    """
    chosen = dict(condition)
    if not chosen:
        return cells
    keep = pd.Series(True, index=cells.index)
    for benchmark, part, rows in _varying(cells):
        value = chosen.get(VERSION + benchmark if part == "version" else part)
        if value is not None:
            keep[rows.index] &= rows[part] == value
    return cells[keep]


def between(cells: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The parts of the condition that differ only between checkpoints: part -> values."""
    values = {part: tuple(sorted(cells[part].unique(), key=_in_order)) for part in PARTS}
    return {part: found for part, found in values.items() if len(found) > 1 and part != "template_digest"}


def conditions_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Every condition that a study's answers were given under.

    Args:
        cells: as `store.cells`.

    Returns:
        benchmark, version, attack, the parts of the condition, engine (those that are pooled, with commas
        between), checkpoints (how many).
    """
    by = ["benchmark", "version", "attack", *PARTS, "engine"]
    return cells.groupby(by, as_index=False).agg(checkpoints=("checkpoint_id", "nunique"))


def _varying(cells: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Benchmark, part and all cells of the benchmark, wherever a checkpoint has several values of the part.

    Versions of a benchmark are other questions, so they are told apart even where no checkpoint answered two
    of them.
    """
    keys = ["checkpoint_id", "benchmark", "attack"]
    several = cells[cells.duplicated(keys, keep=False)]
    for benchmark, rows in cells.groupby("benchmark", sort=False):
        if rows["version"].nunique() > 1:
            yield str(benchmark), "version", rows
        beside = several[several["benchmark"] == benchmark]
        grouped = beside.groupby(keys, sort=False)
        for part in PARTS if len(beside) else ():
            if (grouped[part].nunique() > 1).any():
                yield str(benchmark), part, rows


def _in_order(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value


def open_condition(parts: Mapping[str, tuple[str, ...]]) -> OpenConditionError:
    """That answers were given under several conditions, and what can be chosen."""
    counts = " and ".join(
        f"{len(values)} {_PLURAL.get(part) or part.replace(VERSION, 'versions of ')}"
        for part, values in parts.items()
    )
    part, values = next(iter(parts.items()))
    shown = ", ".join(f"{part}={value}" for value in values[:MOST_VALUES])
    return OpenConditionError(
        f"These checkpoints answered under {counts}; no number mixes them, and none is picked for you.",
        f"Choose one with --condition ({shown}{', …' if len(values) > MOST_VALUES else ''}), or for good "
        "under"
        " [primary.condition] in the study file. `capsafe conditions` lists all.",
    )
