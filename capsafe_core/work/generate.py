"""The generate job: checkpoints answer benchmarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msgspec import UNSET

from capsafe_core.benchmarks import Benchmark, load_benchmark
from capsafe_core.engines import (
    Completion,
    Engine,
    Finished,
    Request,
    Sampling,
    Unit,
    Weights,
    find_weights,
    laid_over,
    models_folder,
    open_engine,
)
from capsafe_core.engines.chat import FOLDED
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Part, folder_beside, open_job
from capsafe_core.jobs.folder.work import CheckpointSource, FinetuneWork, GenerateWork, Point, SamplingWork
from capsafe_core.records import (
    BenchmarkRecord,
    Condition,
    Generation,
    Measurement,
    PathPoint,
    Prompt,
    Record,
)
from capsafe_core.trainer_state import STATE, TRAINING, measures_at


@dataclass(frozen=True)
class Group:
    """Checkpoints that one loaded engine answers for: the weights to load, and the adapter that makes each of
    them."""

    weights: Weights
    members: tuple[tuple[Weights, Path | None], ...]

    @property
    def adapters(self) -> list[Path]:
        return [adapter for _, adapter in self.members if adapter is not None]


@dataclass(frozen=True)
class Asked:
    """What a request's answer will be filed under."""

    weights: Weights
    benchmark: Benchmark
    prompt: Prompt
    sample: int
    seed: int


@dataclass(frozen=True)
class Stream:
    """What one checkpoint is asked of one benchmark with one seed, and what each answer is filed under, by
    key."""

    weights: Weights
    name: str
    requests: list[Request]
    asked: dict[str, Asked]


def checkpoint_weights(checkpoint: CheckpointSource, engine: dict[str, Any], job_folder: Path) -> Weights:
    """The weights a manifest names.

    Raises:
        CapsafeError: the model or an adapter is not there.
    """
    models = models_folder(job_folder)
    weights = find_weights(
        engine,
        checkpoint.model,
        models,
        trusted=checkpoint.trusted,
        pickles=checkpoint.pickles,
        tokenizer=checkpoint.tokenizer,
    )
    for a in checkpoint.adapters:
        trained = folder_beside(job_folder, a.job) / "checkpoints" if a.job else Path()
        weights = laid_over(weights, Path(a.path) if a.path else trained / f"step-{a.step:06d}", models)
    return weights


def work(part: Part) -> None:
    """Generate every answer that is not there yet."""
    work = part.job.manifest.asks(GenerateWork)
    benchmarks = [load_benchmark(b) for b in work.benchmarks]
    checkpoints = [
        checkpoint_weights(c, work.engine, part.job.folder)
        for c in work.all_checkpoints
        if not _never_trained(c, part.job.folder)
    ]
    streams = [
        stream
        for weights in checkpoints
        for stream in plan_streams(work, weights, benchmarks, part.index, part.job.manifest.parts)
    ]
    facts = [
        [*_facts(work, weights, benchmarks), *_begun_elsewhere(work, weights, part)]
        for weights in checkpoints
    ]
    part.total = (
        sum(len(f) for f in facts)
        + len(checkpoints) * len(benchmarks)
        + sum(len(stream.requests) for stream in streams)
    )
    _check_unchanged(part, benchmarks)
    for i, records in enumerate(facts):
        if _numbered("facts", i) not in part.done_units:
            part.write(_numbered("facts", i), records)
    for group in group_checkpoints(checkpoints, work.switches):
        engine = open_engine(
            work.engine,
            group.weights,
            models_folder(part.job.folder),
            group.adapters,
            lambda: part.should_stop,
        )
        answer_group(part, work, engine, group, checkpoints, benchmarks, streams)
        if part.should_stop:
            return
        del engine  # its memory, before the next one is loaded


def _check_unchanged(part: Part, benchmarks: Sequence[Benchmark]) -> None:
    """A job goes on with the prompts that it began with.

    Raises:
        CapsafeError: a benchmark's file has changed since.
    """
    begun = {r.name: r.id for r in part.job.part_records(part.index) if isinstance(r, BenchmarkRecord)}
    changed = next(
        (b.record.name for b in benchmarks if begun.get(b.record.name, b.record.id) != b.record.id), None
    )
    if changed:
        raise CapsafeError(
            f"The benchmark {changed!r} has changed since this job began.",
            "Put its file back, or save the changed one under another name and run that.",
        )


