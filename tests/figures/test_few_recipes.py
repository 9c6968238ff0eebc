"""A chart of paths draws as many recipes as can be told apart, and says so."""

from __future__ import annotations

import pandas as pd
import pytest

from capsafe_core.figures.style import MOST_PATHS
from capsafe_core.figures.training import few_recipes


@pytest.mark.parametrize("recipes", [0, 1, MOST_PATHS, MOST_PATHS + 1, 80])
def test_the_first_recipes_are_drawn_with_all_their_checkpoints(recipes: int) -> None:
    paths = pd.DataFrame({"recipe": [f"r{i}" for i in range(recipes)] * 3, "step": 1})
    few, which = few_recipes(paths)
    assert few["recipe"].nunique() == min(recipes, MOST_PATHS)
    assert few["recipe"].value_counts().eq(3).all()
    assert which == ("" if recipes <= MOST_PATHS else f"Drawn: the first {MOST_PATHS} of {recipes} recipes. ")
