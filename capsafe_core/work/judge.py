"""The judge job: one judge looks at the outputs of generate jobs.

It never generates and never loads what generated.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from capsafe_core.engines import models_folder
from capsafe_core.jobs.early_looks import records_of
from capsafe_core.jobs.folder import Job, Part, folder_beside, open_job
from capsafe_core.jobs.folder.work import JudgeWork
from capsafe_core.judges import Item, Judge, open_judge
from capsafe_core.judges.protocol import judgment
from capsafe_core.records import KINDS, UNKNOWN_KIND, BenchmarkRecord, Generation, Judgment, Prompt
from capsafe_core.work.verdicts import verdicts_on


def work(part: Part) -> None:
    """Judge every output that is not judged yet; an item that breaks the judge becomes an `error` judgment,
    which another run tries again."""
    judge = open_judge(
        part.job.manifest.asks(JudgeWork), models_folder(part.job.folder), lambda: part.should_stop
    )
    attempts = _attempts(part)
    _note_what_is_there(part)
    todo = [item for item in _mine(part, judge) if _owes(part, attempts.get(item.generation.id, 0))]
    part.total = part.done + ("rater" not in part.done_units) + len(todo) * len(judge.rater.dimensions)
    if "rater" not in part.done_units:
        part.write("rater", [judge.rater])
    for i in range(0, len(todo), judge.batch_size):
        if part.should_stop:
            return
        batch = todo[i : i + judge.batch_size]
        first = attempts.get(batch[0].generation.id, 0) + 1
        unit = f"{batch[0].generation.id}/{len(batch)}" + (f"/{first}" if first > 1 else "")
        judged = _judged(part, judge, unit, batch)
        if part.should_stop:  # what the stop cut short is not a failure: it is asked again
            judged = [j for j in judged if j.status != "error"]
        part.write(
            unit, [replace(j, attempt=attempts.get(j.generation_id, 0) + 1) for j in judged], judge.tokens
        )
        judge.tokens = 0


def _note_what_is_there(part: Part) -> None:
    """Note how much there is to look at, before it is read, and whether more will come."""
    before = [open_job(folder_beside(part.job.folder, name)) for name in part.job.manifest.after]
    part.looked_at = records_of(before)
    ended = sum(job.ended for job in before)
    if ended < len(before):
        part.waits_for = (
            f"What is there is judged. Of the jobs that it comes after, ended: {ended} of {len(before)}."
        )


def _owes(part: Part, attempts: int) -> bool:
    """Whether an output is to be judged now; one that broke the judge is tried again when all is there, and
    not in every early look."""
    return attempts == 0 or (attempts > 0 and not part.waits_for)


def _attempts(part: Part) -> dict[str, int]:
    """How often each output has been tried; -1 where it needs no further try."""
    tried: dict[str, int] = {}
    for record in part.job.part_records(part.index):
        if isinstance(record, Judgment):
            failed = record.status == "error"
            tried[record.generation_id] = record.attempt if failed else -1
    return tried


def _mine(part: Part, judge: Judge) -> Iterator[Item]:
    """The outputs of this part's share of the generate jobs that the judge has something to say about."""
    for i, name in enumerate(part.job.manifest.asks(JudgeWork).generations):
        if i % part.job.manifest.parts == part.index:
            yield from (
                item
                for item in read_items(open_job(folder_beside(part.job.folder, name)))
                if _applies(judge, item.benchmark)
            )


def _applies(judge: Judge, benchmark: BenchmarkRecord) -> bool:
    """Whether a judge has something to say; where nobody knows what a benchmark measures, it may be
    anything."""
    kinds = KINDS if benchmark.kind == UNKNOWN_KIND else (benchmark.kind,)
    return any(judge.applies(replace(benchmark, kind=kind)) for kind in kinds)


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
    """The judgments on a batch; an item that broke the judge is noted."""
    judged = list(zip(batch, verdicts_on(judge, batch), strict=True))
    for item, verdicts in judged:
        broken = next((v for v in verdicts if v.status == "error"), None)
        if broken and not part.should_stop:
            part.error(unit, f"{item.generation.id}: {broken.raw}")
    return [judgment(item, judge.rater, verdict) for item, verdicts in judged for verdict in verdicts]
