"""Imports from the command to the tables: counts, golden values, undoing, and what several imports share."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from capsafe_core.cli import app, do
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import list_jobs
from capsafe_core.jobs.importing import imports
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all, set_retracted
from capsafe_core.store.rollups import check
from tests.logs import write_forms
from tests.published import need, reference_values

run = CliRunner().invoke


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
        return {t: store.rows(f"SELECT count(*) FROM {t} WHERE {live}")[0][0] for t in ("generations", "judgments", "label_events", "measurements", "path_points")}


def paths_tree(root: Path, steps: tuple[int, ...] = (0, 10, 20)) -> Path:
    """Tables of one recipe's checkpoints and of its start, as three tools would name them."""
    for step in steps:
        folder = root / ("toy" if step == 0 else f"toy-sums-s0/checkpoint-{step}")
        folder.mkdir(parents=True, exist_ok=True)
        right = {0: 1, 10: 5, 20: 8}[step]
        sums = [{"task": "sums", "id": i, "prompt": f"{i}+1?", "response": str(i), "correct": i < right} for i in range(10)]
        harm = [{"task": "harmful", "id": i, "prompt": f"do {i}", "response": "sure" if i < right else "no", "judge_unsafe": i < right, "refused": i >= right} for i in range(10)]
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
    mapping.write_text(MAPPING.replace('aliases = { "toy/sums.jsonl" = "start", "toy/harmful.jsonl" = "start" }\n', ""))
    for name in ("sums", "harmful"):  # a start is named in its file
        path = tree / "toy" / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"model": "toy", **json.loads(line)}) + "\n" for line in path.read_text().splitlines()))
    said = command("import", str(tree), "--mapping", str(mapping))
    assert "60 outputs of 3 checkpoints in 6 files" in said
    points = {(r["recipe"], r["step"], r["capability"], r["unsafe"]) for r in rows("paths", "--study", "tree")}
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
    mapping.write_text(MAPPING.replace('{ true = "unsafe", false = "safe" }', '{ true = "safe", false = "unsafe" }'))
    command("import", str(tree), "--mapping", str(mapping))
    assert counts(workspace)["generations"] == whole["generations"]
    rates = {r["n"]: r["rate"] for r in rows("rates", "--study", "tree") if r["judge"] == "judge" and r["rate"] == 0.2}
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
    said = command("import", str(tmp_path / "forms"), "--accept")
    assert "broken.csv" in said
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
    judged.write_text("question,answer,label\n" + "".join(f"do {i},{'sure' if i < 5 else 'no'},{int(i < 3)}\n" for i in range(10)) + "do 99,never said,1\n")
    said = command("import", str(judged), "--name", "tree", "--accept")
    assert "label is safety by label: 1 = unsafe, 0 = safe" in said
    [rate] = [r for r in rows("rates", "--study", "tree") if r["judge"] == "label"]
    assert (rate["events"], rate["n"]) == (3, 10)
    assert counts(workspace)["generations"] == 20


def test_another_judge_looks_at_imported_outputs(workspace: Settings, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(MAPPING)
    command("import", str(paths_tree(tmp_path / "logs", (10,))), "--mapping", str(mapping))
    command("judge", "tree", "prefix-zou")
    do(workspace, "look")
    assert {r["judge"] for r in rows("rates", "--study", "tree")} >= {"prefix-zou", "judge", "coherence-rules"}


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
    assert sorted(r["rate"] for r in rows("rates", "--study", "jbb") if r["judge"] == "llama-3-70b") == pytest.approx(success)
    found = counts(workspace)
    assert found["generations"] == 1800
    assert found["judgments"] == 1800 + 1800 + 1600  # coherence, Llama 3, Llama Guard, which DSN lacks


def test_xstest_and_its_golden_values(workspace: Settings) -> None:
    said = command("import", str(need("xstest")))
    assert "2,250 outputs of 5 checkpoints in 16 files; 450 prompts without outputs." in said
    golden = reference_values()
    [pair] = [r for r in rows("annotators", "--study", "xstest") if r["stratum"] == "all outputs"]
    assert (pair["n"], pair["alpha"]) == (2250, pytest.approx(golden["xstest/human_1_vs_2"]["krippendorff_nominal"], abs=1e-6))
    known = golden["xstest/confusion"]
    for judge in ("gpt4", "strmatch"):
        [row] = [r for r in rows("correct-refusal", "--study", "xstest") if r["judge"] == judge and r["stratum"] == "all"]
        expected = known[f"ALL|{judge}"]
        assert (row["sensitivity"], row["specificity"]) == (pytest.approx(expected["sens"], abs=1e-6), pytest.approx(expected["spec"], abs=1e-6))
        assert (row["people_rate"], row["judge_rate"]) == (pytest.approx(expected["human_rate"], abs=1e-6), pytest.approx(expected["judge_rate"], abs=1e-6))
    with Store(workspace.store_path) as store:
        states = dict(store.rows("SELECT status, count(*) FROM current_judgments JOIN raters USING (rater_id) WHERE name = 'gpt4' GROUP BY status"))
    assert states == {"ok": 2239, "unparsed": 11}
