"""Choosing recipes changes which rows a table has, and no number in them: what the seeds of the others tell
stays."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

from capsafe_core.analysis.by_name import AT_A_GOAL, TABLES
from capsafe_core.analysis.matched import matching
from capsafe_core.analysis.view import open_view
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from tests.synthetic import write_study


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    jobs = tmp_path_factory.mktemp("chosen") / "jobs"
    write_study(jobs, safety_size=20, capability_size=20, variant="margins")
    with Store(None) as opened:
        ingest_all(opened, jobs)
        yield opened


BY_RECIPE = sorted({*AT_A_GOAL, "paths"} - {"between", "corrected", "goals", "pareto"})


@pytest.mark.parametrize("name", BY_RECIPE)
def test_a_row_is_the_same_whichever_recipes_are_chosen(store: Store, name: str) -> None:
    everything = open_view(store, Selection())
    whole = TABLES[name](everything)
    recipes = list(dict.fromkeys(run.recipe for run in matching(everything).runs))
    assert len(recipes) > 1
    for recipe in recipes:
        some = TABLES[name](open_view(store, Selection(recipes=(recipe,))))
        mine = whole[whole["recipe"] == recipe]
        pd.testing.assert_frame_equal(some.reset_index(drop=True), mine.reset_index(drop=True))


def test_the_pool_of_seeds_is_that_of_the_study(store: Store) -> None:
    everything = matching(open_view(store, Selection()))
    recipe = everything.runs[0].recipe
    some = matching(open_view(store, Selection(recipes=(recipe,))))
    assert {run.recipe for run in some.runs} == {recipe}
    assert len(some.recipe_rates) == len(everything.recipe_rates) > 1