def _check_plan(part: Part, stream: Stream, planned: Sequence[Unit]) -> None:
    """What a job has answered already are units of the plan that it goes on with; otherwise prompts would be
    answered twice, or never.

    Raises:
        CapsafeError: another version of capsafe began it.
    """
    names = {f"{stream.name}/{unit.name}" for unit in planned}
    units = (name for name in part.done_units if name.rpartition("/")[0] == stream.name)
    if any(name not in names and "/condition-" not in name for name in units):
        raise CapsafeError(
            f"This job has begun with batches that this version of capsafe does not make ({stream.name}).",
            "Finish it with the version that began it, or delete its folder and run the study again.",
        )


def answer_group(
    part: Part,
    work: GenerateWork,
    engine: Engine,
    group: Group,
    checkpoints: list[Weights],
    benchmarks: list[Benchmark],
    streams: list[Stream],
) -> None:
    """Everything that a group's checkpoints still owe."""
    conditions = {b.record.name: _condition(engine, work, b) for b in benchmarks}
    units: list[Unit] = []
    known: dict[str, Asked] = {}
    for weights, adapter in group.members:
        for benchmark in benchmarks:
            condition = conditions[benchmark.record.name]
            unit = _numbered(f"{benchmark.record.name}/condition-{condition.id}", checkpoints.index(weights))
            if unit not in part.done_units:
                part.write(unit, [condition])
        for stream in streams:
            if stream.weights == weights:
                planned = engine.plan([replace(r, adapter=adapter) for r in stream.requests])
                _check_plan(part, stream, planned)
                units += [
                    Unit(f"{stream.name}/{u.name}", u.requests)
                    for u in planned
                    if f"{stream.name}/{u.name}" not in part.done_units
                ]
                known.update(stream.asked)
    if not units or part.should_stop:
        return
    with closing(engine.generate(units)) as answers:
        for finished in answers:
            _file(part, finished, known, conditions)
            if part.should_stop:
                return


def _file(part: Part, finished: Finished, known: dict[str, Asked], conditions: dict[str, Condition]) -> None:
    """Commit what was answered; note what was not."""
    failed = {failure.key for failure in finished.failures}
    for failure in finished.failures:
        part.error(failure.key, failure.message)
    units = [u.name for u in finished.units if not failed & {r.key for r in u.requests}]
    if units:
        records = [
            _generation(a, known[a.key], conditions[known[a.key].benchmark.record.name])
            for a in finished.completions
        ]
        part.write(units, records, sum(a.tokens for a in finished.completions), finished.note)


def plan_requests(work: GenerateWork, weights: Weights, benchmarks: Sequence[Benchmark]) -> list[Request]:
    """Everything that one checkpoint of a generate job is asked."""
    adapter = weights.adapters[-1] if work.switches and weights.adapters else None
    return [
        replace(r, adapter=adapter)
        for stream in plan_streams(work, weights, benchmarks)
        for r in stream.requests
    ]


def plan_streams(
    work: GenerateWork, weights: Weights, benchmarks: Sequence[Benchmark], part: int = 0, parts: int = 1
) -> Iterator[Stream]:
    """What a checkpoint is asked, by benchmark and seed; of several parts, this one's share."""
    prompt = work.sampling.system_prompt
    system = ({"role": "system", "content": prompt},) if prompt else ()
    seeds = work.sampling.all_seeds
    for benchmark, settings in zip(benchmarks, work.benchmarks, strict=True):
        for seed in seeds:
            prefix = "/".join(
                [
                    benchmark.record.name,
                    *([weights.checkpoint.id] if work.switches else []),
                    *([f"seed-{seed}"] if len(seeds) > 1 else []),
                ]
            )
            sampling = _sampling(work.sampling, settings, seed)
            asked = {
                f"{prefix}/{p.item}#{s}": Asked(weights, benchmark, p, s, seed)
                for p in benchmark.prompts
                for s in range(work.sampling.samples)
            }
            mine = list(asked)[part::parts]
            if mine:
                yield Stream(
                    weights,
                    prefix,
                    [Request(key, (*system, *asked[key].prompt.messages), sampling) for key in mine],
                    {key: asked[key] for key in mine},
                )


