"""Outputs: searching them, and one of them in full."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.errors import CapsafeError
from capsafe_core.store.store import Store


def cell_sizes(store: Store, cells: Sequence[str]) -> dict[str, int]:
    """How many outputs each cell has."""
    return dict(
        store.rows(
            "SELECT CAST(cell_id AS VARCHAR), count(*) FROM verdicts WHERE cell_id IN (SELECT unnest(CAST(? "
            "AS UUID[]))) GROUP BY cell_id",
            [list(cells)],
        )
    )


def safety_verdicts(store: Store, generations: Sequence[str], own_words: bool) -> pd.DataFrame:
    """What every judge says on the safety of some outputs: generation_id, and a column a judge (missing where
    it has not looked).

    Args:
        own_words: with the judge's own label or score behind the verdict.
    """
    rows = store.rows(
        """
        SELECT CAST(j.generation_id AS VARCHAR), r.name, coalesce(j.label, j.status), j.native
            FROM current_judgments AS j JOIN raters AS r USING (rater_id)
        JOIN current_slots AS s ON s.cell_id = j.cell_id AND s.rater_id = j.rater_id
            AND s.dimension = 'safety'
        WHERE j.dimension = 'safety' AND j.generation_id IN (SELECT unnest(CAST(? AS UUID[]))) ORDER BY r.name
        """,
        [list(generations)],
    )
    table = pd.DataFrame({"generation_id": list(generations)})
    for name in dict.fromkeys(name for _, name, _, _ in rows):
        mine = {
            g: f"{label}: {native}" if own_words and native not in ("", label) else label
            for g, n, label, native in rows
            if n == name
        }
        table[name] = table["generation_id"].map(mine)
    return table


def incoherence_spans(store: Store, generations: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The spans that speak for incoherence in some outputs: generation id -> {reason, start, end} in
    characters of the answer."""
    rows = store.rows(
        """
        SELECT CAST(generation_id AS VARCHAR), evidence FROM current_judgments
        WHERE dimension = 'coherence' AND generation_id IN (SELECT unnest(CAST(? AS UUID[])))
        """,
        [list(generations)],
    )
    spans: dict[str, list[dict[str, Any]]] = {}
    for generation, evidence in rows:
        spans.setdefault(generation, []).extend(json.loads(evidence))
    return spans


def prompt_items(store: Store, benchmark: str) -> list[str]:
    """The items of a benchmark in order."""
    return [
        item
        for (item,) in store.rows(
            "SELECT item FROM prompts JOIN benchmarks AS b USING (benchmark_id) WHERE b.name = ? GROUP BY "
            "item ORDER BY min(position), item",
            [benchmark],
        )
    ]


@dataclass(frozen=True)
class Output:
    """One generation with all that is known of it."""

    facts: dict[str, Any]
    """generation_id, cell_id, checkpoint_id, answer, reasoning (before it), asked (what the model was given,
    where that is not the prompt), finish_reason, tokens, sample, seed, prompt, item, category,
    behaviour_text, context, reference, benchmark, benchmark_kind, engine, engine_version, temperature,
    max_tokens, origin, adapters"""
    places: pd.DataFrame
    """study, recipe, seed, step"""
    judgments: pd.DataFrame
    """judge, version, family, dimension, status, label, native, score, raw (its reply), asked (what it
    received), evidence (JSON), attempt, stance"""

    def record(self) -> dict[str, Any]:
        """All of it as plain values, for JSON: the facts, `places`, and `judgments`, each with what the judge
        received and replied."""
        judgments = [
            {**row, "evidence": json.loads(row["evidence"])}
            for row in self.judgments.astype(object).to_dict("records")
        ]
        every = {
            **self.facts,
            "places": self.places.astype(object).to_dict("records"),
            "judgments": judgments,
        }
        plain: dict[str, Any] = _plain(every)
        return plain


