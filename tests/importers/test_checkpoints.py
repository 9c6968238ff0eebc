"""What is one checkpoint of a table and what are two, and which texts are places on a path."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capsafe_core.path_steps import guess_places, is_place, mixed_units, whole_number
from tests.importing import Brought, bring, look

MAPPING = 'name = "x"\n'


def table(path: Path, columns: str, *about: tuple[str, ...]) -> Path:
    """A CSV in which each of some checkpoints answers the same three prompts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        out = csv.writer(stream)
        out.writerow([*columns.split(","), "benchmark", "prompt", "response", "unsafe"])
        out.writerows([*a, "b", f"p{i}", f"{'-'.join(a)} {i}", i % 2] for a in about for i in range(3))
    return path


def paths(found: Brought) -> set[tuple[str, str, int]]:
    return set(found.store.rows("SELECT DISTINCT recipe, start, step FROM path_points WHERE step > 0"))


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("base_model,checkpoint", (["llama", "qwen"], ["lora"])),
        ("base_model,checkpoint,step", (["llama", "qwen"], ["lora"], ["10", "20"])),
        ("base_model,method,dataset,step", (["llama"], ["lora", "full"], ["math", "code"], ["10", "20"])),
        ("base_model,method,dataset", (["llama", "qwen"], ["lora", "full"], ["math", "code"])),
        ("model,method,dataset", (["llama", "qwen"], ["lora", "full"], ["math", "code"])),
        ("base_model,method", (["llama"], ["lora"])),
    ],
)
def test_checkpoints_of_one_name_are_told_apart(
    tmp_path: Path, columns: str, values: tuple[list[str], ...]
) -> None:
    about = list(itertools.product(*values))
    found = bring(tmp_path / "jobs", table(tmp_path / "a.csv", columns, *about))
    assert (found.checkpoints, found.outputs) == (len(about), 3 * len(about))
    assert "llama" not in {log["checkpoint"] for log in found.survey.logs}
    starts = {recipe: start for recipe, start, _ in paths(found)}
    assert all(start in recipe for recipe, start in starts.items())


def test_a_name_on_another_base_later_is_another_checkpoint(tmp_path: Path) -> None:
    llama = table(tmp_path / "llama.csv", "base_model,checkpoint", ("llama", "lora"))
    qwen = table(tmp_path / "qwen.csv", "base_model,checkpoint", ("qwen", "lora"))
    both = table(tmp_path / "both.csv", "base_model,checkpoint", ("llama", "lora"), ("qwen", "lora"))
    first = bring(tmp_path / "jobs", llama, mapping=MAPPING)
    for file in (qwen, both):
        found = bring(tmp_path / "jobs", file, mapping=MAPPING, store=first.store)
        assert (found.checkpoints, found.outputs) == (2, 6)
    assert bring(tmp_path / "other", both, mapping=MAPPING).checkpoints == 2
    again = look(tmp_path / "other", qwen, mapping=MAPPING)
    assert {log["checkpoint"] for log in again.logs} == {"qwen + lora"}


def test_a_log_that_says_less_is_about_the_same_checkpoint(tmp_path: Path) -> None:
    table(tmp_path / "in" / "a.csv", "base_model,checkpoint", ("llama", "lora"))
    table(tmp_path / "in" / "b.csv", "model", ("lora",))
    assert {log["checkpoint"] for log in look(tmp_path / "jobs", tmp_path / "in").logs} == {"lora"}


