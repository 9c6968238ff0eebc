"""What a launcher is given, and that the parts of all jobs are dealt out whatever the number of workers."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as some

from capsafe_core.jobs.folder import Job, Manifest
from capsafe_core.jobs.launching import Wanted, slurm_script
from capsafe_core.jobs.turns import Share
from capsafe_core.settings import ROOT, Settings
from capsafe_core.study import parse_study
from tests.commands import command
from tests.synthetic import STUDY

PARTS = some.lists(some.integers(1, 9), min_size=1, max_size=8)


@given(PARTS, some.integers(1, 9))
def test_every_part_of_every_job_is_one_workers(parts: list[int], workers: int) -> None:
    jobs = [Job(Path(str(place)), Manifest("judge", "made-up", {}, (), n)) for place, n in enumerate(parts)]
    dealt = [
        (place, part)
        for index in range(workers)
        for place, job in enumerate(jobs)
        for part in Share(index, workers).parts(job, place)
    ]
    assert sorted(dealt) == [(place, part) for place, n in enumerate(parts) for part in range(n)]
    for place, job in enumerate(jobs):
        shares = [len(Share(index, workers).parts(job, place)) for index in range(workers)]
        assert max(shares) - min(shares) <= 1


def test_the_script_is_a_script_that_names_its_worker_and_its_folders(workspace: Settings) -> None:
    study = workspace.home / "a study's file.toml"
    lines = slurm_script(parse_study(STUDY), study, workspace, Wanted(3, gpus=1)).splitlines()
    assert {"#SBATCH --ntasks=3", "#SBATCH --gpus-per-task=1", "#SBATCH --time=1440"} <= set(lines)
    assert f"export CAPSAFE_JOBS={workspace.jobs_path}" in lines
    worker = next(line for line in lines if line.startswith("srun ")).removesuffix(" || {")
    # Slurm's own launcher gives each task its number; the worker here only says what it was given
    launcher = 'srun() { shift; SLURM_PROCID=1 SLURM_NTASKS=3 "$@"; }\n'
    said = worker.replace("-m capsafe_core.cli", "-c import\\ sys\\;print\\(sys.argv[1:]\\)", 1)
    ran = subprocess.run(["bash", "-c", launcher + said], capture_output=True, text=True, check=False)
    assert ran.stdout == f"{['run', str(study), '--part', '2/3']}\n", ran.stderr


def test_what_cannot_be_launched_is_a_sentence(tmp_path: Path) -> None:
    shipped = str(ROOT / "data" / "demo" / "study.toml")
    other = command(tmp_path, "launch", shipped, "--on", "slurn", "--workers", "2")
    assert other.returncode == 2
    assert "slurm" in other.stderr
    printed = command(tmp_path, "launch", shipped, "--on", "slurm", "--workers", "2")
    assert printed.returncode == 0
    assert printed.stdout.startswith("#!/bin/bash\n#SBATCH --job-name=capsafe-small-steps\n")
    nowhere = command(
        tmp_path, "launch", shipped, "--on", "slurm", "--workers", "2", "--submit", PATH=str(tmp_path)
    )
    assert nowhere.returncode == 2
    assert "sbatch is not on this machine" in nowhere.stderr
