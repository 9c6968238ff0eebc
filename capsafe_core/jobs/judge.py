"""The judge job: one judge looks at the outputs of generate jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from capsafe_core.engines import models_folder
from capsafe_core.jobs.folder import Job, Part, open_job
from capsafe_core.judges import Item, Judge, open_judge
from capsafe_core.judges.protocol import judgment
from capsafe_core.records import BenchmarkRecord, Generation, Judgment, Prompt


def work(part: Part) -> None:
    """Judge every output that is not judged yet; an item that breaks the judge becomes an `error` judgment."""
    wanted = part.job.manifest.work
    judge = open_judge(wanted["judge"], wanted["config"], wanted["engine"], wanted["model"], models_folder(part.job.folder))
    batches = [(unit, batch) for i, job in enumerate(wanted["generations"]) for unit, batch in _batches(judge, part.job.folder.parent / job) if i % part.job.manifest.parts == part.index]
    part.total = 1 + sum(len(batch) for _, batch in batches) * len(judge.rater.dimensions)
    if "rater" not in part.done_units:
        part.write("rater", [judge.rater])
    for unit, batch in batches:
        if part.should_stop:
            return
        if unit not in part.done_units:
            part.write(unit, _judged(part, judge, unit, batch))


def _batches(judge: Judge, folder: Path) -> Iterator[tuple[str, list[Item]]]:
    items = [item for item in read_items(open_job(folder)) if judge.applies(item.benchmark)]
    for i in range(0, len(items), judge.batch_size):
        yield f"{folder.name}/{i:06d}", items[i : i + judge.batch_size]


def read_items(job: Job) -> Iterator[Item]:
    """The outputs of a generate job with their prompts, each output once."""
    benchmarks: dict[str, BenchmarkRecord] = {}
    prompts: dict[str, Prompt] = {}
    seen: set[str] = set()
    for record in job.records():
        if isinstance(record, BenchmarkRecord):
            benchmarks[record.id] = record
        elif isinstance(record, Prompt):
            prompts[record.id] = record
        elif isinstance(record, Generation) and record.id not in seen:
            seen.add(record.id)
            yield Item(record, prompts[record.prompt_id], benchmarks[record.benchmark_id])


def _judged(part: Part, judge: Judge, unit: str, batch: list[Item]) -> list[Judgment]:
    try:
        verdicts = judge.judge(batch)
    except (ValueError, KeyError, IndexError, RuntimeError) as error:
        if len(batch) > 1:
            return [j for item in batch for j in _judged(part, judge, unit, [item])]
        part.error(unit, f"{batch[0].generation.id}: {type(error).__name__}: {error}")
        item, rater = batch[0], judge.rater
        return [Judgment(item.generation.id, item.generation.cell_id, rater.id, d, "error", None, raw=str(error)) for d in rater.dimensions]
    return [judgment(item, judge.rater, v) for item, vs in zip(batch, verdicts, strict=True) for v in vs]
