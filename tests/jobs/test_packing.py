import json
from pathlib import Path

import pytest

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Part, create_job, list_jobs
from capsafe_core.jobs.packing import pack_jobs, unpack_jobs
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.record_job import record_study
from capsafe_core.records import Attack
from tests.synthetic import STUDY, made_up_study


def test_a_packed_study_unpacks_to_the_same_records(tmp_path: Path) -> None:
    study, jobs = made_up_study(), tmp_path / "jobs"
    record_study(jobs, study, STUDY)
    record_study(jobs, study, STUDY)
    with pytest.raises(CapsafeError, match=r"not a job folder|not done"):
        pack_jobs(study, STUDY, jobs, tmp_path / "packed")
    for manifest in plan_study(study):
        with Part(create_job(jobs, manifest)) as part:
            part.write("x", [Attack(manifest.name, {})])
    assert pack_jobs(study, STUDY, jobs, tmp_path / "packed") == len(plan_study(study)) + 1
    unpack_jobs(tmp_path / "packed", tmp_path / "other")
    unpack_jobs(tmp_path / "packed", tmp_path / "other")
    before, after = (
        {j.job_id: list(j.records()) for j in list_jobs(root)} for root in (jobs, tmp_path / "other")
    )
    assert before == after
    assert all(job.state == "done" for job in list_jobs(tmp_path / "other"))
    assert json.loads((tmp_path / "packed" / "provenance.json").read_text())["study"] == "made-up"
