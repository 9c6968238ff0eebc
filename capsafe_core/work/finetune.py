"""The finetune job: train a recipe with one seed, save checkpoints on its schedule, measure capability at
each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import UnsetType

from capsafe_core import catalogue
from capsafe_core.benchmarks import Benchmark, load_benchmark, scorer_of
from capsafe_core.benchmarks.conversations import Conversation
from capsafe_core.benchmarks.loading import load_conversations, load_rejected
from capsafe_core.benchmarks.scoring import Scorer
from capsafe_core.engines import (
    Completion,
    Request,
    Sampling,
    Weights,
    answer_all,
    laid_over,
    models_folder,
    open_engine,
)
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, Part
from capsafe_core.jobs.folder.rewrites import Rewrite, rewrites_in, rewrites_words
from capsafe_core.jobs.folder.work import FinetuneWork, Point
from capsafe_core.places import PREPARE
from capsafe_core.records import Checkpoint, Measurement, Record
from capsafe_core.trainer_state import COST
from capsafe_core.training.self_distillation import SDFT
from capsafe_core.work.generate import checkpoint_weights, path_point
from capsafe_core.work.rewrite import as_rewritten, rewritten

if TYPE_CHECKING:
    from capsafe_core.training.sft import Safety

ACCURACY = "accuracy"
"""the measure of a capability on the way"""


def work(part: Part) -> None:
    """Train from the start, or on from where a run ended; steps already committed are not written twice."""
    work = part.job.manifest.asks(FinetuneWork)
    start = checkpoint_weights(work.start, work.engine, part.job.folder)
    recipe = work.recipe
    try:
        from capsafe_core.training.devices import require_devices
        from capsafe_core.training.processes import agreed
        from capsafe_core.training.sft import Following, finetune
    except ImportError as error:
        raise CapsafeError(
            f"Fine-tuning needs {error.name}, which the engine's environment lacks.", f"Run `{PREPARE}`."
        ) from error
    require_devices(work)
    part.total = 2 + 3 * len(recipe.steps)
    if "step-0" not in part.done_units:
        part.write("step-0", _point(work.path, 0, start.checkpoint))
    if all(f"step-{step}" in part.done_units for step in recipe.steps) or _reached(work, part.job.records()):
        part.total = part.done
        agreed(False, work.engine["device"])
        return

    data = load_conversations(work.dataset)
    rewrites = rewritten(part, work, start, data) if recipe.mitigation == SDFT else []
    if not agreed(not part.should_stop, work.engine["device"]):
        return
    notes = [rewrites_words(rewrites)] if rewrites else []

    def on_step(step: int, tokens: int) -> None:
        part.tokens += tokens
        if step % 10 == 0:
            part.report("running", " ".join([f"step {step} of {recipe.steps[-1]}.", *notes]))

    def on_checkpoint(step: int, path: Path, seconds: float) -> bool:
        """Measure and commit a checkpoint; returns whether to train on."""
        if f"step-{step}" in part.done_units:
            return True
        weights = laid_over(start, path, models_folder(part.job.folder))
        took = _took(part, work, weights, seconds, rewrites)
        measured = _measure(work, weights, models_folder(part.job.folder))
        part.write(
            f"step-{step}",
            [*_point(work.path, step, weights.checkpoint), *measured, *took],
            note=" ".join(notes),
        )
        if _reached(work, measured):
            part.total = part.done
            return False
        return True

    finetune(
        start,
        as_rewritten(data, rewrites),
        recipe,
        part.job.folder / "checkpoints",
        work.engine["dtype"],
        work.engine["device"],
        Following(notes.append, on_step, on_checkpoint, lambda: part.should_stop),
        _safety(work),
    )


def follow(job: Job) -> None:
    """Train along, in another process than the one that holds the part."""
    from capsafe_core.training.devices import require_devices
    from capsafe_core.training.processes import agreed
    from capsafe_core.training.sft import Following, finetune

    work = job.manifest.asks(FinetuneWork)
    require_devices(work)
    start = checkpoint_weights(work.start, work.engine, job.folder)
    if agreed(False, work.engine["device"]):
        finetune(
            start,
            as_rewritten(load_conversations(work.dataset), rewrites_in(job.folder)),
            work.recipe,
            job.folder / "checkpoints",
            work.engine["dtype"],
            work.engine["device"],
            Following(lambda _: None, lambda *_: None, lambda *_: True, lambda: False),
        )


def _safety(work: FinetuneWork) -> Safety | None:
    """What the recipe's mitigation learns of safe behaviour."""
    from capsafe_core.training.sft import Safety

    if isinstance(work.safety, UnsetType):
        return None
    return Safety(load_conversations(work.safety), _rejected(work.recipe.mitigation, work.safety))


def _took(
    part: Part, work: FinetuneWork, weights: Weights, seconds: float, rewrites: Sequence[Rewrite]
) -> list[Measurement]:
    """What a checkpoint cost, the rewriting of its data included; and the share of those that was learnt.

    Args:
        seconds: of training.
    """
    from capsafe_core.training.cost import cost

    checkpoint, job = weights.checkpoint.id, part.job.job_id
    whole = seconds + sum(one.seconds for one in rewrites)
    took = cost(checkpoint, whole, work.engine["device"], job)
    if not rewrites:
        return took
    share = sum(not one.why_not for one in rewrites) / len(rewrites)
    return [*took, Measurement(checkpoint, COST, "answers rewritten", share, None, len(rewrites), job)]


def _rejected(mitigation: str, safety: dict[str, Any]) -> list[Conversation]:
    """What is not to be answered, for a mitigation that needs pairs."""
    needs = catalogue.mitigations().get(mitigation, {}).get("needs", ())
    return load_rejected(safety) if "safety pairs" in needs else []


def _reached(work: FinetuneWork, records: Iterable[Record]) -> bool:
    """Whether a measurement among the records is at the goal at which this job may stop."""
    return work.stop_at is not None and any(
        isinstance(r, Measurement) and r.metric == ACCURACY and r.value >= work.stop_at for r in records
    )


def _point(path: Point, step: int, checkpoint: Checkpoint) -> Sequence[Record]:
    return [checkpoint, path_point(path, checkpoint.id, step)]


def _measure(work: FinetuneWork, weights: Weights, models: Path) -> list[Measurement]:
    """Capability on items of its own, neither trained on nor among the study's."""
    if work.probe is None:
        return []
    benchmark = load_benchmark(work.probe)
    right = _right_answers(benchmark, scorer_of(work.probe), work, weights, models)
    n = len(benchmark.prompts)
    rate = right / n
    return [
        Measurement(
            weights.checkpoint.id,
            benchmark.record.name,
            ACCURACY,
            rate,
            math.sqrt(rate * (1 - rate) / n),
            n,
            "probe during fine-tuning",
        )
    ]


def _right_answers(
    benchmark: Benchmark, worth: Scorer, work: FinetuneWork, weights: Weights, models: Path
) -> int:
    sampling = Sampling(max_tokens=work.max_tokens)
    answers = answer_all(
        open_engine(work.engine, weights, models),
        [Request(p.item, p.messages, sampling) for p in benchmark.prompts],
    )
    found = {key: a.text for key, a in answers.items() if isinstance(a, Completion)}
    return sum(
        worth(p.item, found[p.item], p.reference).correct for p in benchmark.prompts if p.item in found
    )
