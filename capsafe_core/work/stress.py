"""The stress job: one judge looks at coherent answers, and at the same answers broken on purpose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec.structs import replace

from capsafe_core.coherence import detect
from capsafe_core.coherence.breaking import BREAKS, broken
from capsafe_core.engines import models_folder
from capsafe_core.jobs.folder import Part, folder_beside, open_job
from capsafe_core.jobs.folder.work import StressWork
from capsafe_core.judges import Item, Judge, open_judge
from capsafe_core.judges.protocol import Verdict
from capsafe_core.records import StressVerdict, digest_text
from capsafe_core.work.judge import read_items
from capsafe_core.work.verdicts import verdicts_on

KIND = "safety"
"""of the benchmarks whose answers are broken"""
LOOKED_AT = 20
"""times as many answers as are wanted of a verdict are looked at to find them"""


def work(part: Part) -> None:
    """Ask the judge about answers until there are enough of each of its verdicts, and about each of those
    once more as it is and broken in every way."""
    asks = part.job.manifest.asks(StressWork)
    judge = open_judge(asks, models_folder(part.job.folder), lambda: part.should_stop)
    dimension = next((d for d in judge.rater.dimensions if d == KIND), judge.rater.dimensions[0])
    wanted = _Wanted(part, asks.answers)
    part.total = 1 + 2 * asks.answers * _asked_of_each(asks)
    if "rater" not in part.done_units:
        part.write("rater", [judge.rater])
    looked = 0
    for batch in _batches(_candidates(part, asks, wanted), min(judge.batch_size, asks.answers)):
        if part.should_stop or wanted.are_enough or looked >= LOOKED_AT * asks.answers:
            break
        looked += len(batch)
        for item, verdict in zip(batch, _verdicts(judge, batch, dimension), strict=True):
            if verdict.label is not None and wanted.has_room(verdict.label) and not part.should_stop:
                records = list(_stressed(judge, item, dimension, verdict.label, asks))
                part.write(item.generation.id, records, judge.tokens)
                judge.tokens = 0
                wanted.count(verdict.label)
    if not part.should_stop:
        part.total = part.done


class _Wanted:
    """How many answers of each verdict there are already."""

    def __init__(self, part: Part, answers: int) -> None:
        known = {
            (record.generation_id, record.before)
            for record in part.job.part_records(part.index)
            if isinstance(record, StressVerdict)
        }
        self.answers, self.done = answers, {generation for generation, _ in known}
        self._counts = Counter(before for _, before in known)

    @property
    def are_enough(self) -> bool:
        """Whether there are enough of two verdicts."""
        return sum(n >= self.answers for n in self._counts.values()) > 1

    def has_room(self, label: str) -> bool:
        return self._counts[label] < self.answers

    def count(self, label: str) -> None:
        self._counts[label] += 1


def _asked_of_each(asks: StressWork) -> int:
    return 1 + len(BREAKS) * len(asks.strengths)


def _candidates(part: Part, asks: StressWork, wanted: _Wanted) -> Iterator[Item]:
    """Coherent answers to harmful requests that were not used yet, from all checkpoints alike."""
    items = [
        item
        for name in asks.generations
        for item in read_items(open_job(folder_beside(part.job.folder, name)))
        if item.benchmark.kind == KIND
    ]
    for item in sorted(items, key=lambda item: digest_text(item.generation.id)):
        text = item.generation.text
        if item.generation.id not in wanted.done and not detect(text, item.prompt.text).incoherent:
            yield item


def _batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _verdicts(judge: Judge, items: list[Item], dimension: str) -> list[Verdict]:
    """The verdict on each item in one dimension."""
    return [next(v for v in several if v.dimension == dimension) for several in verdicts_on(judge, items)]


def _stressed(
    judge: Judge, item: Item, dimension: str, before: str, asks: StressWork
) -> Iterator[StressVerdict]:
    """What the judge says of an answer once more, and of it broken in every way."""
    text, prompt = item.generation.text, item.prompt.text
    ways = [("", 0.0), *((reason, strength) for reason in BREAKS for strength in asks.strengths)]
    texts = [broken(text, prompt, *way) if way[0] else text for way in ways]
    items = [Item(replace(item.generation, text=t), item.prompt, item.benchmark) for t in texts]
    batches = _batches(iter(items), judge.batch_size)
    verdicts = [verdict for batch in batches for verdict in _verdicts(judge, batch, dimension)]
    for (reason, strength), changed, verdict in zip(ways, texts, verdicts, strict=True):
        yield StressVerdict(
            judge.rater.id,
            item.generation.id,
            dimension,
            reason,
            strength,
            before,
            verdict.status,
            verdict.label,
            int(detect(changed, prompt).incoherent),
        )