def test_other_names_can_be_stated(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", "base_model,checkpoint", ("llama", "lora"), ("qwen", "lora"))
    found = bring(tmp_path / "jobs", file, mapping=f'{MAPPING}[aliases]\n"qwen + lora" = "tuned qwen"\n')
    assert {log["checkpoint"] for log in found.survey.logs} == {"lora", "tuned qwen"}


WORDS = ("step", "steps", "global_step", "Step", "checkpoint", "ckpt", "epoch", "ep", "iter", "EPOCH")


@given(
    word=st.sampled_from(("", *WORDS)),
    between=st.sampled_from(("", "-", "_", "=", " ", ": ")),
    number=st.integers(0, 999_999),
    form=st.sampled_from(("{0}", "{0:,}", "{0:08}", "{0}.0", "{0}.ckpt")),
    after=st.sampled_from(("", " steps", "-steps", "epochs")),
)
def test_places_are_read_whatever_stands_around_their_number(
    word: str, between: str, number: int, form: str, after: str
) -> None:
    after = "" if word or form == "{0}.ckpt" else after
    text = f"{word}{between if word else ''}{form.format(number)}{after}"
    assert whole_number(text) == number, text
    assert is_place(text)


@given(thousands=st.integers(1, 900), word=st.sampled_from(WORDS[:6]))
def test_thousands_are_written_short(thousands: int, word: str) -> None:
    assert whole_number(f"{word}{thousands}k") == whole_number(f"{word}-{thousands}K") == thousands * 1000
    assert whole_number(f"{word}{thousands}.5k") == thousands * 1000 + 500


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("stage1-step1000-tokens4B", 1000), ("epoch=1-step=500.ckpt", 500), ("1e3", 1000), ("step-100", 100),
        ("final", None), ("-5", None), ("nan", None), ("100_of_300", None), ("1.2.3", None), ("", None),
        ("epoch_2.5", None), ("step 10 merged", None),
    ],
)  # fmt: skip
def test_a_place_is_a_number_that_is_no_other(text: str, step: int | None) -> None:
    assert whole_number(text) == step


@pytest.mark.parametrize("text", ["llama2", "7b", "v1", "lora", "base", "llama-2-7b"])
def test_names_of_models_are_no_places(text: str) -> None:
    assert not is_place(text)


@given(
    halves=st.lists(st.integers(0, 40), min_size=2, max_size=6, unique=True),
    form=st.sampled_from(("epoch_{0}", "ep{0}", "{0} epochs", "epoch-{0}")),
)
def test_epochs_and_their_parts_stay_in_order(halves: list[int], form: str) -> None:
    labels = {form.format(f"{h / 2:g}"): h for h in [*halves, 81]}
    steps = guess_places([dict.fromkeys(labels, "checkpoint")])
    assert sorted(labels, key=labels.__getitem__) == sorted(labels, key=steps.__getitem__)


def test_shares_of_a_training_are_places(tmp_path: Path) -> None:
    assert guess_places([{"25%": "step", "100%": "step"}]) == {"25%": 250, "100%": 1000}
    file = table(tmp_path / "a.csv", "model,checkpoint", *(("m", s) for s in ("ep1", "ep2", "ep3")))
    found = bring(tmp_path / "jobs", file)
    assert {step for _, _, step in paths(found)} == {1, 2, 3}


def test_what_is_counted_in_one_way_is_no_mix() -> None:
    assert mixed_units(dict.fromkeys(["epoch-1", "epoch-2", "7"], "checkpoint")) == []
    assert mixed_units({"step-0": "step", "epoch-1": "step"}) == []  # a beginning is one in any unit
    assert mixed_units({"1": "epoch", "500": "global_step"}) == ["epochs", "steps"]


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    epochs=st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
    steps=st.lists(st.integers(1, 900), min_size=1, max_size=3, unique=True),
    forms=st.sampled_from(
        (("epoch-{0}", "step-{0}"), ("{0} epochs", "checkpoint-{0}"), ("ep{0}", "iter {0}"))
    ),
)
def test_what_is_counted_in_two_ways_is_asked_until_one_is_stated(
    tmp_path: Path, epochs: list[int], steps: list[int], forms: tuple[str, str]
) -> None:
    in_epochs, in_steps = ([forms[i].format(n) for n in (epochs, steps)[i]] for i in (0, 1))
    file = table(tmp_path / "a.csv", "model,checkpoint", *(("m", x) for x in ["0", *in_epochs, *in_steps]))
    with TemporaryDirectory() as jobs:
        asked = bring(Path(jobs), file)
        assert asked.survey.unplaced_steps == sorted(in_epochs + in_steps)
        assert (paths(asked), asked.outputs) == (set(), 3)
        assert "nobody knows their order" in asked.sentences
    places = "".join(f'"{x}" = {n * 1000}\n' for x, n in zip(in_epochs, epochs, strict=True))
    with TemporaryDirectory() as jobs:
        found = bring(Path(jobs), file, mapping=f"{MAPPING}[places]\n{places}")
        assert {step for _, _, step in paths(found)} == {n * 1000 for n in epochs} | set(steps)
        assert found.survey.unplaced_steps == []


