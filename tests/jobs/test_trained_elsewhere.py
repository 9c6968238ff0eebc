"""What the trainers of transformers and TRL leave is a path each, and a training script can ask for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from capsafe_core.places import ROOT
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from tests.commands import command
from tests.jobs.trained import STUDY, TRAIN, TRAIN_TRL, in_engine

# The same model trained with the callback; prints how far it came.
CALLED = (
    TRAIN.split("tokenizer = PreTrainedTokenizerFast.from_pretrained(base)")[0]
    + """
import logging
from capsafe_core.training.callback import CapsafeCallback

tokenizer = PreTrainedTokenizerFast.from_pretrained(base)
ids = [tokenizer(f"I cannot help with lock {i}.").input_ids for i in range(8)]
rows = [{"input_ids": i, "labels": i, "attention_mask": [1] * len(i)} for i in ids]
trainer = Trainer(
    AutoModelForCausalLM.from_pretrained(base),
    TrainingArguments(
        str(root / "sft-s3"), max_steps=6, save_steps=2, per_device_train_batch_size=2, seed=3, report_to=[],
        use_cpu=True, disable_tqdm=True,
    ),
    train_dataset=rows,
    data_collator=lambda some: {k: torch.tensor([r[k] for r in some]) for k in some[0]},
    callbacks=[CapsafeCallback(sys.argv[3], stop_at_goal=True, command=json.loads(sys.argv[4]))],
)
trainer.train()
print(trainer.state.global_step)
"""
)


# What the weights in each checkpoint answer, asked without this program's engine.
BY_HAND = """
import json, sys, torch
from pathlib import Path
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

root, prompts = Path(sys.argv[1]), json.loads(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(root / "base")
found = {}
for folder in [root / "base", *sorted(root.glob("sft-s*/checkpoint-*"))]:
    is_adapter = (folder / "adapter_config.json").exists()
    model = AutoModelForCausalLM.from_pretrained(root / "base" if is_adapter else folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, folder).merge_and_unload() if is_adapter else model
    answers = []
    for prompt in prompts:
        ids = torch.tensor([tokenizer("<s>" + prompt, add_special_tokens=False).input_ids])
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False, pad_token_id=0
        )
        answers.append(tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True))
    found[str(folder.relative_to(root))] = answers
print(json.dumps(found))
"""


def answers_of(home: Path) -> list[tuple[int, int, str, str, str]]:
    """Seed, step, item, answer and prompt of every output on the recipe's paths."""
    settings = Settings(home=home)
    with Store(None) as store:
        ingest_all(store, settings.jobs_path)
        return store.rows(
            "SELECT p.seed, p.step, q.item, g.text, q.text FROM path_points AS p "
            "JOIN cells AS c USING (checkpoint_id) JOIN live_generations AS g USING (cell_id) "
            "JOIN prompts AS q USING (prompt_id) WHERE p.recipe = 'sft' ORDER BY ALL"
        )


def check_by_hand(engine_python: Path, root: Path, found: list[tuple[int, int, str, str, str]]) -> None:
    """Every output is what the weights of its checkpoint answer."""
    items = {item: prompt for _, _, item, _, prompt in found}
    by_hand = json.loads(in_engine(engine_python, BY_HAND, str(root), json.dumps(list(items.values()))))
    for seed, step, item, answer, _ in found:
        folder = f"sft-s{seed}/checkpoint-{step}" if step else "base"
        assert answer == by_hand[folder][list(items).index(item)], (seed, step, item)


