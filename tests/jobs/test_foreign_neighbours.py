"""Folders of a bundle that call themselves jobs of a study of this workspace change nothing that it does."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.jobs import new_run, own_checkpoints
from capsafe_core.jobs.folder import Job, Manifest, Part, create_job
from capsafe_core.jobs.folder.work import GenerateWork, ImportWork, JudgeWork, Source
from capsafe_core.jobs.foreign import mark_foreign
from capsafe_core.jobs.new_run import add_judge, planned
from capsafe_core.jobs.own_checkpoints import find_checkpoints
from capsafe_core.jobs.permission import permit, permit_all
from capsafe_core.jobs.record_job import record_study
from capsafe_core.jobs.supervisor import run_graph
from capsafe_core.places import ROOT
from capsafe_core.settings import Settings
from capsafe_core.study import JudgeSettings, parse_study
from capsafe_core.trainer_state import STATE, trained_steps
from capsafe_core.workspace.owner import close_owner
from tests.jobs.trained import STUDY, checkpoint, recipe
from tests.synthetic import STUDY as MADE_UP
from tests.synthetic import made_up_study


def foreign(root: Path, manifest: Manifest, state: str = "done") -> Job:
    job = create_job(root, manifest)
    job.path(0, "status.json").write_text(json.dumps({"state": state}))
    mark_foreign(job.folder, "gift.zip", ["gift"])
    return job


def test_no_checkpoint_of_somebody_else_is_answered_for(workspace: Settings, tmp_path: Path) -> None:
    """A job of the own study's name in a bundle put a model of its choice among the own checkpoints."""
    jobs = workspace.jobs_path
    checkpoint(tmp_path / "runs" / "checkpoint-10")
    text = STUDY.format(model="m", pattern=tmp_path / "runs" / "checkpoint-{step}", more="")
    study = parse_study(text)
    before = planned(jobs, study)
    one = next(m for m in before if m.kind == "generate" and "sft" in m.name)
    path = {**one.work["path"], "step": 20}
    for work in ({**one.work, "checkpoint": {"model": "/evil", "adapters": []}, "path": path}, {}):
        foreign(jobs, replace(one, work=work))
    assert planned(jobs, study) == before


def test_no_number_of_parts_of_somebody_else_is_planned_for(
    workspace: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each was tried: a thousand jobs of a bundle planned the own study a thousand times at every look."""
    for parts in range(2, 12):
        foreign(workspace.jobs_path, Manifest("generate", "x", {}, parts=parts))
    plans: list[int] = []
    plan = new_run.plan_study
    monkeypatch.setattr(
        new_run,
        "plan_study",
        lambda study, parts=1, **more: plans.append(parts) or plan(study, parts, **more),
    )
    planned(workspace.jobs_path, made_up_study())
    assert plans == [1]


def test_nothing_is_made_of_what_somebody_else_answered(workspace: Settings) -> None:
    """A folder that a bundle took counted as the answers of an own study: `--only judge` judged them."""
    jobs, study = workspace.jobs_path, made_up_study()
    record_study(jobs, study, MADE_UP)
    manifests = planned(jobs, study)
    answers = [m for m in manifests if m.kind == "generate"]
    judges = [m for m in manifests if m.kind == "judge"]
    for manifest in answers[:-1]:
        create_job(jobs, manifest)
    taken = foreign(jobs, answers[-1])
    assert taken.job_id in judges[0].after
    with pytest.raises(NotAllowedError, match="came from elsewhere"):
        permit(jobs / judges[0].job_id, judges[0], workspace)
    with pytest.raises(NotAllowedError, match="came from elsewhere"):
        run_graph(judges, jobs, lambda _: None, workspace)
    with pytest.raises(NotAllowedError, match="came from elsewhere"):
        permit_all(
            jobs, [add_judge(jobs, study, MADE_UP, JudgeSettings(name="prefix-zou")).manifest], workspace
        )


def test_no_import_of_somebody_else_is_judged_for_a_study_here(workspace: Settings) -> None:
    jobs, study = workspace.jobs_path, made_up_study()
    record_study(jobs, study, MADE_UP)
    work = ImportWork("made-up", "", (Source("table", "a.csv", "d", 1),))
    foreign(jobs, Manifest.of("gift", "gift-import", work))
    with pytest.raises(CapsafeError, match="no outputs in this workspace"):
        add_judge(jobs, study, MADE_UP, JudgeSettings(name="prefix-zou"))
    own = create_job(jobs, Manifest.of("made-up", "made-up-import", work))
    judged = add_judge(jobs, study, MADE_UP, JudgeSettings(name="prefix-zou")).manifest
    assert judged.asks(JudgeWork).generations == (own.job_id,)


def test_no_folder_that_a_study_of_somebody_else_names_is_looked_into(
    workspace: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening the Runs page looked for its pattern anywhere on the disk, and said what is there."""
    checkpoint(tmp_path / "runs" / "checkpoint-10", short=4)
    text = STUDY.format(model="m", pattern=tmp_path / "runs" / "checkpoint-{step}", more="")
    study = parse_study(text)
    with Part(create_job(workspace.jobs_path, Manifest("import", "own-study", {}, study="own"))) as part:
        part.write("study", [study.record(text, time.time())])
    mark_foreign(part.job.folder, "gift.zip", ["own"])
    looked: list[str] = []
    monkeypatch.setattr(own_checkpoints, "_fitting", lambda pattern: looked.append(pattern) or [])
    try:
        page = AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=60).run()
        page.switch_page(str(ROOT / "pages" / "runs.py")).run()
        assert not page.exception
        assert any("The study own came from elsewhere" in text.value for text in page.text)
    finally:
        close_owner()
    assert looked == []


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", STATE])
@pytest.mark.parametrize("kind", ["pipe", "device", "outside"])
def test_a_checkpoint_holds_regular_files(tmp_path: Path, name: str, kind: str) -> None:
    folder = checkpoint(tmp_path / "checkpoint-10")
    (folder / STATE).write_text('{"global_step": 10}')
    assert find_checkpoints(recipe(folder))[0].problem == ""
    outside = (folder / name).rename(tmp_path / "outside")
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to("/dev/zero" if kind == "device" else outside)
    [found] = find_checkpoints(recipe(folder.parent / "checkpoint-{step}"))
    if name == STATE:
        assert (found.problem, trained_steps(folder)) == ("", None)
    else:
        assert found.problem == f"{name} is not a regular file of its folder"


def test_what_comes_after_work_of_ones_own_runs(workspace: Settings) -> None:
    jobs, study = workspace.jobs_path, made_up_study()
    record_study(jobs, study, MADE_UP)
    permit_all(jobs, planned(jobs, study), workspace)
    assert GenerateWork.kind in {m.kind for m in planned(jobs, study)}
