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
from capsafe_core.jobs.folder import Job, Manifest, create_job, list_jobs, read_small, replace_file
from capsafe_core.jobs.folder.work import ImportWork, Source, SurveyWork
from capsafe_core.jobs.foreign import refuse_foreign
from capsafe_core.jobs.plan import plan_judge
from capsafe_core.jobs.record_job import record_study, recorded_study
from capsafe_core.mapping import ImportMapping, Place, parse_mapping
from capsafe_core.records import canonical_json, digest_text
from capsafe_core.study import IMPORTED, JudgeSettings, Study, parse_study
from capsafe_core.study_text import with_additions
from capsafe_core.toml_text import toml_table

RULES = "coherence-rules"
"""the incoherence detector that looks at imported outputs: it needs no model"""


LOG_COLUMNS = (
    "tool",
    "checkpoint",
    "benchmark",
    "attack",
    "outputs",
    "no_response",
    "prompts",
    "aggregates",
    "files",
)
"""what is shown of each of a survey's logs"""


@dataclass(frozen=True)
class Survey:
    """What a survey saw.

    Attributes:
        files: {tool, paths, relative, digest, outputs, problems, problem_count}.
        left_out: sentences about files that were not read.
        logs: {tool, model, checkpoint, place, benchmark, attack, outputs, no_response, prompts, again,
            aggregates, files, first, preview}.
        judges: {by, benchmark, tool, kind, person, count, unparsed, numbers, low, high, values, more}.
        unread: those among `judges` of which not even a guess can be made.
        mapping: what was stated, with a guess for the rest.
        guesses: places in `mapping.judges` that are guesses.
        items: benchmark id -> [item, digest of its prompt].
        contents: content hashes of outputs that name no model.
        conflicts: {kind, key, files, words} of what files say differently.
        columns: {column, use, files, first} of tables: what each column is taken to be.
    """

    files: list[dict[str, Any]]
    left_out: list[str]
    logs: list[dict[str, Any]]
    judges: list[dict[str, Any]]
    unread: list[dict[str, Any]]
    mapping: ImportMapping
    guesses: list[int]
    items: dict[str, list[list[str]]]
    contents: list[str]
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    columns: list[dict[str, Any]] = field(default_factory=list)

    @property
    def outputs(self) -> int:
        return sum(log["outputs"] for log in self.logs)

    @property
    def unplaced(self) -> str:
        """A sentence about outputs that name no model; "" where there are none."""
        lost = [log for log in self.logs if not log["place"] and log["outputs"]]
        if not lost:
            return ""
        return (
            f"{sum(log['outputs'] for log in lost):,} outputs name no model (the first in "
            f"{lost[0]['first']}): what was said of them goes to those outputs that are here already and "
            "say the same. "
            "To import them as outputs, give the file a name among the aliases, or state a pattern or a "
            "column for the checkpoint."
        )

    @property
    def words(self) -> str:
        """What is there, in a sentence."""
        models = {log["checkpoint"] for log in self.logs if log["checkpoint"]}
        silent = sum(log["no_response"] for log in self.logs)
        prompts, numbers = (
            sum(log["prompts"] for log in self.logs),
            sum(log["aggregates"] for log in self.logs),
        )
        nameless = sum(log["outputs"] for log in self.logs if not log["place"])
        parts = [
            f"{self.outputs - nameless:,} outputs of {len(models)} "
            f"checkpoint{'s' if len(models) != 1 else ''} in {len(self.files)} "
            f"file{'s' if len(self.files) != 1 else ''}"
        ]
        parts += [f"{nameless:,} that name no model"] if nameless else []
        parts += [f"{silent:,} of them without a response"] if silent else []
        parts += [f"{prompts:,} prompts without outputs"] if prompts else []
        parts += [f"{numbers:,} aggregate numbers"] if numbers else []
        count = sum(file["problem_count"] for file in self.files)
        parts += [f"{count:,} problems"] if count else []
        return "; ".join(parts) + "."

    def accepted(self, guesses: bool) -> ImportMapping:
        """The mapping with the guessed readings, or without them."""
        judges = tuple(r for i, r in enumerate(self.mapping.judges) if guesses or i not in self.guesses)
        return self.mapping.model_copy(update={"judges": judges})

    def settled(self, mapping: ImportMapping) -> ImportMapping:
        """A mapping whose unknown benchmarks measure what its readings speak of."""
        return mapping.settled((h["by"], h["benchmark"]) for h in self.judges)

    @property
    def unknown(self) -> list[str]:
        """Benchmarks of which nobody knows what they measure, as the logs call them."""
        used = {log["benchmark"] for log in self.logs}
        return [name for name, b in self.mapping.benchmarks.items() if b.kind == "unknown" and name in used]

    def withheld(self, rule: str) -> dict[str, str]:
        """What files say differently -> the one whose word counts by a rule; "" where none does."""
        keep = {"first": 0, "last": -1}.get(rule)
        return {
            c["key"]: c["files"][keep] if keep is not None and len(c["files"]) > 1 else ""
            for c in self.conflicts
        }


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
    return create_job(root, Manifest.of("", work.name, work))


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
    if not survey.outputs and not any(log["prompts"] or log["aggregates"] for log in survey.logs):
        raise CapsafeError(
            "There is nothing to import.",
            next((p for f in survey.files for p in f["problems"]), "No file was recognised."),
        )
    surveyed = survey.mapping
    if mapping.read_by != surveyed.read_by:
        raise CapsafeError(
            "The pattern, the aliases, the columns or the benchmarks were changed after the logs were "
            "looked at.",
            "Look at them again first.",
        )
    mapping = survey.settled(mapping)
    refuse_foreign(root, mapping.name)
    text = study_text(root, survey, mapping)
    study = parse_study(text, mapping.name)
    sources = tuple(_source(file) for file in survey.files if file["digest"])
    joined = sorted((content, sorted(found)) for content, found in (known or {}).items())
    digest = digest_text(canonical_json(joined)) if joined else ""
    work = ImportWork(mapping.name, mapping.to_toml(), sources, digest)
    before = read_heads(imports(root, mapping.name))
    places = [Place(**log["place"]) for log in survey.logs if log["place"]]
    recipes = {(p.start, p.recipe, p.data, p.seed) for p in places if p.recipe and p.step} | {
        tuple(r) for head in before for r in head["recipes"]
    }
    starts = {p.start for p in places if not (p.recipe and p.step)} | {
        s for head in before for s in head["starts"]
    }
    head = {
        "items": survey.items,
        "known": known or {},
        "paths": {unit_of(_source(file)): file["paths"] for file in survey.files},
        "recipes": sorted(recipes),
        "starts": sorted(starts),
        "withheld": survey.withheld(mapping.conflicts),
    }
    manifest = Manifest.of(mapping.name, f"{mapping.name}-import", work)
    is_new = not (root / manifest.job_id).exists()
    job = create_job(root, manifest)
    try:
        replace_file(job.folder / "head.json", json.dumps(head))
        record_study(root, study, text)
    except CapsafeError:
        if is_new:  # a disk that is full leaves no job that waits for what it lacks
            shutil.rmtree(job.folder, ignore_errors=True)
        raise
    return job, study


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
        withheld: what files say differently -> the file whose word counts.
    """

    items: dict[str, tuple[tuple[str, str], ...]]
    known: dict[str, tuple[tuple[str, str], ...]]
    paths: dict[str, tuple[str, ...]]
    recipes: tuple[tuple[str, str, str, int], ...]
    starts: tuple[str, ...]
    withheld: dict[str, str] = field(default_factory=dict)


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


def study_text(root: Path, survey: Survey, mapping: ImportMapping) -> str:
    """The study of an import as TOML: the one that is recorded under its name, with what is new at its end;
    else a draft.

    Raises:
        CapsafeError: no log says of which model it is.
    """
    places = [Place(**log["place"]) for log in survey.logs if log["place"]]
    try:
        study, text = recorded_study(root, mapping.name)
    except CapsafeError:
        if not places:
            raise CapsafeError(
                "No log says which model it is of, and there is no study to add to.",
                "Name the study of these outputs with --name, or state a pattern or a column for the "
                "checkpoint.",
            ) from None
        return _draft(survey, mapping, places)
    there = {
        group: {part.name for part in getattr(study, group)}
        for group in ("starts", "datasets", "recipes", "benchmarks", "judges")
    }
    named = _tables(survey, mapping, places)
    longer = {}
    for group, values in named:
        if group == "recipes" and values["name"] in there["recipes"]:
            known = study.recipe(values["name"])
            for key, before in (("steps", known.steps), ("seeds", known.seeds)):
                if not {*values[key]} <= {*before}:
                    longer[group, known.name, key] = {*before, *values[key]}
    tables = [(group, values) for group, values in named if values["name"] not in there[group]]
    return with_additions(text, tables, longer) if tables or longer else text


def _tables(
    survey: Survey, mapping: ImportMapping, places: Sequence[Place]
) -> list[tuple[str, dict[str, Any]]]:
    """Everything that a study names, in the order of a study file."""
    used = [(log, mapping.benchmark(log["benchmark"])) for log in survey.logs]
    kinds = {reading.name: reading.kind for _, reading in used}
    capability = [name for name, kind in kinds.items() if kind == "capability"]
    tables: list[tuple[str, dict[str, Any]]] = [
        ("starts", {"name": s, "model": s}) for s in dict.fromkeys(p.start for p in places)
    ]
    tuned = [p for p in places if p.recipe and p.step]
    for data in dict.fromkeys(p.data for p in tuned):
        near = [b for b in capability if data.lower() in b.lower() or b.lower() in data.lower()] or (
            capability if len(capability) == 1 else []
        )
        tables.append(
            ("datasets", {"name": data, "source": IMPORTED, "benchmark": near[0] if near else None})
        )
    for recipe in dict.fromkeys(p.recipe for p in tuned):
        mine = [p for p in tuned if p.recipe == recipe]
        steps, seeds = sorted({p.step for p in mine}), sorted({p.seed for p in mine})
        tables.append(
            (
                "recipes",
                {
                    "name": recipe,
                    "start": mine[0].start,
                    "dataset": mine[0].data,
                    "steps": steps,
                    "seeds": seeds,
                    "recorded": True,
                },
            )
        )
    for name, kind in kinds.items():
        tables.append(("benchmarks", {"name": name, "source": IMPORTED, "config": {"kind": kind}}))
    names = dict.fromkeys(r.name for r in mapping.judges if not r.person)
    tables += [("judges", {"name": name, "recorded": True}) for name in names]
    if RULES not in names:
        tables.append(("judges", {"name": RULES}))
    return tables


def _draft(survey: Survey, mapping: ImportMapping, places: Sequence[Place]) -> str:
    sizes: dict[str, int] = {}
    for log in survey.logs:
        reading = mapping.benchmark(log["benchmark"])
        if reading.kind != "capability":
            sizes[reading.name] = sizes.get(reading.name, 0) + log["outputs"]
    benchmark = (
        max(sizes, key=lambda b: sizes[b]) if sizes else mapping.benchmark(survey.logs[0]["benchmark"]).name
    )
    judges = [r for r in mapping.judges if not r.person]

    def first(dimension: str, other: str) -> str:
        return next((r.name for r in judges if r.dimension == dimension), other)

    refusal = first("refusal", "")
    safety = first("safety", refusal or first("correctness", RULES))
    primary = {
        "benchmark": benchmark,
        "judge": safety,
        "refusal_judge": refusal or safety,
        "coherence": first("coherence", RULES),
    }
    head = {"name": mapping.name, "title": mapping.title or f"Imported: {survey.words.split(';')[0]}"}
    text = (
        "# Drafted from imported logs. State a goal for each data set, and check the primary specification.\n"
    )
    text += toml_table("x", head).split("\n", 1)[1]
    text += "".join(toml_table(f"[{group}]", values) for group, values in _tables(survey, mapping, places))
    goals = {
        data: goal for data, goal in mapping.goals.items() if data in {p.data for p in places if p.recipe}
    }
    return text + toml_table("goals", goals) + toml_table("primary", primary)