def test_what_trl_leaves_is_a_path_each(engine_python: Path, tmp_path: Path) -> None:
    """Whole weights with seed 0, adapters with seed 1."""
    root, study = tmp_path / "runs", tmp_path / "study.toml"
    in_engine(engine_python, TRAIN, str(root), "start")
    in_engine(engine_python, TRAIN_TRL, str(root), "train")
    pattern = root / "sft-s{seed}" / "checkpoint-{step}"
    study.write_text(STUDY.format(model=root / "base", pattern=pattern, more=""))
    done = command(tmp_path / "home", "run", str(study), CAPSAFE_ENGINE_PYTHON=str(engine_python))
    assert done.returncode == 0, done.stderr
    found = answers_of(tmp_path / "home")
    assert {(seed, step) for seed, step, *_ in found} == {(s, n) for s in (0, 1) for n in (0, 2, 4)}
    check_by_hand(engine_python, root, found)
    with Store(None) as store:
        ingest_all(store, Settings(home=tmp_path / "home").jobs_path)
        measured = store.rows(
            "SELECT DISTINCT p.seed, p.step FROM measurements AS m JOIN path_points AS p "
            "USING (checkpoint_id) WHERE m.metric = 'eval_mean_token_accuracy' ORDER BY ALL"
        )
    assert measured == [(s, n) for s in (0, 1) for n in (2, 4)]


def test_what_a_trainer_leaves_is_a_path_each_also_while_it_trains(
    engine_python: Path, tmp_path: Path
) -> None:
    """Whole weights without a tokenizer, and adapters; watched while they are made, and run afterwards."""
    root = tmp_path / "runs"
    in_engine(engine_python, TRAIN, str(root), "start")
    study = tmp_path / "study.toml"
    pattern = root / "sft-s{seed}" / "checkpoint-{step}"
    study.write_text(
        STUDY.format(model=root / "base", pattern=pattern, more="seeds = [0, 1]\nsteps = [2, 4]")
    )
    watching = subprocess.Popen(
        [sys.executable, "-m", "capsafe_core.cli", "run", str(study), "--watch"],
        cwd=ROOT,
        env={
            **os.environ,
            "CAPSAFE_HOME": str(tmp_path / "watched"),
            "CAPSAFE_ENGINE_PYTHON": str(engine_python),
            "PYTHONPATH": str(ROOT),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        in_engine(engine_python, TRAIN, str(root), "train")
        said, _ = watching.communicate(timeout=600)
    finally:
        watching.kill()
    assert watching.returncode == 0, said[-2000:]
    done = command(tmp_path / "after", "run", str(study), CAPSAFE_ENGINE_PYTHON=str(engine_python))
    assert done.returncode == 0, done.stderr
    found = answers_of(tmp_path / "after")
    assert {(seed, step) for seed, step, *_ in found} == {(s, n) for s in (0, 1) for n in (0, 2, 4)}
    assert answers_of(tmp_path / "watched") == found
    check_by_hand(engine_python, root, found)
    with Store(None) as store:
        ingest_all(store, Settings(home=tmp_path / "after").jobs_path)
        measured = store.rows(
            "SELECT p.seed, p.step, m.metric, m.value FROM measurements AS m "
            "JOIN path_points AS p USING (checkpoint_id) WHERE m.metric = 'eval_accuracy' ORDER BY ALL"
        )
    assert measured == [(s, n, "eval_accuracy", 0.5) for s in (0, 1) for n in (2, 4)]


def test_a_training_script_runs_the_study_and_stops_at_the_goal(
    engine_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random model solves nothing, and a goal of 0 is reached by the first checkpoint."""
    root, study = tmp_path / "runs", tmp_path / "study.toml"
    in_engine(engine_python, TRAIN, str(root), "start")
    text = STUDY.format(model=root / "base", pattern=root / "sft-s{seed}" / "checkpoint-{step}", more="")
    study.write_text(
        text.replace('source = "imported"', 'source = "imported"\nbenchmark = "sums"').replace(
            "[primary]",
            """[[benchmarks]]
name = "sums"
source = "reasoning_gym:chain_sum"
size = 2
scorer = "number"
[[judges]]
name = "verifier"
[goals]
notes = 0.0
[primary]""",
        )
    )
    monkeypatch.setenv("CAPSAFE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CAPSAFE_ENGINE_PYTHON", str(engine_python))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    called = json.dumps([sys.executable, "-m", "capsafe_core.cli"])
    printed = in_engine(engine_python, CALLED, str(root), "train", str(study), called)
    assert printed.splitlines()[-1] == "2", printed
    assert {(seed, step) for seed, step, *_ in answers_of(tmp_path / "home")} == {(3, 0), (3, 2)}
