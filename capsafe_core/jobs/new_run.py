"""Starting a study from the dashboard, what of it is missing, and what it will cost."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, Manifest, create_job, list_jobs, replace_file
from capsafe_core.jobs.folder.work import FitWork, GenerateWork, ProbeWork
from capsafe_core.jobs.foreign import foreign_studies, is_foreign, own_job, refuse_foreign
from capsafe_core.jobs.importing import own_imports
from capsafe_core.jobs.own_checkpoints import OwnCheckpoint, known_checkpoints
from capsafe_core.jobs.permission import permit_all
from capsafe_core.jobs.plan import plan_judge, plan_study
from capsafe_core.jobs.record_job import record_study
from capsafe_core.jobs.supervisor import Queue, is_queued, run_graph
from capsafe_core.records import canonical_json, digest_text
from capsafe_core.settings import Settings
from capsafe_core.study import JudgeSettings, RecipeSettings, Study, parse_study
from capsafe_core.study_text import with_additions


def start_study(settings: Settings, text: str, name: str) -> None:
    """Queue the jobs of a new study, and record its text.

    Raises:
        CapsafeError: the text has mistakes, or the workspace does not allow what it asks for; nothing was
            recorded.
    """
    study = parse_study(text, name)
    jobs = plan_study(study)
    permit_all(settings.jobs_path, jobs, settings.reread())
    record_study(settings.jobs_path, study, text)
    queue_jobs(settings, jobs)


def missing_jobs(root: Path, study: Study) -> list[Manifest]:
    """The jobs of a study that have not ended and are neither at work nor asked for; none of a study that
    never ran here, as imported ones, or that nobody has adopted."""
    if study.is_imported or study.name in foreign_studies(root):
        return []
    jobs = [Job(root / manifest.job_id, manifest) for manifest in planned(root, study)]
    if not any(job.folder.exists() for job in jobs):
        return []
    return [job.manifest for job in jobs if job.state not in ("done", "running") and not is_queued(job)]


def planned(root: Path, study: Study, awaited: bool = False, parts: int = 1) -> list[Manifest]:
    """The jobs of a study, in as many parts as those that are there already; which those are, their identity
    tells.

    Args:
        awaited: whether checkpoints that are trained elsewhere may still come.
        parts: of jobs that are not there yet.
    """
    found = {r.name: known_checkpoints(root, study.name, r, awaited) for r in study.recipes if r.folders}

    def known(recipe: RecipeSettings) -> list[OwnCheckpoint]:
        return found[recipe.name]

    own = [job for job in list_jobs(root) if job.manifest.kind == "generate" and not is_foreign(job.folder)]
    for there in sorted({job.manifest.parts for job in own}, reverse=True):
        jobs = plan_study(study, there, find_checkpoints=known)
        if any((root / manifest.job_id).exists() for manifest in jobs if manifest.kind == "generate"):
            return jobs
    return plan_study(study, parts, find_checkpoints=known)


def queue_jobs(settings: Settings, manifests: Sequence[Manifest]) -> None:
    """Ask for jobs to be started one after the other.

    Raises:
        NotAllowedError: the workspace does not allow what one of them asks for; none was queued.
    """
    permit_all(settings.jobs_path, manifests, settings.reread())
    for manifest in manifests:
        Queue(settings).add(create_job(settings.jobs_path, manifest))


def add_judge(root: Path, study: Study, text: str, judge: JudgeSettings) -> Job:
    """Let one more judge look at the outputs of a study that are there; nothing is generated again.

    Args:
        study, text: the study and its file.

    Returns:
        The job, not started yet. The study as it is recorded in the workspace gets the judge's table; the
        user's own file stays as it is.

    Raises:
        CapsafeError: the study has no outputs here, or the judge is not a judge.
    """
    generations = outputs_of(root, study)
    if judge.name not in {j.name for j in study.judges}:
        text = with_additions(text, [("judges", judge.model_dump(mode="json", exclude_defaults=True))])
        study = parse_study(text, study.name)
        manifest = plan_judge(study, judge, generations)
        record_study(root, study, text)
        return create_job(root, manifest)
    return create_job(root, plan_judge(study, judge, generations))


def outputs_of(root: Path, study: Study) -> list[str]:
    """The jobs that hold a study's outputs.

    Raises:
        CapsafeError: it has none here.
    """
    refuse_foreign(root, study.name)
    generations = [job.job_id for job in own_imports(root, study.name)]
    if not study.is_imported:
        generations += [
            m.job_id
            for m in planned(root, study)
            if m.kind == "generate" and (root / m.job_id / "manifest.json").exists()
        ]
    if not generations:
        raise CapsafeError(
            f"The study {study.name!r} has no outputs in this workspace yet.",
            "Run it first: `capsafe run study.toml`.",
        )
    return generations


def train_detector(
    root: Path, study: Study, text: str, labels: Sequence[dict[str, Any]], settings: Settings
) -> Job:
    """Fit the learnt detector of incoherence to people's labels, and plan its look at the study's outputs.

    Args:
        study, text: the study and its file.
        labels: as the fields of `coherence.learnt.LabelledAnswer`.

    Returns:
        The judge job, not started yet.

    Raises:
        CapsafeError: there are too few labels, or the study has no outputs here.
    """
    refuse_foreign(root, study.name)
    lines = "".join(canonical_json(row) + "\n" for row in labels)
    datasets = tuple(d.model_dump(mode="json") for d in study.datasets if d.benchmark)
    work = FitWork(digest_text(lines), datasets)
    job = own_job(root, Manifest.of(study.name, f"{study.name}-coherence-learnt", work))
    replace_file(job.folder / "inputs.jsonl", lines)
    if not run_graph([job.manifest], root, lambda _: None, settings):
        raise CapsafeError(job.status().message or "The fit ended early.", job.status().hint)
    fitted = json.loads((job.folder / "fitted.json").read_text())
    return add_judge(root, study, text, JudgeSettings(name="coherence-learnt", config={"fitted": fitted}))


@dataclass(frozen=True)
class Cost:
    """What a run will cost, measured on a few answers."""

    prompts: int
    generations: int
    tokens: int
    answers: int
    """that were timed"""
    tokens_per_answer: float
    tokens_per_second: float
    loading: float
    seconds: float
    """of generating everything, the loading of each checkpoint included"""

    @property
    def words(self) -> str:
        """The cost as a sentence."""
        return (
            f"{self.prompts} prompts, {self.generations} generations, about {self.tokens:,} tokens: about "
            f"{duration(self.seconds)} of generating. "
            f"Measured on {self.answers} answers: {self.tokens_per_answer:.0f} tokens each, "
            f"{self.tokens_per_second:.0f} tokens per second, {self.loading:.0f} s to load. Judging comes "
            "on top."
        )


def duration(seconds: float) -> str:
    """A time in the unit that one would say it in."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def probe_job(root: Path, study: Study) -> Job:
    """The job that measures what a study's generating will cost; not started yet.

    Raises:
        CapsafeError: every checkpoint has to be fine-tuned first.
    """
    refuse_foreign(root, study.name)
    works = [m.asks(GenerateWork) for m in plan_study(study) if m.kind == "generate"]
    there = [w for w in works if not any(a.job for c in w.all_checkpoints for a in c.adapters)]
    if not there:
        raise CapsafeError(
            "Every checkpoint of this study has to be fine-tuned first.", "Fine-tune one, then measure."
        )
    ordered = (there[0], *(w for w in works if w is not there[0]))
    # a measurement holds for a moment: another one is another job
    manifest = Manifest.of(study.name, study.name, ProbeWork(ordered, time.time()))
    return own_job(root, replace(manifest, python=str(study.engine.python or "")))


def cost_of(job: Job) -> Cost | None:
    """What a probe found; None while it has not ended."""
    try:
        return Cost(**json.loads((job.folder / "result.json").read_text()))
    except FileNotFoundError:
        return None
