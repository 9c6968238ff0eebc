"""Stars and comments on outputs, and lists that have a name."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pandas as pd

from capsafe_core.store.store import Store


@dataclass(frozen=True)
class View:
    """A list of outputs that has a name."""

    name: str
    selection: dict[str, str]
    """as a link has it"""
    author: str
    created: float


def remarks_on(store: Store, generation: str) -> pd.DataFrame:
    """The stars and comments that stand on an output, in order: author, action, text, created (seconds since
    1970)."""
    return store.frame(
        """
        SELECT author, action, text, created FROM (
            SELECT * FROM current_stars UNION ALL SELECT * FROM counted_remarks WHERE action = 'comment'
        ) WHERE generation_id = TRY_CAST(? AS UUID) ORDER BY created, event_id
        """,
        [generation],
    )


def starred(store: Store) -> set[str]:
    """The ids of outputs that somebody starred."""
    return {g for (g,) in store.rows("SELECT DISTINCT CAST(generation_id AS VARCHAR) FROM current_stars")}


def last_remark(store: Store, generation: str) -> float:
    """When somebody last starred an output or commented on it; 0 where nobody did."""
    [(last,)] = store.rows(
        "SELECT coalesce(max(created), 0) FROM remarks WHERE generation_id = TRY_CAST(? AS UUID)",
        [generation],
    )
    return float(last)


def saved_views(store: Store, study: str) -> list[View]:
    """The lists of a study that have a name, by name."""
    rows = store.rows(
        "SELECT name, selection, author, created FROM current_views WHERE study = ? ORDER BY name", [study]
    )
    return [View(name, json.loads(selection), author, created) for name, selection, author, created in rows]
