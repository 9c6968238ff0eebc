"""What tables say of models, adapters, steps and answers, once it is in the store."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest

from capsafe_core.cli import app
from capsafe_core.errors import CapsafeError
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from tests.importers.importing import answers, command, counts, rows, run, table


def test_an_adapter_is_not_its_base_model(workspace: Settings, tmp_path: Path) -> None:
    for folder, arguments in (
        ("base", "pretrained=org/m"),
        ("a", "pretrained=org/m,peft=out/lora/checkpoint-100"),
        ("b", "pretrained=org/m,peft=out/other"),
    ):
        (tmp_path / "logs" / folder).mkdir(parents=True)
        results = {
            "results": {"gsm": {"exact_match,none": 0.5}},
            "config": {"model_args": arguments},
            "versions": {},
            "n-samples": {"gsm": {"effective": 4}},
        }
        (tmp_path / "logs" / folder / "results_1.json").write_text(json.dumps(results))
    said = command("import", str(tmp_path / "logs"))
    assert "lora s0 step 100" in said
    assert "org/m + out/other" in said
    with Store(workspace.store_path) as store:
        assert store.rows("SELECT count(DISTINCT checkpoint_id) FROM measurements") == [(3,)]


def test_a_step_that_is_no_number_is_nobodys_base_model(workspace: Settings, tmp_path: Path) -> None:
    table(
        tmp_path / "logs" / "a.jsonl",
        *answers("m", step="100.5"),
        *answers("m", step="1e3", recipe="r"),
        *answers("m", step="step-300", recipe="r"),
    )
    said = command("import", str(tmp_path / "logs"), "--name", "s")
    assert "is not a whole number (step 100.5)" in said
    assert counts(workspace)["generations"] == 8
    assert {(r["step"]) for r in rows("paths", "--study", "s") if r["step"]} <= {1000, 300}


def test_studies_do_not_share_checkpoints_that_are_only_names(workspace: Settings, tmp_path: Path) -> None:
    for study in ("one", "two"):
        table(
            tmp_path / study / "a.jsonl",
            *[{**row, "response": f"{study} says {i}"} for i, row in enumerate(answers("m"))],
        )
        command("import", str(tmp_path / study))
    assert {r["answer"][:3] for r in rows("outputs", "--study", "two")} == {"two"}
    assert counts(workspace)["generations"] == 8


def test_what_was_said_of_another_answer_is_not_said_of_the_one_that_is_kept(
    workspace: Settings, tmp_path: Path
) -> None:
    for name, words, verdict in (
        ("first", "good", "safe"),
        ("second", "bad", "unsafe"),
    ):  # also where it stands in another file
        table(
            tmp_path / "files" / f"{name}.jsonl",
            *[{**row, "response": words, f"judge_{name}": verdict} for row in answers("n")],
        )
    said = command("import", str(tmp_path / "files"), "--name", "neither", "--accept")
    assert "4 things are said differently" in said  # no order of names decides
    assert {r["judge"] for r in rows("rates", "--study", "neither")} == set()
    command("import", str(tmp_path / "files"), "--name", "files", "--accept", "--conflicts", "first")
    assert {r["judge"] for r in rows("rates", "--study", "files")} == {"judge_first", "coherence-rules"}
    good = [
        {
            "model": "m",
            "task": "t",
            "id": i,
            "sample": 0,
            "prompt": f"p{i}",
            "response": "good",
            "judge": "a",
            "verdict": "safe",
        }
        for i in range(3)
    ]
    bad = [{**row, "response": "bad", "judge": "b", "verdict": "unsafe"} for row in good]
    table(tmp_path / "logs" / "a.jsonl", *good, *bad)
    said = command("import", str(tmp_path / "logs"), "--name", "s", "--accept", "--conflicts", "first")
    assert "'0' of t by m is answered differently" in said
    assert {r["judge"] for r in rows("rates", "--study", "s")} == {"a", "coherence-rules"}


def test_a_long_table_with_several_answers_a_prompt(workspace: Settings, tmp_path: Path) -> None:
    long = [
        {
            "model": "m",
            "task": "t",
            "id": 1,
            "prompt": "p",
            "response": f"r{k}",
            "judge": j,
            "verdict": "safe",
        }
        for k in range(5)
        for j in ("a", "b")
    ]
    table(tmp_path / "logs" / "a.jsonl", *long)
    command("import", str(tmp_path / "logs"), "--name", "s", "--accept")
    found = counts(workspace)
    assert (found["generations"], found["judgments"]) == (5, 10 + 5)


@pytest.mark.parametrize("start_first", [True, False])
def test_paths_begin_at_their_start_in_whatever_order_they_come(
    workspace: Settings, tmp_path: Path, start_first: bool
) -> None:
    pattern = "{base}-{data}-s{seed}/checkpoint-{step}"
    start = table(tmp_path / "start" / "base.jsonl", *answers("qwen"))
    tuned = tmp_path / "tuned"
    for seed, step in ((0, 10), (1, 10)):
        table(
            tuned / f"qwen-chat-s{seed}" / f"checkpoint-{step}" / "a.jsonl",
            *[
                {k: v for k, v in row.items() if k != "model"} | {"response": f"s{seed}"}
                for row in answers("x")
            ],
        )
    for source in (start, tuned) if start_first else (tuned, start):
        command("import", str(source), "--name", "s", "--pattern", pattern)
    table(
        tuned / "qwen-chat-s0" / "checkpoint-20" / "a.jsonl",
        *[{k: v for k, v in row.items() if k != "model"} for row in answers("y")],
    )
    command("import", str(tuned), "--name", "s", "--pattern", pattern)
    with Store(workspace.store_path) as store:
        ingest_all(store, workspace.jobs_path)
        points = store.rows(
            "SELECT DISTINCT recipe, seed, step FROM path_points WHERE recipe = 'qwen-chat' ORDER BY ALL"
        )
        study = store.rows("SELECT arg_max(text, declared) FROM studies")[0][0]
    assert points == [
        ("qwen-chat", 0, 0),
        ("qwen-chat", 0, 10),
        ("qwen-chat", 0, 20),
        ("qwen-chat", 1, 0),
        ("qwen-chat", 1, 10),
    ]
    assert "steps = [10, 20]" in study
    assert [r["seeds"] for r in tomllib.loads(study)["recipes"]] == [[0, 1]]


def test_step_zero_of_several_recipes_is_one_checkpoint(workspace: Settings, tmp_path: Path) -> None:
    rows_ = [
        row
        for recipe in ("lora", "full")
        for step in (0, 100)
        for row in answers("llama", base="llama", recipe=recipe, seed=0, step=step)
    ]
    table(
        tmp_path / "logs" / "a.jsonl",
        *[{**row, "response": f"{row['recipe'] if row['step'] else 'start'} {row['id']}"} for row in rows_],
    )
    said = command("import", str(tmp_path / "logs"), "--name", "s")
    assert "12 outputs of 3 checkpoints" in said
    assert counts(workspace)["generations"] == 12
    with Store(workspace.store_path) as store:
        assert store.rows(
            "SELECT count(*) FROM path_points WHERE step = 0 AND recipe IN ('lora', 'full')"
        ) == [(2,)]


def test_verdicts_that_came_before_their_outputs_join_later(workspace: Settings, tmp_path: Path) -> None:
    judged = tmp_path / "judged.csv"
    judged.write_text("question,answer,is_safe\n" + "".join(f"p{i},m  {i},{i % 2 == 0}\n" for i in range(4)))
    command("import", str(table(tmp_path / "other.jsonl", *answers("other"))), "--name", "s")
    command("import", str(judged), "--name", "s", "--accept")
    command("import", str(table(tmp_path / "a.jsonl", *answers("m"))), "--name", "s")
    said = command("import", str(judged), "--name", "s", "--accept")
    assert "guess: is_safe is safety by is_safe: true = safe, false = unsafe" in said
    assert "brought 4 judgments" in said
    [rate] = [r for r in rows("rates", "--study", "s") if r["judge"] == "is_safe"]
    assert (rate["events"], rate["n"]) == (2, 4)


def test_fields_that_begin_later_in_a_table(workspace: Settings, tmp_path: Path) -> None:
    first, *rest = answers("m")
    table(tmp_path / "a.jsonl", first, *[{**row, "judge_unsafe": True} for row in rest])
    command("import", str(tmp_path / "a.jsonl"), "--name", "s", "--accept")
    [rate] = [r for r in rows("rates", "--study", "s") if r["judge"] == "judge_unsafe"]
    assert rate["n"] == 3


def test_what_the_user_names_wrongly_is_a_sentence(workspace: Settings, tmp_path: Path) -> None:
    log = str(table(tmp_path / "a.jsonl", *answers("m")))
    for words in (
        ["--mapping", str(tmp_path / "none.toml")],
        ["--save", str(tmp_path / "none" / "x.toml")],
        ["--pattern", "{nothing}"],
    ):
        assert isinstance(run(app, ["import", log, "--name", "s", *words]).exception, CapsafeError)
    os.mkfifo(tmp_path / "pipe.jsonl")
    result = run(app, ["import", str(tmp_path / "pipe.jsonl"), "--name", "s"])
    assert isinstance(result.exception, CapsafeError)


def test_people_in_a_table(workspace: Settings, tmp_path: Path) -> None:
    table(
        tmp_path / "a.jsonl",
        *[{**row, "ann_says": "unsafe" if row["id"] else "safe"} for row in answers("m")],
    )
    mapping = tmp_path / "m.toml"
    mapping.write_text(
        'name = "s"\n[[judges]]\nby = "ann_says"\nname = "Ann"\nperson = true\ndimension = "safety"\nlabels '
        '= { safe = "safe", unsafe = "unsafe" }\n'
    )
    command("import", str(tmp_path / "a.jsonl"), "--mapping", str(mapping))
    assert counts(workspace)["label_events"] == 4
