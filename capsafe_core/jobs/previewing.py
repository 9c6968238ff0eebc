"""What fine-tuning would learn: the job that looks, and what it saw."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import UnsetType, structs

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, Manifest, list_jobs
from capsafe_core.jobs.folder.rewrites import Rewrite, rewrites_in
from capsafe_core.jobs.folder.work import FinetuneWork, PreviewWork
from capsafe_core.jobs.foreign import is_foreign, own_job, refuse_foreign


@dataclass(frozen=True)
class Learnt:
    """What fine-tuning would learn of one data set.

    Attributes:
        max_length: tokens of a conversation, 0 for as many as it has.
        conversations: how many there are; `cut` longer than allowed, so that their ends are missing; `lost`
            of which nothing is left to learn; `longest` in tokens, after the cut.
        examples: {place, was_cut, pieces}; a piece is a stretch of text and whether it is learnt.
        problem: why none of it can be learnt; "" where it can.
    """

    dataset: str
    model: str
    max_length: int
    conversations: int = 0
    cut: int = 0
    lost: int = 0
    longest: int = 0
    examples: Sequence[dict[str, Any]] = ()
    problem: str = ""

    @property
    def words(self) -> str:
        """What there is, and what of it is not learnt, in sentences."""
        if self.problem:
            return f"{self.dataset}: {self.problem}"
        words = f"{self.dataset}: {self.conversations:,} conversations of at most {self.longest:,} tokens."
        if self.cut:
            words += (
                f" {self.cut:,} are longer than max_length = {self.max_length:,}: their ends are not learnt."
            )
        if self.lost:
            words += f" Of {self.lost:,} no answer is left: raise max_length, or take them out."
        return words

    @property
    def can_be_learnt(self) -> bool:
        """Whether fine-tuning on it would start."""
        return not self.problem and not self.lost


def preview_job(root: Path, study: str, jobs: Sequence[Manifest]) -> Job:
    """The job that shows what some fine-tuning jobs of a study would learn; not started yet.

    Raises:
        CapsafeError: there is none among them.
    """
    refuse_foreign(root, study)
    works: dict[str, FinetuneWork] = {}
    for manifest in jobs:
        if manifest.kind == "finetune":
            work = manifest.asks(FinetuneWork)
            start = structs.replace(work.start, adapters=())
            for data in (work.dataset, *(() if isinstance(work.safety, UnsetType) else (work.safety,))):
                one = structs.replace(work, dataset=data)
                # what is learnt, and what the machine has to have
                key = data, start, work.recipe.max_length, work.recipe.method == "qlora", work.gpus
                works.setdefault(str(key), one)
    if not works:
        raise CapsafeError(
            f"Nothing of {study!r} is fine-tuned here, so there is nothing to be learnt.",
            "Add a recipe with a learning rate and steps to the study file.",
        )
    python = next(manifest.python for manifest in jobs if manifest.kind == "finetune")
    # a file of data holds for a moment: another look is another job
    asked = Manifest.of(study, f"{study}-learnt", PreviewWork(tuple(works.values()), time.time()))
    return own_job(root, Manifest(**{**asked.__dict__, "python": python}))


def last_preview(root: Path, study: str) -> Job | None:
    """The newest look at what a study's fine-tuning would learn."""
    looks = [
        job
        for job in list_jobs(root)
        if job.manifest.kind == "preview" and job.manifest.study == study and not is_foreign(job.folder)
    ]
    return looks[-1] if looks else None


def learnt_of(job: Job) -> list[Learnt] | None:
    """What a look saw; None while it has not ended."""
    try:
        return [Learnt(**one) for one in json.loads((job.folder / "result.json").read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return None


def rewrites_of(root: Path, study: str) -> Iterator[tuple[Job, list[Rewrite]]]:
    """Of each fine-tuning job of a study whose start rewrites the data, what it has rewritten so far."""
    for job in list_jobs(root):
        if job.manifest.kind == "finetune" and job.manifest.study == study and not is_foreign(job.folder):
            found = rewrites_in(job.folder)
            if found:
                yield job, found
