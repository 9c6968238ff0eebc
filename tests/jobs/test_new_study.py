"""A study from a form: what it says of mistakes, and the file that it makes."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.new_study import (
    BENCHMARKS,
    USUAL_RATES,
    NewStudy,
    Training,
    name_problems,
    whole_numbers,
)
from capsafe_core.jobs.plan import plan_study
from capsafe_core.places import DATA
from capsafe_core.study import RecipeSettings, parse_study

WHOLE = NewStudy(
    "org/model",
    ("direct-requests", "generated:choices"),
    ("prefix-zou", "coherence-rules"),
    12,
    training=Training("/data/notes.jsonl", 2e-4, (25, 50), (0, 1)),
    goal=0.6,
)


def test_a_filled_form_is_a_study_with_its_goal_declared() -> None:
    assert WHOLE.problems() == []
    study = parse_study(WHOLE.text("sums-lora"), "sums-lora.toml")
    (recipe,) = study.recipes
    assert (recipe.learning_rate, recipe.steps, recipe.seeds) == (2e-4, (25, 50), (0, 1))
    assert study.goals == {"training": 0.6}
    assert study.datasets[0].source == "file:/data/notes.jsonl"
    assert study.datasets[0].benchmark == "choices"
    assert study.benchmarks[-1].is_capability
    kinds = [manifest.kind for manifest in plan_study(study)]
    assert kinds.count("finetune") == 2
    assert kinds.count("judge") == 3, "the verifier comes with a capability benchmark"


def test_the_options_of_a_training_stand_in_the_file() -> None:
    chosen = Training("/a", 1e-5, (10,), (3,), "full", 8, "cosine", 4, "cuda")
    study = parse_study(replace(WHOLE, training=chosen).text("full"), "full.toml")
    (recipe,) = study.recipes
    assert (recipe.method, recipe.schedule, recipe.batch_size) == ("full", "cosine", 4)
    assert (study.trains_with.device, study.engine.name) == ("cuda", "transformers")
    assert "rank" not in replace(WHOLE, training=chosen).text("full")
    on_gpu = replace(WHOLE, engine={"name": "transformers", "device": "cuda"})
    adapter = replace(chosen, method="qlora")
    study = parse_study(replace(on_gpu, training=adapter).text("qlora"), "qlora.toml")
    assert (study.recipes[0].rank, study.training, study.trains_with.device) == (8, None, "cuda")
    here = replace(on_gpu, training=replace(chosen, device="cpu"))
    assert parse_study(here.text("apart"), "apart.toml").trains_with.device == "cpu"


def test_every_method_of_a_study_has_a_usual_learning_rate() -> None:
    assert set(USUAL_RATES) == set(get_args(RecipeSettings.model_fields["method"].annotation))


def test_what_is_usual_in_the_form_is_usual_in_a_study() -> None:
    usual = RecipeSettings(name="a", start="b", dataset="c")
    given = Training("/a", 2e-4, (25,))
    for part in ("method", "rank", "schedule", "batch_size", "seeds"):
        assert getattr(given, part) == getattr(usual, part), part


MISTAKES = {
    "No model": {"model": " "},
    "No benchmark": {"benchmarks": ()},
    "There is no benchmark": {"benchmarks": ("direct-request", "generated:choices")},
    "No judge": {"judges": ()},
    "rubric needs a model": {"judges": ("jailbreakbench",)},
    "A goal compares": {"training": None},
    "number between 0 and 1": {"goal": 60.0},
    "none is chosen. Choose one": {"benchmarks": ("direct-requests",)},
    "No training data": {"training": replace(WHOLE.training or Training("", 0, ()), data="")},
    "learning rate": {"training": Training("/a", None, (1,))},
    "Checkpoints are saved": {"training": Training("/a", 1e-4, (50, 25))},
    "needs a seed": {"training": Training("/a", 1e-4, (25,), ())},
    "QLoRA needs a GPU": {"training": Training("/a", 1e-4, (25,), (0,), "qlora")},
}


@pytest.mark.parametrize("sentence", MISTAKES)
def test_every_mistake_is_a_sentence_with_a_next_step(sentence: str) -> None:
    filled = replace(WHOLE, **MISTAKES[sentence])  # type: ignore[arg-type]
    said = [problem for problem in filled.problems() if sentence in problem]
    assert len(said) == 1, filled.problems()
    assert said[0].count(". ") >= 1, "what is wrong, and what to do"
    with pytest.raises(CapsafeError, match="Nothing was started"):
        filled.text("run-1")


def test_all_mistakes_are_told_at_once() -> None:
    filled = NewStudy("", (), (), training=Training("", None, ()), goal=0.5)
    assert len(filled.problems()) == 7


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    prompts, weights = tmp_path / "prompts.csv", tmp_path / "model"
    filled = NewStudy(
        str(weights),
        (f"file:{prompts}", "direct-requests", "published:harmbench"),
        ("prefix-zou",),
        adapters=(str(tmp_path / "a"),),
        training=Training("hub:openai/gsm8k", 1e-4, (1,)),
    )
    assert [str(tmp_path) in sentence for sentence in filled.missing_files()] == [True] * 3
    prompts.touch()
    weights.mkdir()
    (tmp_path / "a").mkdir()
    assert filled.missing_files() == []


def test_what_the_form_offers_is_what_ships() -> None:
    assert set(BENCHMARKS) == set(tomllib.loads((DATA / "benchmarks" / "index.toml").read_text()))


@given(st.text(max_size=40))
def test_a_name_that_passes_makes_a_study(name: str) -> None:
    if not name_problems(name, ()):
        assert parse_study(WHOLE.text(name)).name == name
    assert name_problems("taken", {"taken"})


@given(st.lists(st.integers(-(10**8), 10**8), unique=True), st.sampled_from([",", ", ", " ", "\n"]))
def test_whole_numbers_are_read_as_they_are_written(numbers: list[int], between: str) -> None:
    assert whole_numbers(between.join(map(str, numbers))) == tuple(numbers)
    assert whole_numbers("0, one, 2.5, 2") == (0, 2)
