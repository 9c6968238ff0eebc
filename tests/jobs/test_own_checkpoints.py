"""Checkpoints that somebody else trained: which there are, and what a study of them comes to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs import own_checkpoints, watching
from capsafe_core.jobs.folder import list_jobs
from capsafe_core.jobs.folder.work import GenerateWork
from capsafe_core.jobs.new_run import planned
from capsafe_core.jobs.new_study import NewStudy
from capsafe_core.jobs.own_checkpoints import find_checkpoints, guess_checkpoints, require_whole
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.record_job import record_study
from capsafe_core.jobs.supervisor import is_queued
from capsafe_core.jobs.watching import queue_new, watch, watched_studies
from capsafe_core.people import Person
from capsafe_core.places import ROOT
from capsafe_core.settings import Settings
from capsafe_core.study import parse_study
from capsafe_core.workspace.owner import close_owner
from tests.jobs.trained import STUDY, checkpoint, places, recipe


@given(
    st.sampled_from(["checkpoint-", "step_", "global_step", "ckpt="]),
    st.sampled_from(["sft-s", "seed_", "run/seed=", "qwen2.5-7b-s"]),
    st.sets(st.tuples(st.integers(0, 50), st.integers(1, 10**6)), min_size=1, max_size=6),
    st.booleans(),
)
def test_seeds_and_steps_are_where_the_pattern_says(
    tmp_path_factory: pytest.TempPathFactory, step: str, seed: str, there: set[tuple[int, int]], adapter: bool
) -> None:
    root = tmp_path_factory.mktemp("runs")
    for s, n in there:
        checkpoint(root / f"{seed}{s}" / f"{step}{n}", adapter)
    (root / f"{seed}0" / "logs").mkdir(parents=True, exist_ok=True)
    pattern = root / f"{seed}{{seed}}" / f"{step}{{step}}"
    assert places(pattern) == sorted(there)
    assert guess_checkpoints(root) == str(pattern)
    one = min(n for _, n in there)
    assert places(pattern, steps=(one,)) == sorted(p for p in there if p[1] == one)
    found = find_checkpoints(recipe(pattern))
    assert {(c.is_adapter, c.base, c.problem) for c in found} == {(adapter, "base" if adapter else "", "")}


def test_a_list_of_folders_and_a_trainers_own_count(tmp_path: Path) -> None:
    checkpoint(tmp_path / "a" / "checkpoint-5")
    final = checkpoint(tmp_path / "a" / "final")
    (final / "trainer_state.json").write_text(json.dumps({"global_step": 12, "log_history": []}))
    assert places(tmp_path / "a" / "checkpoint-5", final) == [(0, 5), (0, 12)]
    (final / "trainer_state.json").unlink()
    with pytest.raises(CapsafeError, match="does not say which step it is"):
        places(tmp_path / "a" / "checkpoint-5", final)


def test_epochs_count_from_one(tmp_path: Path) -> None:
    for epoch in range(3):
        checkpoint(tmp_path / f"epoch_{epoch}", adapter=True)
    assert places(tmp_path / "epoch_{step}") == [(0, 1), (0, 2), (0, 3)]


def test_what_cannot_be_used_is_a_sentence_each(tmp_path: Path) -> None:
    checkpoint(tmp_path / "checkpoint-1")
    checkpoint(tmp_path / "checkpoint-2", short=4)
    checkpoint(tmp_path / "checkpoint-3", adapter=True, short=15)
    (tmp_path / "checkpoint-4").mkdir()
    (tmp_path / "checkpoint-4" / "config.json").write_text("{}")
    (tmp_path / "checkpoint-4" / "pytorch_model.bin").write_bytes(b"x")
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / "checkpoint-5" / "config.json").write_text('{"hidden')
    broken = checkpoint(tmp_path / "checkpoint-6")
    (broken / "model.safetensors").write_bytes(b"\xff" * 40)
    index = checkpoint(tmp_path / "checkpoint-7")
    (index / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"w": "model-2.safetensors"}})
    )
    made = recipe(tmp_path / "checkpoint-{step}")
    problems = {one.step: one.problem for one in find_checkpoints(made)}
    assert problems[1] == ""
    assert "half written" in problems[2]
    assert "half written" in problems[3]
    assert "pickled" in problems[4]
    assert "config.json is half written" in problems[5]
    assert "half written" in problems[6]
    assert "model-2.safetensors" in problems[7]
    with pytest.raises(CapsafeError) as error:
        require_whole(made, find_checkpoints(made))
    assert all(f"checkpoint-{n}: " in error.value.message for n in range(2, 8))
    with pytest.raises(CapsafeError, match="There is no step 9"):
        require_whole(
            recipe(tmp_path / "checkpoint-1", steps=(1, 9)),
            find_checkpoints(recipe(tmp_path / "checkpoint-1")),
        )


@given(st.integers(0, 200))
def test_a_file_of_any_other_length_is_half_written(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    folder = checkpoint(tmp_path_factory.mktemp("cut") / "checkpoint-1")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes((whole + b"\0" * 200)[:length])
    (found,) = find_checkpoints(recipe(folder))
    assert (found.problem == "") == (length == len(whole))


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("nowhere/checkpoint-{step}", "no folder fits"),
        ("{model}/checkpoint-{step}", "names {model}"),
        ("{step}/{step}", "something twice"),
        ("*/checkpoint-{step}", "are both seed 0, step 1"),
    ],
)
def test_patterns_that_say_nothing_or_too_much(tmp_path: Path, pattern: str, words: str) -> None:
    checkpoint(tmp_path / "a" / "checkpoint-1")
    checkpoint(tmp_path / "b" / "checkpoint-1")
    with pytest.raises(CapsafeError) as error:
        places(tmp_path / pattern)
    assert words in error.value.message


def test_a_pattern_looks_at_so_many_folders_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/*/*/*/{step}` looked through every disk, 90 s at a time, and stopped at what it may not open."""
    for i in range(8):
        checkpoint(tmp_path / f"run-{i}" / "checkpoint-1")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert places(tmp_path / "*-{seed}" / "checkpoint-{step}") == [(i, 1) for i in range(8)]
    monkeypatch.setattr(own_checkpoints, "MOST_LOOKED_AT", 16)
    with pytest.raises(CapsafeError, match="more than 16 files and folders"):
        places(*[Path(tmp_path, *["*"] * 5, "checkpoint-{step}")])


