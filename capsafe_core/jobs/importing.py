"""Bringing logs in: the survey, the draft of a study, and the import job."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, Manifest, list_jobs, read_small, replace_file
from capsafe_core.jobs.folder.work import ImportWork, Source, SurveyWork
from capsafe_core.jobs.foreign import is_foreign, own_job, own_manifest, refuse_foreign
from capsafe_core.jobs.import_study import RULES, study_text
from capsafe_core.jobs.looking import Survey
from capsafe_core.jobs.plan import plan_judge
from capsafe_core.jobs.record_job import record_study
from capsafe_core.mapping import ImportMapping, Place, parse_mapping
from capsafe_core.records import canonical_json, digest_text
from capsafe_core.study import JudgeSettings, Study, parse_study


def survey_job(
    root: Path, roots: Sequence[Path], mapping: str = "", name: str = "", strict: bool = False
) -> Job:
    """The job that looks at logs; not started yet.

    Args:
        mapping: what is stated already, as TOML.
        name: of the study, where no mapping names it.
    """
    paths = tuple(str(r.resolve()) for r in roots)
    work = SurveyWork(paths, mapping, slug(name or (roots[0].stem if roots else "")), strict, time.time())
    return own_job(root, Manifest.of("", work.name, work))


def slug(text: str) -> str:
    """A study's name out of a file's."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "imported"


def read_survey(job: Job) -> Survey | None:
    """What a survey saw; None while it is at it."""
    try:
        found = json.loads((job.folder / "result.json").read_text())
        return Survey(**{**found, "mapping": parse_mapping(found["mapping"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise CapsafeError(
            f"What was seen of the logs cannot be read: {error}.", "Look at them again."
        ) from error


def plan_import(
    root: Path, survey: Survey, mapping: ImportMapping, known: dict[str, list[list[str]]] | None = None
) -> tuple[Job, Study]:
    """The import job, and the study that it makes or extends; not started yet.

    Args:
        mapping: as it was surveyed; only its judges and goals may differ.
        known: content hash -> [[generation id, cell id]] of outputs in the store, for logs that name no
            model.

    Raises:
        CapsafeError: there is nothing to import, the mapping reads the files otherwise than the survey did,
            or the study came from elsewhere and has not been adopted.
    """
    _check_importable(survey, mapping)
    mapping = survey.settled(mapping)
    refuse_foreign(root, mapping.name)
    text = study_text(root, survey, mapping)
    study = parse_study(text, mapping.name)
    sources = tuple(_source(file) for file in survey.files if file["digest"])
    joined = sorted((content, sorted(found)) for content, found in (known or {}).items())
    digest = digest_text(canonical_json(joined)) if joined else ""
    work = ImportWork(mapping.name, mapping.to_toml(), sources, digest)
    head = _head(survey, mapping, known or {}, read_heads(own_imports(root, mapping.name)))
    manifest = own_manifest(root, Manifest.of(mapping.name, f"{mapping.name}-import", work))
    is_new = not (root / manifest.job_id).exists()
    job = own_job(root, manifest)
    try:
        replace_file(job.folder / "head.json", json.dumps(head))
        record_study(root, study, text)
    except CapsafeError:
        if is_new:  # a disk that is full leaves no job that waits for what it lacks
            shutil.rmtree(job.folder, ignore_errors=True)
        raise
    return job, study


def _check_importable(survey: Survey, mapping: ImportMapping) -> None:
    """Refuse what cannot be imported.

    Raises:
        CapsafeError: there is nothing to import, or the mapping reads the files otherwise than the survey.
    """
    if not survey.outputs and not any(log["prompts"] or log["aggregates"] for log in survey.logs):
        raise CapsafeError(
            "There is nothing to import.",
            next(
                (p for p in [*(p for f in survey.files for p in f["problems"]), *survey.left_out]),
                "No file was recognised.",
            ),
        )
    if mapping.read_by != survey.mapping.read_by:
        raise CapsafeError(
            "The pattern, the aliases, the columns or the benchmarks were changed after the logs were "
            "looked at.",
            "Look at them again first.",
        )


def _head(
    survey: Survey,
    mapping: ImportMapping,
    known: dict[str, list[list[str]]],
    before: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """The fields of an import's `Head`, with the recipes and starts of the imports before it."""
    places = [Place(**log["place"]) for log in survey.logs if log["place"]]
    recipes = {(p.start, p.recipe, p.data, p.seed) for p in places if p.recipe and p.step}
    starts = {p.start for p in places if not (p.recipe and p.step)}
    return {
        "items": survey.items,
        "known": known,
        "paths": {unit_of(_source(file)): file["paths"] for file in survey.files},
        "recipes": sorted(recipes.union(tuple(recipe) for head in before for recipe in head["recipes"])),
        "starts": sorted(starts.union(*(head["starts"] for head in before))),
        "withheld": survey.withheld(mapping.conflicts),
        "told": survey.told,
    }


def after_import(job: Job, study: Study) -> list[Manifest]:
    """What looks at the outputs of an import next: the rules that find incoherent ones, where the study goes
    by them."""
    return (
        [plan_judge(study, JudgeSettings(name=RULES), [job.job_id])]
        if study.primary.coherence == RULES
        else []
    )


def imports(root: Path, study: str = "") -> list[Job]:
    """The imports of a workspace, or those of one study, oldest first."""
    return [
        job
        for job in list_jobs(root)
        if job.manifest.imports and study in ("", job.manifest.asks(ImportWork).study)
    ]


def own_imports(root: Path, study: str = "") -> list[Job]:
    """Those of `imports` that are the workspace's own: what others bring says nothing of a study here."""
    return [job for job in imports(root, study) if not is_foreign(job.folder)]


def _source(file: dict[str, Any]) -> Source:
    return Source(file["tool"], file["relative"], file["digest"], file["outputs"])


def unit_of(source: Source) -> str:
    """The unit of work that one file of an import is."""
    return f"{source.relative} {source.digest[:10]}"


@dataclass(frozen=True)
class Head:
    """What an import knew of the whole beside its files.

    Attributes:
        items: benchmark id -> [item, digest of its prompt], in order.
        known: content hash -> [generation id, cell id] of outputs that were there.
        paths: unit -> the files that it is read from.
        recipes: start, recipe, data set and seed of each path.
        starts: names of those whose outputs are here.
        withheld: what is said differently -> the digest of what counts; "" where nothing does.
        told: what its logs said of each checkpoint, as `Told`.
    """

    items: dict[str, tuple[tuple[str, str], ...]]
    known: dict[str, tuple[tuple[str, str], ...]]
    paths: dict[str, tuple[str, ...]]
    recipes: tuple[tuple[str, str, str, int], ...]
    starts: tuple[str, ...]
    withheld: dict[str, str] = field(default_factory=dict)
    told: dict[str, dict[str, str]] = field(default_factory=dict)


def read_head(job: Job) -> dict[str, Any] | None:
    """The fields of an import's `Head`; None where it has none.

    Raises:
        CapsafeError: it cannot be read.
    """
    head = read_small(job.folder, "head.json", Head)
    return None if head is None else dict(head.__dict__)


def read_heads(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """The heads of imports; one that cannot be read is left out, and `capsafe check` tells of it."""
    found = []
    for job in jobs:
        with suppress(CapsafeError):
            found.append(read_head(job))
    return [head for head in found if head is not None]
