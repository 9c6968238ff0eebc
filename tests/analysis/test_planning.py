"""What a study could see before it is run, held against studies of that design."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from capsafe_core.analysis.planning import (
    LARGEST,
    PAIR,
    POWER,
    START,
    Design,
    change_seen,
    design_of,
    detectable_change,
    lacking_sizes,
    needed_table,
    plan_words,
    planned_table,
    shares_seen,
    simulated,
)
from capsafe_core.cli import app
from capsafe_core.errors import CapsafeError
from capsafe_core.study import parse_study
from tests.synthetic import STUDY

USUAL = Design(prompts=150, items=400, seeds=3, recipes=2, checkpoints=8)
SURE = replace(USUAL, seed_deviation=0.0, sensitivity=1.0, specificity=1.0)
STUDIES = 40


@given(st.integers(1, 3), st.integers(1, 3), st.integers(3, 9), st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_a_simulated_study_has_the_runs_of_its_design(
    seeds: int, recipes: int, steps: int, seed: int
) -> None:
    design = replace(USUAL, prompts=20, items=30, seeds=seeds, recipes=recipes, checkpoints=steps, samples=2)
    runs, rates = simulated(design, 0.1, np.random.default_rng(seed))
    assert len(runs) == seeds * recipes
    assert {run.recipe for run in runs} == {f"recipe {i}" for i in range(recipes)}
    assert len({run.checkpoints[0] for run in runs}) == 1
    assert len({c for run in runs for c in run.checkpoints[1:]}) == len(runs) * (steps - 1)
    assert rates.trials.max() == rates.trials.min() == 2
    assert all(len(run.capability) == steps for run in runs)


def test_what_is_planted_is_what_the_simulated_studies_have() -> None:
    chance = np.random.default_rng(0)
    told = [change_seen(SURE, 0.2, False, chance) for _ in range(60)]
    assert np.mean([c.estimate for c in told if c is not None]) == pytest.approx(0.2, abs=0.025)
    blunt = replace(SURE, sensitivity=0.8, specificity=0.9)
    dulled = [change_seen(blunt, 0.2, False, chance) for _ in range(60)]
    assert np.mean([c.estimate for c in dulled if c is not None]) == pytest.approx(0.2 * 0.7, abs=0.025)


def test_power_grows_with_the_difference_and_nothing_is_seen_where_nothing_is() -> None:
    seen = [shares_seen(USUAL, change, studies=60)[1] for change in (0.0, 0.1, 0.4)]
    assert seen[0] <= 0.1
    assert seen[0] <= seen[1] <= seen[2]
    assert seen[2] >= 0.95


def test_the_detectable_difference_is_seen_in_most_studies_of_other_seeds() -> None:
    found = detectable_change(USUAL, studies=STUDIES)
    assert found is not None
    assert shares_seen(USUAL, found, studies=60, seed=9)[1] >= POWER - 0.2
    assert shares_seen(USUAL, found / 3, studies=60, seed=9)[1] < POWER


def test_with_one_seed_nothing_is_said_of_recipes_and_the_plan_says_why() -> None:
    alone = replace(USUAL, seeds=1)
    planned = planned_table(alone, STUDIES)
    assert set(planned["comparison"]) == {START, PAIR}
    assert planned["recipes_see"].isna().all()
    assert planned["runs_see"].notna().all()
    assert planned["why_not"].str.contains("so few training seeds").all()
    words = plan_words(alone, planned)
    assert "in its own runs" in words[0]
    assert "Assumed" in words[-1]


def test_a_study_too_small_to_see_anything_says_so() -> None:
    tiny = replace(USUAL, prompts=4, items=6, checkpoints=3)
    planned = planned_table(tiny, 20)
    assert planned["recipes_see"].isna().all()
    assert "no difference would be seen" in plan_words(tiny, planned)[0]
    assert f"{LARGEST:.0%}" in planned["why_not"].iloc[0]


def test_more_prompts_and_seeds_show_a_margin_more_often() -> None:
    small = replace(SURE, prompts=50, items=150)
    needed = needed_table(small, 0.1, 20).set_index(["times_prompts", "seeds"])
    assert needed.loc[(4, 5), "within_margin"] >= needed.loc[(1, 3), "within_margin"]
    words = plan_words(SURE, planned_table(replace(SURE, recipes=1), 20), needed.reset_index(), 0.1)
    assert any("margin of 10 pts" in line for line in words)
    hopeless = needed.assign(within_margin=0.0).reset_index()
    assert "none of these designs" in plan_words(SURE, planned_table(SURE, 20).head(0), hopeless, 0.1)[0]


def test_a_design_is_the_study_files_and_what_it_does_not_say_is_asked(tmp_path: Path) -> None:
    study = parse_study(STUDY)
    design = design_of(study, None, None)
    assert (design.recipes, design.goal) == (2, study.goals["sums"])
    assert design.seeds == min(len(r.seeds) for r in study.recipes)
    given_sizes = design_of(study, 120, 200)
    assert (given_sizes.prompts, given_sizes.items) == (120, 200)
    assert list(lacking_sizes(replace(given_sizes, checkpoints=6))) == []
    assert len(list(lacking_sizes(replace(given_sizes, prompts=0, items=0)))) == 2
    assert "nothing is compared" in next(lacking_sizes(replace(given_sizes, recipes=0)))


def test_the_command_tells_what_the_design_could_see(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(STUDY.replace("file:", f"file:{tmp_path}/"))
    options = ["plan", str(path), "--prompts", "40", "--items", "60", "--studies", "20"]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    assert "Assumed" in result.output
    told = CliRunner().invoke(app, [*options, "--json"])
    assert {row["comparison"] for row in json.loads(told.output)["planned"]} == {START, PAIR}
    refused = CliRunner().invoke(app, ["plan", str(path)])
    assert isinstance(refused.exception, CapsafeError)
