"""The finetune job: train a recipe with one seed, save checkpoints on its schedule, measure capability at each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from capsafe_core.benchmarks import Benchmark, load_benchmark, load_training_pairs, scorer_of
from capsafe_core.engines import (
    Completion,
    Request,
    Sampling,
    Weights,
    answer_all,
    models_folder,
    open_engine,
)
from capsafe_core.jobs.folder import Part
from capsafe_core.records import Checkpoint, Measurement, PathPoint, Record
from capsafe_core.training.lora import Recipe, finetune
from capsafe_core.work.generate import checkpoint_weights


def work(part: Part) -> None:
    """Train from the start; steps already committed are trained through again but not written twice."""
    wanted = part.job.manifest.work
    start = checkpoint_weights(wanted["start"], wanted["engine"], part.job.folder)
    recipe = Recipe(**{**wanted["recipe"], "steps": tuple(wanted["recipe"]["steps"])})
    part.total = 2 + 3 * len(recipe.steps)
    if "step-0" not in part.done_units:
        part.write("step-0", _point(wanted["path"], 0, start.checkpoint))
    if all(f"step-{step}" in part.done_units for step in recipe.steps) or _reached(
        wanted, part.job.records()
    ):
        part.total = part.done
        return

    def on_step(step: int, tokens: int) -> None:
        part.tokens += tokens
        if step % 10 == 0:
            part.report("running", f"step {step} of {recipe.steps[-1]}")

    folder = part.job.folder / "checkpoints"
    for step, path in finetune(
        start,
        load_training_pairs(wanted["dataset"]),
        recipe,
        folder,
        wanted["engine"]["dtype"],
        wanted["engine"]["device"],
        on_step,
    ):
        if f"step-{step}" in part.done_units:
            continue
        weights = replace(start, adapters=(*start.adapters, path))
        measured = _measure(wanted, weights, models_folder(part.job.folder))
        part.write(f"step-{step}", [*_point(wanted["path"], step, weights.checkpoint), *measured])
        if _reached(wanted, measured):
            part.total = part.done
            return
        if part.should_stop:
            return


def _reached(wanted: dict[str, Any], records: Iterable[Record]) -> bool:
    """Whether a measurement among the records is at the goal at which this job may stop."""
    return wanted["stop_at"] is not None and any(
        isinstance(r, Measurement) and r.value >= wanted["stop_at"] for r in records
    )


def _point(path: dict[str, Any], step: int, checkpoint: Checkpoint) -> Sequence[Record]:
    return [checkpoint, PathPoint(**path, step=step, checkpoint_id=checkpoint.id)]


def _measure(wanted: dict[str, Any], weights: Weights, models: Path) -> list[Measurement]:
    """Capability on items of its own, neither trained on nor among the study's."""
    if wanted["probe"] is None:
        return []
    benchmark = load_benchmark(wanted["probe"])
    right = _right_answers(benchmark, wanted, weights, models)
    n = len(benchmark.prompts)
    rate = right / n
    return [
        Measurement(
            weights.checkpoint.id,
            benchmark.record.name,
            "accuracy",
            rate,
            math.sqrt(rate * (1 - rate) / n),
            n,
            "probe during fine-tuning",
        )
    ]


def _right_answers(benchmark: Benchmark, wanted: dict[str, Any], weights: Weights, models: Path) -> int:
    sampling = Sampling(max_tokens=wanted["max_tokens"])
    answers = answer_all(
        open_engine(wanted["engine"], weights, models),
        [Request(p.item, p.messages, sampling) for p in benchmark.prompts],
    )
    worth = scorer_of(wanted["probe"])
    found = {key: a.text for key, a in answers.items() if isinstance(a, Completion)}
    return sum(
        worth(p.item, found[p.item], p.reference).correct for p in benchmark.prompts if p.item in found
    )
