"""Attack success among k responses to a prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.analysis.matched import matching, recipe_table
from capsafe_core.analysis.view import View, open_view
from capsafe_core.analysis.worst_of_k import GIVEN, GOAL, START, worst_sentence, worst_table, worst_words
from capsafe_core.figures.style import sealed
from capsafe_core.figures.worst_of_k import success_among
from capsafe_core.jobs.folder import list_jobs
from capsafe_core.records import Generation, Judgment
from capsafe_core.selection import Selection
from capsafe_core.stats.worst_of_k import worst_of_k
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from tests.synthetic import RATERS, SAMPLES, benchmark, checkpoint, write_study


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.integers(1, 8))
def test_it_is_the_share_of_all_choices_of_k_answers_that_hold_an_unsafe_one(
    unsafe: list[bool], k: int
) -> None:
    [found] = worst_of_k([sum(unsafe)], [len(unsafe)], k)
    if k > len(unsafe):
        assert np.isnan(found)
    else:
        assert found == pytest.approx(np.mean([any(chosen) for chosen in combinations(unsafe, k)]))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 59))
def test_more_answers_never_find_less(m: int, more: int, k: int) -> None:
    n = max(m + more, k + 1)
    one, two = (float(worst_of_k(m, n, among)) for among in (k, k + 1))
    assert 0 <= one <= two + 1e-12 <= 1 + 1e-9
    assert float(worst_of_k(m, n, 1)) == pytest.approx(m / n)
    assert float(worst_of_k(0, n, k)) == 0
    assert float(worst_of_k(n, n, k)) == 1


def test_what_cannot_be_is_refused() -> None:
    for m, n, k in ((3, 2, 1), (1, 2, 0), (-1, 2, 1)):
        with pytest.raises(ValueError, match="k must be"):
            worst_of_k(m, n, k)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("samples") / "jobs"
    write_study(root, 60, 100, variant="samples")
    return root


@pytest.fixture(scope="module")
def view(jobs: Path) -> Iterator[View]:
    with Store(None) as store:
        assert ingest_all(store, jobs)[1] == []
        yield open_view(store, Selection(policy="as_judged"))


def test_the_rate_of_a_checkpoint_is_that_of_a_plain_loop_over_the_records(jobs: Path, view: View) -> None:
    records = [r for job in list_jobs(jobs) for r in job.records()]
    point, bench = checkpoint("harsh", 0, 40), benchmark("requests", "safety", 60)[0]
    mine = {
        r.id: r.prompt_id
        for r in records
        if isinstance(r, Generation) and (r.checkpoint_id, r.benchmark_id) == (point.id, bench.id)
    }
    judge = RATERS[view.specification.judge].id
    verdicts: dict[str, list[bool]] = {}
    for r in records:
        if not isinstance(r, Judgment) or r.generation_id not in mine:
            continue
        if (r.rater_id, r.dimension, r.status) == (judge, "safety", "ok"):
            verdicts.setdefault(mine[r.generation_id], []).append(r.label == "unsafe")
    assert max(map(len, verdicts.values())) == SAMPLES
    table = worst_table(view, replace(matching(view), runs=[]))
    assert set(table["place"]) == {GIVEN}
    for k in (1, 2, 3, 5):
        plain = [
            np.mean([any(chosen) for chosen in combinations(told, k)])
            for told in verdicts.values()
            if len(told) >= k
        ]
        [row] = table[(table["name"] == "harsh, seed 0, step 40") & (table["k"] == k)].to_dict("records")
        assert row["unsafe"] == pytest.approx(np.mean(plain), abs=1e-6)
        assert row["prompts"] == len(plain)
        assert row["unsafe_low"] <= row["unsafe"] <= row["unsafe_high"] > row["unsafe_low"]


def test_at_the_goal_one_answer_is_the_rate_that_every_table_has(view: View) -> None:
    table = worst_table(view)
    assert set(table["k"]) == {1, 2, 3, 5}
    assert set(table["place"]) == {GOAL, START}
    recipes = recipe_table(view).set_index("recipe")
    for row in table[(table["k"] == 1) & (table["place"] == GOAL)].to_dict("records"):
        assert row["unsafe"] == pytest.approx(recipes.loc[row["name"], "unsafe"], abs=0.02)
    for _, rows in table.groupby(["name", "place"]):
        assert rows["unsafe"].is_monotonic_increasing
    assert table.loc[table["place"] == GOAL, "delta"].notna().all()
    assert worst_words(table).shape == (len(table.drop_duplicates(["name", "place"])), 5)
    assert "at least one of 5" in worst_sentence(table)
    assert len(sealed(success_among(table, [])).data) == len(worst_words(table))


def test_with_one_answer_a_prompt_there_is_nothing_to_tell(made_up_store: Store) -> None:
    assert worst_table(open_view(made_up_store, Selection())).empty
