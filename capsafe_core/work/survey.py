"""The survey job: reads logs without importing anything, and writes what it saw to result.json."""

from __future__ import annotations

import json
from pathlib import Path

from capsafe_core.checkpoint_places import Told
from capsafe_core.errors import CapsafeError
from capsafe_core.importers.items import Items
from capsafe_core.importers.survey import Surveyor
from capsafe_core.jobs.folder import Part, replace_file
from capsafe_core.jobs.folder.work import SurveyWork
from capsafe_core.jobs.importing import own_imports, read_heads
from capsafe_core.mapping import parse_mapping


def work(part: Part) -> None:
    """Read every log below the roots once."""
    asked = part.job.manifest.asks(SurveyWork)
    roots = [Path(root) for root in asked.roots]
    missing = [root for root in roots if not root.exists()]
    if missing:
        raise CapsafeError(f"{missing[0]} is not there.", "Check the path.")
    mapping = parse_mapping(asked.mapping) if asked.mapping else None
    jobs = part.job.folder.parent
    told = known_names(jobs, mapping.name if mapping else asked.name)
    surveyor = Surveyor(roots, mapping, asked.name, known_items(jobs), asked.strict, told)
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