def group_checkpoints(checkpoints: Sequence[Weights], switching: bool) -> list[Group]:
    """Checkpoints by what has to be loaded for them."""
    if not switching:
        return [Group(weights, ((weights, None),)) for weights in checkpoints]
    # a model that is fine-tuned further is loaded with all its adapters but the last merged
    split = [(replace(w, adapters=w.adapters[:-1]), w) for w in checkpoints]
    return [
        Group(base, tuple((w, w.adapters[-1] if w.adapters else None) for b, w in split if b == base))
        for base in dict.fromkeys(base for base, _ in split)
    ]


def _never_trained(checkpoint: CheckpointSource, job_folder: Path) -> bool:
    """Whether a checkpoint is one that its fine-tuning, done since it reached the goal, has not got."""
    for adapter in checkpoint.adapters:
        if adapter.job:
            job = open_job(folder_beside(job_folder, adapter.job))
            if (
                not (job.folder / "checkpoints" / f"step-{adapter.step:06d}").exists()
                and job.state == "done"
                and job.manifest.kind == FinetuneWork.kind
                and job.manifest.asks(FinetuneWork).stop_at is not None
            ):
                return True
    return False


def _numbered(unit: str, i: int) -> str:
    """A unit's name for the i-th checkpoint of a job."""
    return f"{unit}-{i}" if i else unit


def _facts(work: GenerateWork, weights: Weights, benchmarks: Sequence[Benchmark]) -> list[Any]:
    checkpoint = weights.checkpoint
    point = [] if work.path is UNSET else [path_point(work.path, checkpoint.id)]
    return [checkpoint, *point, *(b.record for b in benchmarks), *(p for b in benchmarks for p in b.prompts)]


def _begun_elsewhere(work: GenerateWork, weights: Weights, part: Part) -> list[Record]:
    """Of a checkpoint that somebody else trained: where its path begins, and what its trainer measured."""
    if work.begins is UNSET or work.path is UNSET:
        return []
    start = checkpoint_weights(work.begins, work.engine, part.job.folder).checkpoint
    folder = weights.adapters[-1] if weights.adapters else weights.folder
    measured = measures_at(folder, 0 if work.path.step is UNSET else work.path.step)
    return [
        start,
        path_point(work.path, start.id, 0),
        *(
            Measurement(weights.checkpoint.id, TRAINING, name, value, None, None, STATE)
            for name, value in measured.items()
        ),
    ]


def path_point(path: Point, checkpoint_id: str, step: int | None = None) -> PathPoint:
    """A checkpoint's place on a path; its step, where the path does not say it."""
    at = step if step is not None else 0 if path.step is UNSET else path.step
    rate = path.learning_rate or 0.0
    return PathPoint(path.study, path.recipe, path.seed, at, checkpoint_id, path.start, path.dataset, rate)


def _sampling(sampling: SamplingWork, settings: dict[str, Any], seed: int) -> Sampling:
    most = settings.get("max_tokens") or sampling.max_tokens
    return Sampling(sampling.temperature, sampling.top_p, most, seed)


def _condition(engine: Engine, work: GenerateWork, benchmark: Benchmark) -> Condition:
    settings = next(s for s in work.benchmarks if s["name"] == benchmark.record.name)
    sampling, prompt = _sampling(work.sampling, settings, 0), work.sampling.system_prompt
    return Condition(
        prompt,
        f"{engine.template_digest}, {FOLDED}" if prompt and engine.folds_system else engine.template_digest,
        0,
        sampling.temperature,
        sampling.top_p,
        sampling.max_tokens,
        engine.name,
        engine.version,
        engine.dtype,
    )


def _generation(answer: Completion, asked: Asked, condition: Condition) -> Generation:
    return Generation(
        asked.weights.checkpoint.id,
        asked.benchmark.record.id,
        condition.id,
        asked.prompt.id,
        asked.sample,
        asked.seed,
        answer.text,
        answer.finish_reason,
        answer.tokens,
        reasoning=answer.reasoning,
    )
