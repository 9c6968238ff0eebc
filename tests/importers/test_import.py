"""Imports from the look at a folder to the store, undone and made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from capsafe_core.cli import app
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import list_jobs
from capsafe_core.jobs.importing import imports
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.batches import set_retracted
from tests.importers.importing import MAPPING, answers, command, counts, paths_tree, rows, run, table
from tests.logs import write_forms

pytestmark = pytest.mark.usefixtures("workers_here")


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
    assert counts(workspace)["judgments"] == 8  # only the rules that find incoherent responses
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