def test_a_start_whose_checkpoints_are_not_there_yet_is_a_sentence(tmp_path: Path) -> None:
    checkpoint(tmp_path / "checkpoint-10", short=4)
    text = STUDY.format(model="m", pattern=tmp_path / "checkpoint-{step}", more="")
    later = text.replace("[[datasets]]", '[[starts]]\nname = "next"\nrecipe = "sft"\n[[datasets]]')
    with pytest.raises(CapsafeError, match="'next' is a checkpoint of 'sft', and none"):
        plan_study(parse_study(later))


def test_a_checkpoint_that_comes_later_changes_no_job(tmp_path: Path) -> None:
    """Each has a job of its own, and each judge looks at each; those that are gone stay planned."""
    pattern = tmp_path / "runs" / "s{seed}" / "checkpoint-{step}"
    study = parse_study(STUDY.format(model="m", pattern=pattern, more=""))
    with pytest.raises(CapsafeError, match="no folder fits"):
        plan_study(study)
    assert [m.kind for m in planned(tmp_path / "jobs", study, awaited=True)] == ["generate", "judge", "judge"]
    checkpoint(tmp_path / "runs" / "s1" / "checkpoint-10", adapter=True)
    before = {m.job_id for m in plan_study(study)}
    assert len(before) == 2 * 3
    checkpoint(tmp_path / "runs" / "s1" / "checkpoint-20")
    checkpoint(tmp_path / "runs" / "s2" / "checkpoint-10", adapter=True, short=1)
    after = plan_study(study)
    assert len({m.job_id for m in after} - before) == 3
    assert before < {m.job_id for m in after}
    full = next(m.asks(GenerateWork) for m in after if "s1-20" in m.job_id)
    (source,) = full.all_checkpoints
    assert (source.model, source.adapters, source.tokenizer) == (
        str(tmp_path / "runs" / "s1" / "checkpoint-20"),
        (),
        "m",
    )


