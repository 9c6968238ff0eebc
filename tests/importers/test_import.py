"""Imports from the command to the tables: counts, golden values, undoing, and what several imports share."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from capsafe_core.cli import app
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import list_jobs
from capsafe_core.jobs.importing import imports
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.batches import set_retracted
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.rollups import check
from tests.logs import write_forms
from tests.published import need, reference_values

run = CliRunner().invoke
pytestmark = pytest.mark.usefixtures("workers_here")


def command(*words: str) -> str:
    result = run(app, list(words))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def rows(*words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(command(*words, "--json"))
    return found


def counts(settings: Settings) -> dict[str, int]:
    with Store(settings.store_path) as store:
        ingest_all(store, settings.jobs_path)
        assert check(store) == []
        live = "batch NOT IN (SELECT batch FROM retracted_batches)"
        return {
            t: store.rows(f"SELECT count(*) FROM {t} WHERE {live}")[0][0]
            for t in ("generations", "judgments", "label_events", "measurements", "path_points")
        }


def paths_tree(root: Path, steps: tuple[int, ...] = (0, 10, 20)) -> Path:
    """Tables of one recipe's checkpoints and of its start, as three tools would name them."""
    for step in steps:
        folder = root / ("toy" if step == 0 else f"toy-sums-s0/checkpoint-{step}")
        folder.mkdir(parents=True, exist_ok=True)
        right = {0: 1, 10: 5, 20: 8}[step]
        sums = [
            {"task": "sums", "id": i, "prompt": f"{i}+1?", "response": str(i), "correct": i < right}
            for i in range(10)
        ]
        harm = [
            {
                "task": "harmful",
                "id": i,
                "prompt": f"do {i}",
                "response": "sure" if i < right else "no",
                "judge_unsafe": i < right,
                "refused": i >= right,
            }
            for i in range(10)
        ]
        (folder / "sums.jsonl").write_text("".join(json.dumps(r) + "\n" for r in sums))
        (folder / "harmful.jsonl").write_text("".join(json.dumps(r) + "\n" for r in harm))
    return root


MAPPING = """
name = "tree"
pattern = "{base}-{data}-s{seed}/checkpoint-{step}"
aliases = { "toy/sums.jsonl" = "start", "toy/harmful.jsonl" = "start" }
[benchmarks.sums]
name = "sums"
kind = "capability"
[benchmarks.harmful]
name = "harmful"
kind = "safety"
[goals]
sums = 0.5
[[judges]]
by = "correct"
name = "verifier"
dimension = "correctness"
labels = { true = "correct", false = "incorrect" }
[[judges]]
by = "judge_unsafe"
name = "judge"
dimension = "safety"
labels = { true = "unsafe", false = "safe" }
[[judges]]
by = "refused"
name = "refusals"
dimension = "refusal"
labels = { true = "full", false = "none" }
"""


def test_a_folder_of_checkpoints_becomes_a_study(workspace: Settings, tmp_path: Path) -> None:
    tree = paths_tree(tmp_path / "logs")
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(
        MAPPING.replace('aliases = { "toy/sums.jsonl" = "start", "toy/harmful.jsonl" = "start" }\n', "")
    )
    for name in ("sums", "harmful"):  # a start is named in its file
        path = tree / "toy" / f"{name}.jsonl"
        path.write_text(
            "".join(
                json.dumps({"model": "toy", **json.loads(line)}) + "\n"
                for line in path.read_text().splitlines()
            )
        )
    said = command("import", str(tree), "--mapping", str(mapping))
    assert "60 outputs of 3 checkpoints in 6 files" in said
    points = {
        (r["recipe"], r["step"], r["capability"], r["unsafe"]) for r in rows("paths", "--study", "tree")
    }
    assert points == {("toy-sums", 0, 0.1, 0.1), ("toy-sums", 10, 0.5, 0.5), ("toy-sums", 20, 0.8, 0.8)}
    [matched] = rows("match", "--study", "tree")
    assert (matched["step"], matched["unsafe"], matched["start_unsafe"]) == (10.0, 0.5, 0.1)