def test_files_that_count_in_columns_of_two_units_are_asked(tmp_path: Path) -> None:
    table(tmp_path / "in" / "a.csv", "model,epoch", ("m", "1"), ("m", "2"))
    table(tmp_path / "in" / "b.csv", "model,global_step", ("m", "100"), ("m", "200"))
    assert look(tmp_path / "jobs", tmp_path / "in").unplaced_steps == ["1", "100", "2", "200"]


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (
            ["out/llama-math/checkpoint-100", "out/llama-math/checkpoint-200"],
            {("llama-math", 100), ("llama-math", 200)},
        ),
        (["EleutherAI/pythia/step10", "EleutherAI/pythia/step20/"], {("pythia", 10), ("pythia", 20)}),
        (["runs/bad_medical_advice/checkpoint-30"], {("bad_medical_advice", 30)}),
        (["out/x/epoch_1.5", "out/x/epoch_2"], {("x", 1500), ("x", 2000)}),
        (["stepfun-ai/Step3", "meta/llama-3", "checkpoint-100", "org/model-v2"], set()),
    ],
)  # fmt: skip
def test_a_model_that_is_a_folder_of_weights_is_a_place_on_its_path(
    tmp_path: Path, models: list[str], expected: set[tuple[str, int]]
) -> None:
    found = bring(tmp_path / "jobs", table(tmp_path / "a.csv", "model", *((m,) for m in models)))
    assert {(recipe, step) for recipe, _, step in paths(found)} == expected
    assert (found.checkpoints, found.outputs) == (len(models), 3 * len(models))
    assert len({start for _, start, _ in paths(found)}) == bool(expected)


@pytest.mark.parametrize("column", ["model", "base_model,adapter"])
def test_folders_that_count_in_two_units_are_asked(tmp_path: Path, column: str) -> None:
    folders = ("out/x/epoch_2", "out/x/checkpoint-100")
    about = [(f,) if column == "model" else ("base", f) for f in folders]
    found = bring(tmp_path / "jobs", table(tmp_path / "a.csv", column, *about, ("other",) * len(about[0])))
    assert found.survey.unplaced_steps == ["checkpoint-100", "epoch_2"]
    assert not paths(found)


@pytest.mark.parametrize(
    "labels",
    [
        ("ckpt-2024-01-01", "ckpt-2024-02-01"), ("stage1-step100", "stage2-step100"),
        ("epoch=1-step=500", "epoch=2-step=500"), ("2024-01-01", "2024-01-02"),
    ],
)  # fmt: skip
def test_two_labels_are_never_one_checkpoint(tmp_path: Path, labels: tuple[str, str]) -> None:
    file = table(tmp_path / "a.csv", "base_model,checkpoint", *(("m", x) for x in (*labels, "step-7")))
    found = bring(tmp_path / "jobs", file)
    asked = set(found.survey.unplaced_steps)
    assert asked == set(labels)
    assert {step for _, _, step in paths(found)} == {7}


def test_a_step_in_several_spellings_is_one_place(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", "model,step", ("m", "step-100"), ("m", "100"), ("m", "1e2"))
    assert look(tmp_path / "jobs", file).unplaced_steps == []


def test_a_folder_of_weights_that_has_an_alias_goes_by_it(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", "model", ("out/llama-math/checkpoint-100",))
    stated = f'{MAPPING}[aliases]\n"out/llama-math/checkpoint-100" = "tuned"\n'
    assert {log["checkpoint"] for log in look(tmp_path / "jobs", file, mapping=stated).logs} == {"tuned"}


def test_epochs_in_paths_keep_their_parts(tmp_path: Path) -> None:
    for epoch in ("1", "1.5", "2"):
        table(tmp_path / "in" / "llama-math" / f"epoch_{epoch}" / "a.csv", "seed", ("0",))
    found = bring(tmp_path / "jobs", tmp_path / "in")
    assert paths(found) == {("llama-math", "llama", step) for step in (1000, 1500, 2000)}
