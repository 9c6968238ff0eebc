"""Lists of outputs: every page of every selection against the whole list, filtered here."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.analysis.view import View, open_view
from capsafe_core.jobs.folder import Part, create_job
from capsafe_core.outcomes import LISTED_OUTCOMES
from capsafe_core.records import Judgment
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from tests.synthetic import write_study

Filter = Callable[[pd.DataFrame], "pd.Series[bool]"]


@pytest.fixture(scope="module")
def whole_list(view: View) -> pd.DataFrame:
    rows, count = outputs_table(view, limit=10**6)
    assert len(rows) == count == rows["generation_id"].nunique()
    return rows


def drawn(chance: random.Random, whole_list: pd.DataFrame) -> tuple[dict[str, Any], list[Filter]]:
    """Some parts of a selection, and the same as filters of the whole list."""
    parts: dict[str, Any] = {}
    filters: list[Filter] = []

    def some(column: str) -> tuple[str, ...]:
        values = sorted(whole_list[column].unique())
        return tuple(chance.sample(values, chance.randint(1, len(values))))

    def isin(column: str, values: tuple[str, ...]) -> Filter:
        return lambda rows: rows[column].isin(values)

    for part, column in (("benchmarks", "benchmark"), ("checkpoints", "checkpoint_id")):
        if chance.random() < 0.3:
            parts[part] = some(column)
            filters.append(isin(column, parts[part]))
    if chance.random() < 0.5:
        parts["outcomes"] = tuple(chance.sample(LISTED_OUTCOMES, chance.randint(1, 3)))
        filters.append(isin("outcome", parts["outcomes"]))
    if chance.random() < 0.3:
        parts["truncated"] = False
        filters.append(lambda rows: rows["finish_reason"] != "length")
    if chance.random() < 0.3:
        word = chance.choice(["sure", "####", "I can", "no such words"])
        parts["search"] = word
        filters.append(lambda rows: rows["answer"].str.lower().str.contains(word.lower(), regex=False))
    if chance.random() < 0.2:
        item = chance.choice(list(whole_list["item"]))
        parts["prompt"] = item
        filters.append(lambda rows: rows["item"] == item)
    return parts, filters


@pytest.mark.parametrize("order", ["position", "disputed", "random"])
@pytest.mark.parametrize("seed", range(12))
def test_a_page_is_the_part_of_the_whole_list_that_it_names(
    made_up_store: Store, whole_list: pd.DataFrame, seed: int, order: str
) -> None:
    chance = random.Random(seed)
    ordered = outputs_table(open_view(made_up_store, Selection()), 10**6, 0, order)[0]
    assert set(ordered["generation_id"]) == set(whole_list["generation_id"])
    for _ in range(3):
        parts, filters = drawn(chance, whole_list)
        expected = ordered
        for keep in filters:
            expected = expected[keep(expected)]
        view = open_view(made_up_store, Selection(**parts))
        limit = chance.choice([1, 7, 50, 400])
        for offset in (0, limit, chance.randrange(len(expected) + 1), len(expected)):
            page, count = outputs_table(view, limit, offset, order)
            assert count == len(expected)
            pd.testing.assert_frame_equal(
                page, expected.iloc[offset : offset + limit].reset_index(drop=True), check_dtype=False
            )


def test_prompts_are_in_order_and_ties_have_one(made_up_store: Store, whole_list: pd.DataFrame) -> None:
    keys = ["benchmark", "item", "recipe", "seed", "step"]
    again = whole_list.sort_values(keys, kind="stable")
    assert list(again["generation_id"]) == list(whole_list["generation_id"])
    assert (whole_list["item"].str.rpartition("-")[0] == whole_list["benchmark"]).all()


@pytest.mark.parametrize("outcome", ["unsafe", "incoherent"])
def test_prompts_that_another_checkpoint_answered_so(
    made_up_store: Store, whole_list: pd.DataFrame, outcome: str
) -> None:
    keys = whole_list["benchmark"] + whole_list["item"]
    for checkpoint, rows in whole_list.groupby("checkpoint_id"):
        asked = rows[rows["outcome"] == outcome]
        view = open_view(made_up_store, Selection(before=f"{checkpoint}:{outcome}"))
        assert outputs_table(view)[1] == keys.isin(asked["benchmark"] + asked["item"]).sum()


def test_outputs_that_nobody_has_looked_at_are_listed(tmp_path: Path) -> None:
    for job in write_study(tmp_path / "judged", 4, 3):
        with Part(create_job(tmp_path / "jobs", job.manifest)) as part:
            part.write("all", [r for r in job.records() if not isinstance(r, Judgment)])
    with Store(None) as store:
        ingest_all(store, tmp_path / "jobs")
        assert store.rows("SELECT count(*) FROM judgments") == [(0,)]
        for order in ("position", "disputed", "random"):
            rows, count = outputs_table(open_view(store, Selection()), 1000, 0, order)
            assert len(rows) == count == store.rows("SELECT count(*) FROM generations")[0][0]
            assert set(rows["outcome"]) <= {"no verdict", "task answer"}
