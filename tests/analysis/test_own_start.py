"""Runs that each measured a start of their own, all of one name: a recipe is compared with its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from capsafe_core.analysis.arms import Arm, Claim
from capsafe_core.analysis.columns import records
from capsafe_core.analysis.conclusions import conclusion, policies_table
from capsafe_core.analysis.matched import matching, recipe_table
from capsafe_core.analysis.view import View, open_view
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from tests.bench import made_store


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    path = tmp_path_factory.mktemp("bench") / "bench.duckdb"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made_store, "PROMPTS", 80)
        made_store.make(path, 4)
    with Store(path) as store:
        yield open_view(store, Selection())


def test_each_recipe_is_compared_with_the_start_of_its_own_run(large: View) -> None:
    found = matching(large)
    assert len({run.checkpoints[0] for run in found.runs}) == len(found.runs)
    recipes = recipe_table(large, found).set_index("recipe")
    reached = recipes[recipes["reached"] > 0]
    assert len(reached) > 1
    assert reached["start_unsafe"].nunique() > 1
    rows = [row for row in records(policies_table(large, found)) if row["truncated"] == "kept"]
    policies = {(row["recipe"], row["policy"]): row for row in rows}
    for name, row in reached.iterrows():
        claim = Claim(Arm("recipe", str(name)), Arm("start", "start"))
        curve = conclusion(large, claim, found.runs).curve
        primary = curve[curve["primary"]].iloc[0]
        same = policies[str(name), large.specification.policy.value]
        for told in (primary, same):
            assert told["b"] == pytest.approx(row["start_unsafe"])
            assert told["estimate"] == pytest.approx(row["delta"])
            assert np.isfinite([told["low"], told["high"]]).all()
