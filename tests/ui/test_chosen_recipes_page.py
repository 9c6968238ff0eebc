"""Choosing recipes on Capability and safety."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.settings import ROOT
from capsafe_core.ui.capability_parts import MOST_PAIRED
from tests.apps import app_over
from tests.bench.made_store import make


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppTest]:
    home = tmp_path_factory.mktemp("recipes")
    make(home / "store.duckdb", recipes=MOST_PAIRED + 9, prompts=10)
    with app_over(home, timeout=120) as app:
        app.run().switch_page(str(ROOT / "pages" / "capability.py"))
        app.query_params["open"] = "goals"
        yield app.run()


def captions(page: AppTest) -> str:
    return " ".join(caption.value for caption in page.caption).replace("\\", "")


def test_many_are_named_few_are_drawn_and_pairs_come_with_a_choice(page: AppTest) -> None:
    assert captions(page).count(f"Drawn: the first 12 of {MOST_PAIRED + 9} recipes.") == 4
    assert "Choose up to 4 recipes" in captions(page)
    page.multiselect(key="chosen-recipes").set_value(["r3", "r5"]).run()
    assert "r3~r5" in page.query_params["recipes"]
    assert not page.exception
    assert "Drawn:" not in captions(page)
    assert "Choose up to" not in captions(page)
    assert page.multiselect(key="chosen-recipes").value == ["r3", "r5"]
    page.multiselect(key="chosen-recipes").set_value([]).run()
    assert "recipes" not in page.query_params
    assert "Drawn:" in captions(page)