@pytest.mark.parametrize(("seeds", "passes"), [("", 2), ("seeds = [1, 2]", 3)])
def test_a_watch_ends_with_the_last_step_of_the_seeds_that_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: str, passes: int
) -> None:
    """One seed has its steps after the first pass; the other one, where it is named, after the second."""
    pattern = tmp_path / "runs" / "s{seed}" / "checkpoint-{step}"
    study = parse_study(STUDY.format(model="m", pattern=pattern, more=f"steps = [5]\n{seeds}"))
    monkeypatch.setattr(watching, "PERIOD", 0.0)
    seen: list[int] = []

    def go() -> bool:
        checkpoint(tmp_path / "runs" / f"s{len(seen) + 1}" / "checkpoint-5")
        seen.append(len(planned(tmp_path / "jobs", study, awaited=True)))
        return True

    assert watching.watch_over(study, tmp_path / "jobs", go)
    assert len(seen) == passes


def test_the_app_queues_what_appears_in_watched_folders(workspace: Settings, tmp_path: Path) -> None:
    pattern = tmp_path / "runs" / "checkpoint-{step}"
    text = STUDY.format(model="m", pattern=pattern, more="")
    record_study(workspace.jobs_path, parse_study(text), text)
    checkpoint(tmp_path / "runs" / "checkpoint-1")
    assert queue_new(workspace) == []
    assert len(list_jobs(workspace.jobs_path)) == 1  # nobody watches it
    watch(workspace, "own", True)
    assert watched_studies(workspace) == {"own"}
    assert queue_new(workspace) == []
    first = {job.job_id for job in list_jobs(workspace.jobs_path)}
    assert len(first) == 1 + 6
    checkpoint(tmp_path / "runs" / "checkpoint-2", short=1)
    assert queue_new(workspace) == []
    assert {job.job_id for job in list_jobs(workspace.jobs_path)} == first
    checkpoint(tmp_path / "runs" / "checkpoint-2")
    assert queue_new(workspace) == []
    assert len(list_jobs(workspace.jobs_path)) == 1 + 9
    assert all(is_queued(job) for job in list_jobs(workspace.jobs_path) if job.manifest.kind != "import")
    watch(workspace, "own", False)
    checkpoint(tmp_path / "runs" / "checkpoint-3")
    assert queue_new(workspace) == []
    assert len(list_jobs(workspace.jobs_path)) == 1 + 9
    (workspace.home / "watching.json").write_text('["nobody"]')
    (problem,) = queue_new(workspace)
    assert "nobody is watched" in problem.message


def test_a_run_over_a_folder_finds_the_pattern_and_shows_what_is_there(
    workspace: Settings, tmp_path: Path
) -> None:
    for seed, step in ((0, 10), (0, 20), (1, 10)):
        checkpoint(tmp_path / "runs" / f"sft-s{seed}" / f"checkpoint-{step}", adapter=True)
    checkpoint(tmp_path / "runs" / "sft-s1" / "checkpoint-20", short=1)
    test = AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=60)
    test.session_state["person"] = Person("Ada")
    test.run().switch_page(str(ROOT / "pages" / "runs.py")).run()
    test.segmented_control[0].set_value("elsewhere").run()
    folder = next(t for t in test.text_input if t.label == "Folder of the training")
    folder.set_value(str(tmp_path / "runs")).run()
    assert not test.exception
    pattern = next(t for t in test.text_input if t.label == "Where they are")
    assert pattern.value == str(tmp_path / "runs" / "sft-s{seed}" / "checkpoint-{step}")
    assert any("3 of 4 checkpoints can be used" in t.value for t in test.text)
    run = NewStudy("m", ("direct-requests",), ("prefix-zou", "coherence-rules"), checkpoints=pattern.value)
    (recipe_made,) = parse_study(run.text("run")).recipes
    assert recipe_made.folders == (pattern.value,)
    close_owner()
