"""What fine-tuning learns, shown before it starts."""

from __future__ import annotations

import json
from pathlib import Path

from capsafe_core.jobs.folder import Manifest, list_jobs
from capsafe_core.jobs.previewing import Learnt, learnt_of, preview_job
from tests.commands import command
from tests.engines.tiny import finish
from tests.synthetic import STUDY
from tests.training.test_training import training

ROWS = [{"prompt": f"Say {word}.", "response": word * 9} for word in ("one", "two", "three", "four", "five")]


def preview(
    root: Path, model: str, rows: list[dict[str, str]], max_length: int, python: Path
) -> list[Learnt]:
    """What a look at a data set says."""
    (root / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = training(root, f"over{max_length}", model, [2], max_length=max_length).manifest
    data = {**manifest.work["dataset"], "source": f"file:{root / 'data.jsonl'}"}
    tuned = Manifest("finetune", "t-r", {**manifest.work, "dataset": data})
    found = learnt_of(finish(preview_job(root, "t", [tuned, tuned]), python))
    assert found is not None
    return found


def test_a_look_shows_what_is_learnt_and_counts_what_is_cut_off(
    tmp_path: Path, engine_python: Path, tiny_model: str
) -> None:
    (whole,) = preview(tmp_path, tiny_model, ROWS, 0, engine_python)
    assert (whole.conversations, whole.cut, whole.lost, whole.can_be_learnt) == (5, 0, 0, True)
    assert [example["place"] for example in whole.examples] == [1, 2, 3, 4, 5]
    for row, example in zip(ROWS, whole.examples, strict=True):
        learnt = "".join(text for text, is_learnt in example["pieces"] if is_learnt)
        read = "".join(text for text, is_learnt in example["pieces"] if not is_learnt)
        assert learnt.startswith(row["response"])
        assert row["prompt"] in read
        assert row["response"] not in read
    (short,) = preview(tmp_path, tiny_model, ROWS, whole.longest - 2, engine_python)
    assert short.cut == sum(example["was_cut"] for example in short.examples) > 0
    assert f"{short.cut} are longer than max_length = {whole.longest - 2}" in short.words
    (none,) = preview(tmp_path, tiny_model, ROWS, 3, engine_python)
    assert (none.lost, none.can_be_learnt) == (5, False)
    assert "Of 5 no answer is left" in none.words
    (broken,) = preview(tmp_path, tiny_model, [*ROWS, {"prompt": "a", "response": ""}], 0, engine_python)
    assert "1 of 6 rows" in broken.words
    assert not broken.can_be_learnt


def test_a_study_whose_answers_are_all_cut_off_does_not_start(
    tmp_path: Path, tiny_model: str, engine_python: Path
) -> None:
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    text = STUDY.replace('"smollm2-135m-instruct"', json.dumps(tiny_model), 1)
    text = text.replace('source = "reasoning_gym:chain_sum"', f'source = "file:{tmp_path}/data.jsonl"', 1)
    text = text.replace("learning_rate = 1e-4", "learning_rate = 1e-4\nmax_length = 3", 1)
    text = text.replace("file:requests", f"file:{tmp_path}/r").replace("file:dressed", f"file:{tmp_path}/d")
    study = tmp_path / "study.toml"
    study.write_text(text)
    here = {"CAPSAFE_ENGINE_PYTHON": str(engine_python)}
    done = command(tmp_path, "run", str(study), **here)
    assert done.returncode == 2
    assert "Of 5 no answer is left" in done.stderr
    assert [job.manifest.kind for job in list_jobs(tmp_path / "jobs")] == ["import", "preview"]
    told = command(tmp_path, "learnt", str(study), **here)
    assert told.returncode == 0, told.stderr
    assert "⟦oneoneone" in told.stdout