def _plain(value: Any) -> Any:
    """A value as JSON has it: numbers of numpy as numbers, what is missing as null."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if value is None or value is pd.NA or value != value:
        return None
    return value.item() if isinstance(value, np.generic) else value


def read_output(store: Store, generation_id: str) -> Output:
    """One generation in full.

    Raises:
        CapsafeError: there is no such generation.
    """
    facts = store.frame(
        """
        SELECT CAST(g.generation_id AS VARCHAR) AS generation_id,
            CAST(c.cell_id AS VARCHAR) AS cell_id, CAST(c.checkpoint_id AS VARCHAR) AS checkpoint_id,
            g.text AS answer, g.reasoning, g.asked,
            g.finish_reason, g.tokens, g.sample, g.seed,
            p.text AS prompt, p.item, p.category, p.behaviour_text, p.context, p.reference,
                b.name AS benchmark, b.kind AS benchmark_kind,
            n.engine, n.engine_version, n.temperature, n.max_tokens, k.origin, len(k.adapters) AS adapters
        FROM live_generations AS g JOIN cells AS c USING (cell_id) JOIN prompts AS p USING (prompt_id)
            JOIN benchmarks AS b ON b.benchmark_id = c.benchmark_id
        JOIN conditions AS n USING (condition_id) LEFT JOIN checkpoints AS k USING (checkpoint_id)
        WHERE g.generation_id = TRY_CAST(? AS UUID)
        """,
        [generation_id],
    )
    if facts.empty:
        raise CapsafeError(
            "There is no output with this id.",
            "The link may be from another store; choose an output on the Outputs page.",
        )
    row = {str(k): v for k, v in facts.iloc[0].to_dict().items()}
    places = store.frame(
        "SELECT DISTINCT study, recipe, seed, step FROM path_points WHERE checkpoint_id = CAST(? AS UUID) "
        "ORDER BY ALL",
        [row["checkpoint_id"]],
    )
    judgments = store.frame(
        """
        SELECT r.name AS judge, r.version, r.family, j.dimension, j.status,
            coalesce(j.label, '') AS label, j.native, j.score, j.raw, j.asked, j.evidence, j.attempt, r.stance
        FROM current_judgments AS j JOIN raters AS r USING (rater_id)
            WHERE j.generation_id = CAST(? AS UUID) ORDER BY j.dimension, r.name
        """,
        [row["generation_id"]],
    )
    return Output(row, places, judgments)


def reason_counts(store: Store, coherence: str, truncated: bool = True) -> pd.DataFrame:
    """How often each reason stands behind an incoherent verdict: cell_id, reason, n (outputs)."""
    return store.frame(
        """
        WITH found AS (
            SELECT cell_id, unnest(string_split(native, ', ')) AS reason
            FROM current_judgments JOIN current_slots AS s USING (cell_id, rater_id, dimension)
                WHERE dimension = 'coherence' AND label = 'incoherent' AND s.name = $coherence
            AND ($truncated OR generation_id NOT IN (SELECT generation_id FROM verdicts WHERE truncated))
        )
        SELECT CAST(cell_id AS VARCHAR) AS cell_id, reason, CAST(count(*) AS INTEGER) AS n FROM found
            GROUP BY ALL
        """,
        {"coherence": coherence, "truncated": truncated},
    )


def scores_of(store: Store, frame: pd.DataFrame, judge: str) -> npt.NDArray[np.float64]:
    """The current score between 0 and 1 that a judge gave each output of a frame; NaN without one."""
    scores = store.frame(
        """
        SELECT CAST(generation_id AS VARCHAR) AS generation_id, max(score) AS score
        FROM current_judgments JOIN current_slots AS s USING (cell_id, rater_id, dimension)
        WHERE s.name = $judge AND score BETWEEN 0 AND 1 AND cell_id IN (SELECT unnest(CAST($cells AS UUID[])))
        GROUP BY generation_id
        """,
        {"judge": judge, "cells": list(frame["cell_id"].unique())},
    )
    return frame["generation_id"].map(scores.set_index("generation_id")["score"]).to_numpy(dtype=float)
