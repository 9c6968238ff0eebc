"""What each kind of job is asked to do, typed.

A manifest holds it as plain JSON under `work`, written by this version or by one before it; those who plan a
job make one of these, and those who do it read one. What a room alone understands stays as that room writes
it: the settings of an engine, a benchmark or a data set, and a judge's own.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from capsafe_core.values import Count, Int, Long, Number, Seconds

W = TypeVar("W", bound="Work")


class _Values(Struct, frozen=True, omit_defaults=True):
    """Plain values; what came later stands there only where it is set, so that the same work keeps its job's
    id."""


class Adapter(_Values, frozen=True):
    """An adapter by the job and the step that made it, or by its folder."""

    job: str = ""
    step: Int = 0
    path: str = ""


class CheckpointSource(_Values, frozen=True):
    """A model and the adapters that are laid over it, in order."""

    model: str
    adapters: tuple[Adapter, ...]
    trusted: bool = False
    """whether code that comes with the model may run"""
    pickles: bool = False
    tokenizer: str = ""
    """the model whose tokenizer it has, where its own folder holds none"""


class Point(_Values, frozen=True):
    """Where on a path a checkpoint stands; a fine-tuning job has the path alone, and its steps besides."""

    study: str
    recipe: str
    seed: Int
    start: str
    dataset: str
    learning_rate: Number | None
    """None of a recipe that is recorded without it"""
    step: Int | UnsetType = UNSET


class SamplingWork(_Values, frozen=True):
    """How answers are drawn."""

    temperature: Number
    top_p: Number
    max_tokens: Int
    samples: Int
    seed: Long
    system_prompt: str
    seeds: tuple[Long, ...] = ()

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds with each of which `samples` answers are drawn."""
        return self.seeds or (self.seed,)


class RecipeWork(_Values, frozen=True):
    """How one fine-tuning run trains."""

    learning_rate: Number | None
    steps: tuple[Int, ...]
    batch_size: Int
    rank: Int
    seed: Long
    method: str = "lora"
    """lora, dora, rslora or qlora: adapters, the last over weights in 4 bits; full: all weights"""
    alpha: Int = 0
    """of an adapter; 0 for twice its rank"""
    schedule: str = "constant_with_warmup"
    """of the learning rate, as transformers calls it"""
    warm_up: Int = 5
    """steps over which the learning rate rises to its value"""
    weight_decay: Number = 0.0
    accumulate: Int = 1
    """batches a step"""
    gradient_checkpointing: bool = False
    packing: bool = False
    """whether short conversations share a row"""
    max_length: Int = 0
    """tokens of a conversation, 0 for as many as it has"""
    mitigation: str = ""
    """what is to keep it safe meanwhile; "" for nothing"""
    options: dict[str, Number] = {}
    """of the mitigation, where they are not its usual ones"""


class Source(_Values, frozen=True):
    """A file of logs, or several that belong together."""

    tool: str
    relative: str
    digest: str
    outputs: Count


class Work(_Values, frozen=True):
    """What a job is asked to do."""

    kind: ClassVar[str]
    """of the job"""


class GenerateWork(Work, frozen=True):
    """Checkpoints answer benchmarks: one, or several that an engine switches between."""

    kind: ClassVar[str] = "generate"

    benchmarks: tuple[dict[str, Any], ...]
    sampling: SamplingWork
    engine: dict[str, Any]
    checkpoint: CheckpointSource | UnsetType = UNSET
    checkpoints: tuple[CheckpointSource, ...] | UnsetType = UNSET
    path: Point | UnsetType = UNSET
    begins: CheckpointSource | UnsetType = UNSET
    """of a checkpoint that somebody else trained: where its path begins"""

    @property
    def switches(self) -> bool:
        """Whether its engine switches between checkpoints."""
        return self.checkpoints is not UNSET

    @property
    def all_checkpoints(self) -> tuple[CheckpointSource, ...]:
        """The one, or the several."""
        if self.checkpoints is not UNSET:
            return self.checkpoints
        return () if self.checkpoint is UNSET else (self.checkpoint,)


