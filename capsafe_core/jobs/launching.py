"""A study on a cluster: what its launcher is given, so that workers share the work over one jobs folder."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from capsafe_core.errors import CapsafeError
from capsafe_core.settings import Settings
from capsafe_core.study import Study

LAUNCHERS = ("slurm",)
RESTARTS = 3
"""how often workers of which one was killed begin again"""
PATIENCE = 60.0
"""seconds in which a launcher has to take a job"""


@dataclass(frozen=True)
class Wanted:
    """What each worker of a study is to have.

    Attributes:
        workers: how many there are.
        gpus: of each.
        minutes: after which the launcher ends them; what is done by then stays done.
    """

    workers: int
    gpus: int = 0
    minutes: int = 24 * 60


def slurm_script(study: Study, path: Path, settings: Settings, wanted: Wanted) -> str:
    """A batch script for Slurm.

    Its workers start together and not as an array: one that waits for the parts of another would hold the
    place that the other waits for. Where a worker is killed or a node dies, all begin again at what is not
    done, up to RESTARTS times; one that ends with a sentence leaves the others at work.
    """
    variables = {"CAPSAFE_HOME": settings.home, "CAPSAFE_JOBS": settings.jobs_path}
    worker = shlex.join([sys.executable, "-m", "capsafe_core.cli", "run", str(path.absolute())])
    return "\n".join(
        [
            "#!/bin/bash",
            f"#SBATCH --job-name={shlex.quote(f'capsafe-{study.name}')}",
            f"#SBATCH --ntasks={wanted.workers}",
            *([f"#SBATCH --gpus-per-task={wanted.gpus}"] if wanted.gpus else []),
            f"#SBATCH --time={wanted.minutes}",
            "#SBATCH --requeue",
            *(f"export {name}={shlex.quote(str(folder.absolute()))}" for name, folder in variables.items()),
            f"srun --kill-on-bad-exit=1 bash -c {shlex.quote(worker + _AS_TOLD)} || {{",
            f'  [ "${{SLURM_RESTART_COUNT:-0}}" -lt {RESTARTS} ] && scontrol requeue "$SLURM_JOB_ID"',
            "  exit 1",
            "}",
            f"{worker} --limit 0  # says whether everything is done",
            "",
        ]
    )


_AS_TOLD = ' --part "$((SLURM_PROCID + 1))/$SLURM_NTASKS"; [ $? -lt 128 ]'
"""Slurm tells each task which of how many it is; a status of 128 or more is a signal's"""


def submit_to_slurm(script: str, folder: Path) -> str:
    """Hand a batch script to Slurm; what is printed lies in `folder`.

    Returns:
        The number of Slurm's job.

    Raises:
        CapsafeError: Slurm is not here, or does not take it.
    """
    if shutil.which("sbatch") is None:
        raise CapsafeError(
            "Slurm's sbatch is not on this machine.",
            "Leave --submit out, and hand what is printed to sbatch on a machine that has it.",
        )
    try:
        ended = subprocess.run(
            ["sbatch", "--parsable", f"--output={folder.absolute()}/slurm-%j.out"],
            input=script,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CapsafeError("Slurm does not answer.", "`sinfo` says how it is.") from error
    if ended.returncode:
        raise CapsafeError(
            f"Slurm does not take it: {ended.stderr.strip() or 'it does not say why'}.",
            "Print the script, without --submit, and change what it asks for.",
        )
    return ended.stdout.strip().partition(";")[0]
