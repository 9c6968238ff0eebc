"""The survey job: reads logs without importing anything, and writes what it saw to result.json."""

from __future__ import annotations

import json
from pathlib import Path

from capsafe_core.checkpoint_places import Told
from capsafe_core.errors import CapsafeError
from capsafe_core.importers.cells import cell_words
from capsafe_core.importers.conflicts import EARLIER, Conflicts, Noted, slot
from capsafe_core.importers.items import Items
from capsafe_core.importers.log import Aggregate
from capsafe_core.importers.survey import Surveyor
from capsafe_core.jobs.folder import Job, Part, replace_file
from capsafe_core.jobs.folder.retractions import retractions_of
from capsafe_core.jobs.folder.work import ImportWork, SurveyWork
from capsafe_core.jobs.importing import own_imports, read_heads
from capsafe_core.mapping import parse_mapping
from capsafe_core.records import Generation, Judgment, Measurement, Prompt, Rater


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
    told, before = known_names(jobs, study), known_statements(jobs, study)
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


def known_statements(root: Path, study: str) -> Conflicts:
    """What the imports of a study say of outputs and in numbers, the latest ones where there are very many;
    those that were undone are left out."""
    found, earlier = Conflicts(), _Earlier()
    for job in _latest(own_imports(root, study)):
        undone = retractions_of(job)[-1:]
        if not undone or undone[0].action != "retract":
            earlier.add(job, found)
    return found


class _Earlier:
    """Records of earlier imports as what was said: a judge's by the name that its logs had for it."""

    def __init__(self) -> None:
        self._items: dict[str, str] = {}
        self._raters: dict[str, str] = {}
        self._noted: dict[str, Noted] = {}

    def add(self, job: Job, found: Conflicts) -> None:
        """Note all that an import says."""
        mapping = parse_mapping(job.manifest.asks(ImportWork).mapping)
        said_by: dict[tuple[str, str], set[str]] = {}
        for reading in mapping.judges:
            said_by.setdefault((reading.name, reading.dimension), set()).add(reading.by)
        logged = {mapping.benchmark(name).name: name for name in mapping.benchmarks}
        file = f"{EARLIER}{job.job_id} before"
        for record in job.records():
            match record:
                case Prompt():
                    self._items[record.id] = record.item
                case Rater():
                    self._raters[record.id] = record.name
                case Generation() if record.prompt_id in self._items:
                    cell = cell_words(
                        record.checkpoint_id, record.benchmark_id, record.condition_id, record.attack_id
                    )
                    where = slot(cell, self._items[record.prompt_id], record.sample, record.seed)
                    self._noted[record.id] = found.answer(where, record.text, file, ("", "", ""))
                case Judgment() if record.generation_id in self._noted:
                    names = said_by.get((self._raters.get(record.rater_id, ""), record.dimension), set())
                    for by in names if len(names) == 1 else ():  # of several names, nobody knows which it was
                        of = self._noted[record.generation_id]
                        found.verdict(of, by, record.native, record.status, file, ("", "", ""))
                case Measurement():
                    name = logged.get(record.benchmark, record.benchmark)
                    one = Aggregate(name, record.metric, record.value)
                    found.number(record.checkpoint_id, "", one, file)
