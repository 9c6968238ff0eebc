"""What came from elsewhere runs only after a person has seen what it would use."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from capsafe_core import catalogue
from capsafe_core.benchmarks import load_training_pairs
from capsafe_core.cli import app
from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.jobs.folder import Manifest, Part, create_job, folder_beside, list_jobs
from capsafe_core.jobs.foreign import foreign_studies, is_foreign, mark_foreign
from capsafe_core.jobs.new_run import add_judge, missing_jobs, probe_job, queue_jobs
from capsafe_core.jobs.packing import unpack_bundle
from capsafe_core.jobs.permission import foreign_uses
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.record_job import record_study, recorded_study
from capsafe_core.jobs.supervisor import QUEUED, Queue, is_queued, run_graph, start_worker
from capsafe_core.records import digest_text
from capsafe_core.settings import Settings
from capsafe_core.study import JudgeSettings, Study, parse_study
from tests.jobs.gifts import app_runs, bundle_of, study_of
from tests.server import Seen, allowed

command = CliRunner()


@pytest.mark.usefixtures("workers_here")
def test_a_bundle_does_not_run_by_itself(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path
) -> None:
    """A worker that is started has done its work when the look at the folders is over."""
    study, text = study_of(attacker, private)
    forged = json.dumps({"source": "me", "studies": [], "brought": 0, "adopted_by": "you", "adopted": 1})
    asking = {
        QUEUED: "0",
        "stop": "",
        "foreign.json": forged,
        "part-000.lock": "",
        "part-000.log": "",
        "result.json": "{}",
    }
    unpacked = unpack_bundle(bundle_of(tmp_path / "gift.zip", study, text, asking), workspace.jobs_path)
    assert "Nothing of it runs until you adopt it" in unpacked.words
    jobs = list_jobs(workspace.jobs_path)
    assert len(jobs) == unpacked.jobs == 3
    assert all(is_foreign(job.folder) and not is_queued(job) and not job.stop_asked for job in jobs)
    app_runs(workspace)
    for job in jobs:  # somebody who asks without having been shown anything
        (job.folder / QUEUED).write_text("0")
    owner = app_runs(workspace)
    assert any("came from elsewhere" in str(problem) for problem in owner.problems)
    assert attacker.bodies == []
    assert all(job.status().state in ("waiting", "done") for job in jobs)


def ways_to_run(jobs_path: Path, study: Study, text: str) -> dict[str, Any]:
    """Every way in which a person or a page starts work on a study, without adopting it."""
    settings = Settings()
    jobs = list_jobs(jobs_path)
    generate = next(job for job in jobs if job.manifest.kind == "generate")
    return {
        "worker": lambda: start_worker(generate),
        "queue": lambda: Queue(settings).add(generate),
        "again": lambda: Queue(settings).restart(generate),
        "missing": lambda: queue_jobs(settings, plan_study(study)),
        "graph": lambda: run_graph(plan_study(study), jobs_path, lambda _: None, settings),
        "renamed plan": lambda: queue_jobs(
            settings, [Manifest("generate", f"{study.name}-other", generate.manifest.work)]
        ),
        "judge": lambda: add_judge(jobs_path, study, text, JudgeSettings(name="prefix-autodan")),
        "cost": lambda: probe_job(jobs_path, study),
    }


@pytest.mark.parametrize(
    "way", ["worker", "queue", "again", "missing", "graph", "renamed plan", "judge", "cost"]
)
def test_nothing_of_a_foreign_study_runs(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path, way: str
) -> None:
    study, text = study_of(attacker, private)
    unpack_bundle(bundle_of(tmp_path / "gift.zip", study, text), workspace.jobs_path)
    with (
        allowed(attacker.base_url, key="SOMEBODYS_SECRET"),
        pytest.raises(NotAllowedError, match="came from elsewhere"),
    ):
        ways_to_run(workspace.jobs_path, study, text)[way]()
    assert attacker.bodies == []
    assert not any(is_queued(job) for job in list_jobs(workspace.jobs_path))


@pytest.mark.parametrize(
    "arguments", [["cost", "gift"], ["judge", "gift", "prefix-autodan"], ["resume", "GENERATE"]]
)
def test_no_command_starts_a_program_that_a_foreign_study_names(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path, arguments: list[str]
) -> None:
    program, trace = tmp_path / "python", tmp_path / "it-ran"
    program.write_text(f"#!/bin/sh\ntouch {trace}\n")
    program.chmod(0o755)
    study, text = study_of(attacker, private, program)
    assert (
        command.invoke(app, ["unbundle", str(bundle_of(tmp_path / "gift.zip", study, text))]).exit_code == 0
    )
    generate = next(job for job in list_jobs(workspace.jobs_path) if job.manifest.kind == "generate")
    result = command.invoke(app, [generate.job_id if a == "GENERATE" else a for a in arguments])
    assert isinstance(result.exception, NotAllowedError)
    assert "capsafe adopt" in result.exception.hint
    assert not trace.exists()
    adopted = command.invoke(app, ["adopt", "gift"], input="y\n")
    assert adopted.exit_code == 0
    assert str(program) in adopted.output
    result = command.invoke(app, [generate.job_id if a == "GENERATE" else a for a in arguments])
    assert result.exit_code == 0 or isinstance(result.exception, CapsafeError)
    assert not trace.exists(), "adoption does not choose an interpreter: the workspace's settings do"
    assert attacker.bodies == [], "nor an address"


def test_an_adopted_study_runs_with_what_the_settings_allow(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path
) -> None:
    study, text = study_of(attacker, private)
    assert (
        command.invoke(app, ["unbundle", str(bundle_of(tmp_path / "gift.zip", study, text))]).exit_code == 0
    )
    refused = command.invoke(app, ["adopt", "gift"], input="n\n")
    assert refused.exit_code
    for said in (attacker.base_url, "SOMEBODYS_SECRET", str(private), "openai", "model-one"):
        assert said in refused.output, "a person sees all of it before saying yes"
    assert foreign_studies(workspace.jobs_path) == ["gift"]
    assert command.invoke(app, ["adopt", "gift", "--yes"]).exit_code == 0
    path = workspace.home / "gift.toml"
    path.write_text(text)
    result = command.invoke(app, ["run", str(path)])
    assert isinstance(result.exception, NotAllowedError)
    assert result.exception.hint.endswith(
        f"`capsafe allow server {attacker.base_url} --key SOMEBODYS_SECRET`."
    )
    wrong_key = ["allow", "server", attacker.base_url, "--key", "OTHER_KEY"]
    assert command.invoke(app, wrong_key).exit_code == 0
    assert isinstance(command.invoke(app, ["run", str(path)]).exception, NotAllowedError)
    assert attacker.bodies == []
    right_key = ["allow", "server", f"{attacker.base_url}/", "--key", "SOMEBODYS_SECRET"]
    assert command.invoke(app, right_key).exit_code == 0
    assert "SOMEBODYS_SECRET" in command.invoke(app, ["allow", "list"]).output
    result = command.invoke(app, ["run", str(path)])
    assert result.exit_code == 0, result.exception
    assert attacker.keys == ["Bearer hunter2"]


def test_nothing_that_a_foreign_study_names_is_opened_and_all_of_it_is_shown(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path
) -> None:
    _, text = study_of(attacker, private)
    pipe = tmp_path / "judge.toml"
    os.mkfifo(pipe)  # to open it is to wait for ever
    text = text.replace('name = "prefix-zou"', f'name = "own"\nfile = "{pipe}"').replace(
        '"prefix-zou"', '"own"'
    )
    study = parse_study(text)
    declared = Manifest("import", "gift-study", {"digest": digest_text(text)}, study="gift")
    engine = {"name": "openai", "base_url": attacker.base_url}
    named = [
        declared,
        Manifest("survey", "gift-look", {"roots": ["/home/somebody/logs"], "mapping": ""}),
        Manifest(
            "judge",
            "gift-spy",
            {"judge": "own", "model": "m", "engine": engine, "generations": ["generate-mine-1"]},
        ),
        Manifest(
            "judge",
            "gift-far",
            {"judge": "llama-guard-3", "model": None, "engine": engine, "generations": ["../elsewhere"]},
        ),
        Manifest(
            "generate",
            "gift-g",
            {
                "checkpoint": {"model": "m", "adapters": [{"job": "../else", "step": 1}]},
                "benchmarks": [],
                "engine": engine,
            },
        ),
    ]
    for manifest in named:
        job = create_job(workspace.jobs_path, manifest)
        mark_foreign(job.folder, "gift.zip", ["gift"])
    with Part(create_job(workspace.jobs_path, declared)) as part:
        part.write("study", [study.record(text, 1.0)])
    shown = "\n".join(foreign_uses(workspace.jobs_path, "gift").sentences)
    weights = catalogue.judges()["llama-guard-3"]["model"]
    for one in (
        str(pipe),
        "/home/somebody/logs",
        "generate-mine-1",
        "../elsewhere",
        "../else",
        weights,
        str(private),
        attacker.base_url,
    ):
        assert one in shown
    assert missing_jobs(workspace.jobs_path, study) == []
    with pytest.raises(CapsafeError, match="not opened"):
        plan_study(study)


def test_a_job_takes_nothing_from_outside_its_workspace(tmp_path: Path) -> None:
    for name in ("../x", "/x", "..", "", "a/b"):
        with pytest.raises(CapsafeError, match="not the name of a job"):
            folder_beside(tmp_path / "job", name)
        with pytest.raises(CapsafeError, match="not the name of one of this project"):
            load_training_pairs({"name": "d", "source": f"project:../../{name}"})
    assert folder_beside(tmp_path / "job", "other") == tmp_path / "other"


def test_a_text_made_from_a_foreign_one_stays_foreign(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path
) -> None:
    """An import into a study, or one more judge, declares a longer text; neither is made of a foreign
    study."""
    study, text = study_of(attacker, private)
    unpack_bundle(bundle_of(tmp_path / "gift.zip", study, text), workspace.jobs_path)
    logs = tmp_path / "logs.csv"
    logs.write_text("prompt,response,model\nhello,hi,some-model\n")
    before = recorded_study(workspace.jobs_path, "gift")[1]
    result = command.invoke(app, ["import", str(logs), "--name", "gift"])
    assert isinstance(result.exception, NotAllowedError)
    assert recorded_study(workspace.jobs_path, "gift")[1] == before
    record_study(
        workspace.jobs_path, study, text + "\n# mine\n"
    )  # whoever declares it by hand has not been shown it
    with pytest.raises(NotAllowedError):
        queue_jobs(Settings(), plan_study(study))