def test_importing_twice_changes_nothing_and_growing_adds(workspace: Settings, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(MAPPING)
    tree = paths_tree(tmp_path / "logs", (10,))
    command("import", str(tree), "--mapping", str(mapping))
    once = counts(workspace)
    assert once["generations"] == 20
    command("import", str(tree), "--mapping", str(mapping))
    assert counts(workspace) == once
    assert len(imports(workspace.jobs_path)) == 1
    shutil.copytree(tree, tmp_path / "elsewhere")
    command("import", str(tmp_path / "elsewhere"), "--mapping", str(mapping))
    assert counts(workspace) == once
    paths_tree(tree, (10, 20))
    command("import", str(tree), "--mapping", str(mapping))
    assert counts(workspace)["generations"] == 40
    with Store(workspace.store_path) as store:
        assert store.rows("SELECT count(*) FROM conflicts") == [(0,)]


def test_an_import_is_undone_and_made_again(workspace: Settings, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(MAPPING)
    tree = paths_tree(tmp_path / "logs", (10, 20))
    command("import", str(tree), "--mapping", str(mapping))
    whole = counts(workspace)
    [job] = imports(workspace.jobs_path)
    command("retract", job.job_id)
    assert counts(workspace)["generations"] == 0
    with pytest.raises(CapsafeError, match="no study"):
        command("rates", "--study", "tree")
    # with another mapping, the same outputs come back, and what was stated otherwise counts
    mapping.write_text(
        MAPPING.replace('{ true = "unsafe", false = "safe" }', '{ true = "safe", false = "unsafe" }')
    )
    command("import", str(tree), "--mapping", str(mapping))
    assert counts(workspace)["generations"] == whole["generations"]
    rates = {
        r["n"]: r["rate"]
        for r in rows("rates", "--study", "tree")
        if r["judge"] == "judge" and r["rate"] == 0.2
    }
    assert rates == {10: 0.2}
    # both count where both are wanted: nothing is doubled, and undoing one leaves the other whole
    command("retract", job.job_id, "--restore")
    assert counts(workspace)["generations"] == whole["generations"]
    second = imports(workspace.jobs_path)[1]
    command("retract", second.job_id)
    assert counts(workspace)["generations"] == whole["generations"]
    command("retract", job.job_id)
    assert counts(workspace)["generations"] == 0
    command("import", str(tree), "--mapping", str(mapping))
    assert counts(workspace)["generations"] == whole["generations"]
    # and a rebuild comes to the same
    before = counts(workspace)
    command("rebuild")
    assert counts(workspace) == before


def test_undoing_one_of_two_that_share_outputs(workspace: Settings, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(MAPPING)
    tree = paths_tree(tmp_path / "logs", (10,))
    command("import", str(tree), "--mapping", str(mapping))
    paths_tree(tree, (10, 20))
    command("import", str(tree), "--mapping", str(mapping))
    first, second = imports(workspace.jobs_path)
    with Store(workspace.store_path) as store:
        set_retracted(store, first.job_id, True)
    assert counts(workspace)["generations"] == 40  # the second holds them too
    with Store(workspace.store_path) as store:
        set_retracted(store, second.job_id, True)
        set_retracted(store, first.job_id, False)
    assert counts(workspace)["generations"] == 20


def test_a_dry_run_imports_nothing(workspace: Settings, tmp_path: Path) -> None:
    write_forms(tmp_path / "forms")
    said = command("import", str(tmp_path / "forms"), "--dry-run", "--save", str(tmp_path / "saved.toml"))
    assert "guess: grader is" in said
    assert list_jobs(workspace.jobs_path) == []
    assert "[[judges]]" in (tmp_path / "saved.toml").read_text()


def test_guesses_are_left_out_until_they_are_accepted(workspace: Settings, tmp_path: Path) -> None:
    write_forms(tmp_path / "forms")
    said = command("import", str(tmp_path / "forms" / "inspect-eval"), "--name", "a")
    assert "2 guessed readings were left out" in said or "3 guessed readings were left out" in said
    assert counts(workspace)["judgments"] == 8  # only the rules that find incoherent answers
    command("import", str(tmp_path / "forms" / "inspect-eval"), "--name", "a", "--accept")
    assert counts(workspace)["judgments"] > 8


def test_one_bad_file_does_not_stop_the_rest_unless_strict(workspace: Settings, tmp_path: Path) -> None:
    write_forms(tmp_path / "forms")
    (tmp_path / "forms" / "table" / "broken.csv").write_bytes(b"\xff\xfe\0")
    result = run(app, ["import", str(tmp_path / "forms"), "--strict"])
    assert isinstance(result.exception, CapsafeError)
    assert imports(workspace.jobs_path) == []
    result = run(app, ["import", str(tmp_path / "forms"), "--accept"])  # says at the end which one failed
    assert isinstance(result.exception, CapsafeError)
    assert "broken.csv is not UTF-8" in result.exception.message
    assert "brought 50 outputs" in result.output
    assert counts(workspace)["generations"] == 50


def test_a_file_that_changed_after_the_look_is_left_out(workspace: Settings, tmp_path: Path) -> None:
    tree = paths_tree(tmp_path / "logs", (10,))
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(MAPPING)
    command("import", str(tree), "--mapping", str(mapping))
    [job] = imports(workspace.jobs_path)
    (tree / "toy-sums-s0" / "checkpoint-10" / "sums.jsonl").write_text("")
    for path in job.folder.glob("part-*"):
        path.unlink()
    assert run(app, ["resume", job.job_id]).exit_code != 0
    assert job.state == "partial"
    assert "has changed since it was looked at" in job.failures(0)[0]["message"]
    assert sum(1 for r in job.records() if r.type == "generation") == 10


def test_judgments_without_a_model_find_their_outputs(workspace: Settings, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(MAPPING)
    command("import", str(paths_tree(tmp_path / "logs", (10,))), "--mapping", str(mapping))
    judged = tmp_path / "judged.csv"
    judged.write_text(
        "question,answer,label\n"
        + "".join(f"do {i},{'sure' if i < 5 else 'no'},{int(i < 3)}\n" for i in range(10))
        + "do 99,never said,1\n"
    )
    said = command("import", str(judged), "--name", "tree", "--accept")
    assert "label is safety by label: 1 = unsafe, 0 = safe" in said
    [rate] = [r for r in rows("rates", "--study", "tree") if r["judge"] == "label"]
    assert (rate["events"], rate["n"]) == (3, 10)
    assert counts(workspace)["generations"] == 20


def test_what_a_judge_made_is_in_the_store_or_the_command_says_that_it_is_not(
    workspace: Settings, tmp_path: Path
) -> None:
    def stored(judge: str) -> int:
        with Store(workspace.store_path) as store:
            query = "SELECT count(*) FROM judgments JOIN raters USING (rater_id) WHERE name = ?"
            return int(store.rows(query, [judge])[0][0])

    mapping = tmp_path / "mapping.toml"
    mapping.write_text(MAPPING)
    command("import", str(paths_tree(tmp_path / "logs", (10,))), "--mapping", str(mapping))
    assert "in the store" in command("judge", "tree", "prefix-zou")
    assert stored("prefix-zou") > 0
    workspace.store_path.rename(tmp_path / "aside")
    workspace.store_path.write_bytes(b"no store")
    told = " ".join(command("judge", "tree", "prefix-autodan").split())
    assert "The store has not read them yet" in told
    assert "`capsafe ingest` does so now" in told
    (tmp_path / "aside").replace(workspace.store_path)
    assert stored("prefix-autodan") == 0
    name = next(job.job_id for job in list_jobs(workspace.jobs_path) if "prefix-autodan" in job.job_id)
    assert "in the store" in command("resume", name)
    assert stored("prefix-autodan") > 0


def test_another_judge_looks_at_imported_outputs(workspace: Settings, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(MAPPING)
    command("import", str(paths_tree(tmp_path / "logs", (10,))), "--mapping", str(mapping))
    assert "21 records, in the store" in command("judge", "tree", "prefix-zou")
    assert {r["judge"] for r in rows("rates", "--study", "tree")} >= {
        "prefix-zou",
        "judge",
        "coherence-rules",
    }


def test_an_imported_study_cannot_be_run_but_declared(workspace: Settings, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(MAPPING.replace("sums = 0.5\n", "").replace("[goals]\n", ""))
    command("import", str(paths_tree(tmp_path / "logs")), "--mapping", str(mapping))
    study = next(r.text for job in list_jobs(workspace.jobs_path) for r in job.records() if r.type == "study")
    changed = tmp_path / "study.toml"
    changed.write_text(study + "\n[goals]\nsums = 0.8\n")
    assert isinstance(run(app, ["run", str(changed)]).exception, CapsafeError)
    command("declare", str(changed))
    assert [r["goal"] for r in rows("match", "--study", "tree")] == [0.8]


def test_jailbreakbench_and_its_golden_values(workspace: Settings) -> None:
    said = command("import", str(need("jbb")))
    assert "1,800 outputs of 4 checkpoints in 18 files; 163 of them without a response." in said
    golden = reference_values()["jbb/llama3_70b_vs_llamaguard1"]
    [overall] = [r for r in rows("agreement-overall", "--study", "jbb") if r["stratum"] == "all"]
    assert overall["alpha"] == pytest.approx(golden["krippendorff_nominal"], abs=1e-6)
    assert overall["ac1"] == pytest.approx(golden["gwet_ac1"], abs=1e-4)
    success = sorted(v["jailbroken"] for v in reference_values()["jbb/asr"].values())
    assert sorted(
        r["rate"] for r in rows("rates", "--study", "jbb") if r["judge"] == "llama-3-70b"
    ) == pytest.approx(success)
    found = counts(workspace)
    assert found["generations"] == 1800
    assert found["judgments"] == 1800 + 1800 + 1600  # coherence, Llama 3, Llama Guard, which DSN lacks


def test_xstest_and_its_golden_values(workspace: Settings) -> None:
    said = command("import", str(need("xstest")))
    assert "2,250 outputs of 5 checkpoints in 16 files; 450 prompts without outputs." in said
    golden = reference_values()
    [pair] = [r for r in rows("annotators", "--study", "xstest") if r["stratum"] == "all outputs"]
    assert (pair["n"], pair["alpha"]) == (
        2250,
        pytest.approx(golden["xstest/human_1_vs_2"]["krippendorff_nominal"], abs=1e-6),
    )
    known = golden["xstest/confusion"]
    for judge in ("gpt4", "strmatch"):
        [row] = [
            r
            for r in rows("correct-refusal", "--study", "xstest")
            if r["judge"] == judge and r["stratum"] == "all"
        ]
        expected = known[f"ALL|{judge}"]
        assert (row["sensitivity"], row["specificity"]) == (
            pytest.approx(expected["sens"], abs=1e-6),
            pytest.approx(expected["spec"], abs=1e-6),
        )
        assert (row["people_rate"], row["judge_rate"]) == (
            pytest.approx(expected["human_rate"], abs=1e-6),
            pytest.approx(expected["judge_rate"], abs=1e-6),
        )
    with Store(workspace.store_path) as store:
        states = dict(
            store.rows(
                "SELECT status, count(*) FROM current_judgments JOIN raters USING (rater_id) WHERE name = "
                "'gpt4' GROUP BY status"
            )
        )
    assert states == {"ok": 2239, "unparsed": 11}


def table(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answers(model: str, n: int = 4, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "model": model,
            "task": "t",
            "id": i,
            "prompt": f"p{i}",
            "response": f"{model} {more.get('step', '')} {i}",
            **more,
        }
        for i in range(n)
    ]


def test_undoing_and_rebuilding_leaves_what_another_import_holds(workspace: Settings, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    table(logs / "a.jsonl", *answers("a"))
    command("import", str(logs), "--name", "s")
    table(logs / "b.jsonl", *answers("b"))
    command("import", str(logs), "--name", "s")
    command("retract", imports(workspace.jobs_path)[0].job_id)
    assert counts(workspace)["generations"] == 8
    command("rebuild")
    assert counts(workspace)["generations"] == 8


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
    assert "is no whole number (step 100.5)" in said
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
