"""Judges asked about coherent answers that are broken on purpose: which jobs that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from capsafe_core import catalogue
from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.jobs.folder import Job, Manifest
from capsafe_core.jobs.folder.work import JudgeWork, StressWork
from capsafe_core.jobs.foreign import own_job
from capsafe_core.jobs.new_run import outputs_of
from capsafe_core.jobs.own_judges import read_own_judge
from capsafe_core.jobs.plan import plan_judge
from capsafe_core.study import JudgeSettings, Study


def stress_jobs(root: Path, study: Study, names: Sequence[str], answers: int) -> list[Job]:
    """A job for each judge of a study that says something of harmful requests.

    Args:
        names: of the judges; none for all.
        answers: coherent ones of each of a judge's verdicts.

    Returns:
        The jobs, not started yet.

    Raises:
        CapsafeError: the study has no outputs here, or a judge says nothing of harmful requests.
    """
    generations = outputs_of(root, study)
    known = {judge.name: judge for judge in study.judges if not judge.recorded and _says_safety(judge)}
    for name in names:
        if name not in known:
            raise UnknownNameError(
                "judge of harmful requests", name, known, "Recorded verdicts stay as they are."
            )
    if not known:
        raise CapsafeError(
            f"No judge of the study {study.name!r} can be asked again about harmful requests.",
            "`capsafe judge` adds one.",
        )
    chosen = [judge for name, judge in known.items() if not names or name in names]
    return [own_job(root, _planned(study, judge, generations, answers)) for judge in chosen]


def _says_safety(judge: JudgeSettings) -> bool:
    entry = read_own_judge(judge.file) if judge.file else catalogue.judges()[judge.name]
    return bool({"safety", "refusal"} & set(entry.get("dimensions", ())))


def _planned(study: Study, judge: JudgeSettings, generations: Sequence[str], answers: int) -> Manifest:
    looks = plan_judge(study, judge, generations)
    work = StressWork(**structs.asdict(looks.asks(JudgeWork)), answers=answers)
    job = Manifest.of(study.name, f"{looks.name}-stress", work, looks.after)
    return replace(job, python=looks.python, code_version=looks.code_version)