class JudgeWork(Work, frozen=True):
    """A judge looks at the outputs of other jobs."""

    kind: ClassVar[str] = "judge"

    judge: str
    config: dict[str, Any]
    """settings of its own, part of its version"""
    model: str | None
    engine: dict[str, Any]
    generations: tuple[str, ...]
    """ids of the jobs"""
    trusted: bool = False
    pickles: bool = False
    entry: dict[str, Any] | UnsetType = UNSET
    """of a judge of the user's own"""

    @property
    def own_entry(self) -> dict[str, Any] | None:
        """The entry of a judge of the user's own; None for one of the catalogue's."""
        return None if self.entry is UNSET else self.entry


class StressWork(JudgeWork, frozen=True):
    """A judge looks at answers of other jobs that are broken on purpose."""

    kind: ClassVar[str] = "stress"

    answers: Int = 40
    """of each of its verdicts, as far as there are"""
    strengths: tuple[Number, ...] = (0.25, 0.5, 0.75, 1.0)


class FinetuneWork(Work, frozen=True):
    """A recipe is trained with one seed."""

    kind: ClassVar[str] = "finetune"

    start: CheckpointSource
    dataset: dict[str, Any]
    recipe: RecipeWork
    path: Point
    probe: dict[str, Any] | None
    """the benchmark that measures capability on the way"""
    stop_at: Number | None
    """the capability at which it may stop"""
    max_tokens: Int
    engine: dict[str, Any]
    safety: dict[str, Any] | UnsetType = UNSET
    """the data set of safe behaviour that the recipe's mitigation needs"""

    @property
    def gpus(self) -> int:
        """That share the batches of each step."""
        return int(self.engine.get("gpus", 1))


WHOLE = 1000
"""the place on its path of what a mitigation starts from"""


def kept_step(strength: float) -> int:
    """The place on its path of a mitigated checkpoint: how much fine-tuning is left, in thousandths."""
    return round(WHOLE * (1 - strength))


class MitigateWork(Work, frozen=True):
    """A mitigation is applied to what a fine-tuning made, at several strengths."""

    kind: ClassVar[str] = "mitigate"

    of: str
    """id of the job that fine-tuned; "" where that was done elsewhere"""
    start: CheckpointSource
    method: str
    strengths: tuple[Number, ...]
    path: Point
    engine: dict[str, Any]
    tuned: Adapter | UnsetType = UNSET
    """the adapter that was trained elsewhere"""
    base: CheckpointSource | UnsetType = UNSET
    """the start's model before it was aligned, where no adapter aligned it"""


class ProbeWork(Work, frozen=True):
    """A few answers of the first of some generate jobs are timed."""

    kind: ClassVar[str] = "probe"

    jobs: tuple[GenerateWork, ...]
    asked: Seconds


class PreviewWork(Work, frozen=True):
    """What some fine-tunings would learn is shown, before any of them starts."""

    kind: ClassVar[str] = "preview"

    jobs: tuple[FinetuneWork, ...]
    """one of each data set, model and length"""
    asked: Seconds


class FitWork(Work, frozen=True):
    """The learnt detector of incoherence is fitted to people's labels."""

    kind: ClassVar[str] = "fit"

    labels: str
    """digest of the labels"""
    datasets: tuple[dict[str, Any], ...]


class SurveyWork(Work, frozen=True):
    """Logs are looked at."""

    kind: ClassVar[str] = "survey"

    roots: tuple[str, ...]
    mapping: str
    name: str
    strict: bool
    asked: Seconds


class ImportWork(Work, frozen=True):
    """Logs are imported."""

    kind: ClassVar[str] = "import"

    study: str
    mapping: str
    sources: tuple[Source, ...]
    joined: str = ""
    """digest of the outputs that were there, where logs name no model"""


class StudyWork(Work, frozen=True):
    """A study's text is declared."""

    kind: ClassVar[str] = "import"

    digest: str
    again: Int = 0
    """how often another text was the newest since it was declared first"""


def plain(work: Work) -> dict[str, Any]:
    """Work as a manifest holds it; its kind stands beside it."""
    values: dict[str, Any] = _listed(msgspec.to_builtins(work))
    return values


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(one) for key, one in value.items()}
    return [_listed(one) for one in value] if isinstance(value, list | tuple) else value
