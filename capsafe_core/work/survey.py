"""The survey job: reads logs without importing anything, and writes what it saw to result.json."""

from __future__ import annotations

import json
from pathlib import Path

from capsafe_core.checkpoint_places import Told
from capsafe_core.errors import CapsafeError
from capsafe_core.importers.cells import cell_words
from capsafe_core.importers.conflicts import Before, slot
from capsafe_core.importers.items import Items
from capsafe_core.importers.survey import Surveyor
from capsafe_core.jobs.folder import Job, Part, replace_file
from capsafe_core.jobs.folder.retractions import retractions_of
from capsafe_core.jobs.folder.work import ImportWork, SurveyWork
from capsafe_core.jobs.importing import own_imports, read_heads
from capsafe_core.mapping import parse_mapping
from capsafe_core.records import Generation, Prompt


def work(part: Part) -> None:
    """Read every log below the roots once."""
    asked = part.job.manifest.asks(SurveyWork)
    roots = [Path(root) for root in asked.roots]
    missing = [root for root in roots if not root.exists()]
    if missing:
        raise CapsafeError(f"{missing[0]} is not there.", "Check the path.")
    mapping = parse_mapping(asked.mapping) if asked.mapping else None
    jobs = part.job.folder.parent
    study = mapping.name if mapping else asked.name
    told, before = known_names(jobs, study), known_answers(jobs, study)
    surveyor = Surveyor(roots, mapping, asked.name, known_items(jobs), asked.strict, told, before)
    part.total = len(surveyor.sources)

    def report(done: int, name: str) -> bool:
        part.done = done
        part.report("running", name)
        return not part.should_stop

    surveyor.look(report)
    part.done = part.total if not part.should_stop else part.done
    replace_file(part.job.folder / "result.json", json.dumps(surveyor.result()))


def known_items(root: Path) -> Items:
    """The items of every benchmark that was imported into a workspace, in the order in which they came."""
    found: Items = {}
    for head in read_heads(own_imports(root)):
        for benchmark, items in head["items"].items():
            mine = found.setdefault(benchmark, {})
            for item, digest in items:
                mine.setdefault(item, (len(mine), digest))
    return found


def known_names(root: Path, study: str) -> Told:
    """What the imports of a study were told of its checkpoints."""
    heads = read_heads(own_imports(root, study))
    return {full: told for head in heads for full, told in head["told"].items()}


MOST_BEFORE = 1_000_000
"""outputs of earlier imports that are compared with; of the rest the store says what it holds otherwise"""


def _latest(jobs: list[Job]) -> list[Job]:
    sizes = [sum(source.outputs for source in job.manifest.asks(ImportWork).sources) for job in jobs]
    return [job for i, job in enumerate(jobs) if sum(sizes[i:]) <= MOST_BEFORE]


def known_answers(root: Path, study: str) -> Before:
    """The answers that the imports of a study have, the latest ones where there are very many; those that
    were undone are left out."""
    items: dict[str, str] = {}
    found: Before = {}
    for job in _latest(own_imports(root, study)):
        undone = retractions_of(job)[-1:]
        if undone and undone[0].action == "retract":
            continue
        for record in job.records():
            if isinstance(record, Prompt):
                items[record.id] = record.item
            elif isinstance(record, Generation) and record.prompt_id in items:
                cell = cell_words(
                    record.checkpoint_id, record.benchmark_id, record.condition_id, record.attack_id
                )
                where = slot(cell, items[record.prompt_id], record.sample, record.seed)
                found.setdefault(where, (hash(record.text), job.job_id))
    return found
