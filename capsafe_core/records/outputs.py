"""What models gave, and of what: studies, checkpoints, benchmarks, prompts, conditions and generations."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, field
from msgspec.structs import asdict

from capsafe_core.records.fact import Fact
from capsafe_core.records.ids import cell_key, generation_key, identify
from capsafe_core.values import Count, Holding, Id, Int, Long, Name, Number, Seconds


class StudyRecord(Fact, frozen=True, tag="study"):
    """A study file as it stood when it was run; `declared` is when, in seconds since 1970."""

    name: Name
    text: str
    digest: str
    primary_digest: str
    declared: Seconds
    again: Count = 0
    """how many times this text was declared before, with another in between"""

    @property
    def id(self) -> str:
        return identify("study", self.name, self.digest, *([self.again] if self.again else []))


class Checkpoint(Fact, frozen=True, tag="checkpoint"):
    """Weights: an origin and an ordered list of adapters, identified by the digests of their files."""

    origin: Name
    origin_digest: str
    adapters: tuple[str, ...] = ()
    """digests of the adapters, in the order in which they are applied"""

    @property
    def id(self) -> str:
        return identify("checkpoint", self.origin_digest, list(self.adapters))


class PathPoint(Fact, frozen=True, tag="path_point"):
    """A checkpoint's place on the path of one recipe and seed."""

    study: Name
    recipe: Name
    seed: Int
    step: Int
    checkpoint_id: Id
    start: Name
    dataset: Name
    learning_rate: Number

    @property
    def path_id(self) -> str:
        return identify("path", self.study, self.recipe, self.seed)

    @property
    def id(self) -> str:
        return identify("path_point", self.study, self.recipe, self.seed, self.step)


class BenchmarkRecord(Fact, frozen=True, tag="benchmark"):
    """A versioned set of prompts."""

    name: Name
    version: Name
    kind: str
    digest: str
    size: Int
    licence: str = ""
    source: str = ""

    @property
    def id(self) -> str:
        return identify("benchmark", self.name, self.version, self.digest)


class Prompt(Fact, frozen=True, tag="prompt"):
    """A fixed history ending in a user turn."""

    benchmark_id: Id
    item: str
    position: Int
    messages: Annotated[
        tuple[Annotated[dict[str, str], Holding({"role": str, "content": str})], ...], Meta(min_length=1)
    ]
    category: str = ""
    behaviour: str = ""
    behaviour_text: str = ""
    context: str = ""
    reference: str = ""

    @property
    def id(self) -> str:
        return identify("prompt", self.benchmark_id, self.item)

    @property
    def text(self) -> str:
        """The last user turn."""
        return self.messages[-1]["content"]


class Condition(Fact, frozen=True, tag="condition"):
    """Everything besides checkpoint and prompt that shapes an output."""

    system_prompt: str
    template_digest: str
    few_shot: Int
    temperature: Number
    top_p: Number
    max_tokens: Int
    engine: str
    engine_version: str
    dtype: str

    @property
    def id(self) -> str:
        return identify("condition", asdict(self))


class Attack(Fact, frozen=True, tag="attack"):
    """A way of rewriting prompts to get past a model's refusals."""

    name: Name
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return identify("attack", self.name, self.settings)


class Generation(Fact, frozen=True, tag="generation"):
    """One output of one cell for one prompt."""

    checkpoint_id: Id
    benchmark_id: Id
    condition_id: Id
    prompt_id: Id
    sample: Int
    seed: Long
    text: str
    finish_reason: str
    tokens: Int
    attack_id: Id | None = None
    asked: str = ""
    """the text that the model was given, where an attack or a format rewrote the prompt"""
    reasoning: str = ""
    """what the model wrote before its answer to reason, its marks included; `text` is the answer alone"""

    @property
    def was_cut_while_reasoning(self) -> bool:
        """Whether the model was cut off before its answer began."""
        return bool(self.reasoning) and not self.text and self.finish_reason == "length"

    @property
    def cell_id(self) -> str:
        return cell_key(self.checkpoint_id, self.benchmark_id, self.condition_id, self.attack_id)

    @property
    def id(self) -> str:
        return generation_key(self.cell_id, self.prompt_id, self.sample, self.seed)
