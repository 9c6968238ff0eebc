"""What every engine promises."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from capsafe_core.reasoning_part import split_reasoning

Message = dict[str, Any]
"""{"role": ..., "content": ...}; the content is a text, or a list of {"type": "text", "text": ...} for
templates that want one"""


@dataclass(frozen=True)
class Sampling:
    """Decoding settings; temperature 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 64
    seed: int = 0
    logprobs: bool = False


@dataclass(frozen=True)
class Request:
    """A conversation to answer; `key` comes back with the completion."""

    key: str
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    adapter: Path | None = None
    """the LoRA folder to answer with, for engines that switch adapters"""
    raw: bool = False
    """the one message is the exact text for the model: no chat template, no special tokens but its own"""
    begun: str = ""
    """how the answer begins; the model goes on from there"""
    template: Mapping[str, Any] = field(default_factory=dict)
    """further arguments of the chat template"""

    @property
    def in_chat(self) -> bool:
        """Whether the answer begins where the chat template as it stands ends."""
        return not (self.raw or self.begun or self.template)


@dataclass(frozen=True)
class Completion:
    """An answer; `logprobs` holds the natural log-probability of each chosen token where asked for."""

    key: str
    text: str
    finish_reason: str
    """stop or length; a server may have words of its own"""
    tokens: int
    logprobs: tuple[float, ...] | None = None
    reasoning: str = ""
    """what the model wrote before its answer to reason, its marks included"""

    @classmethod
    def of(
        cls,
        key: str,
        text: str,
        finish_reason: str,
        tokens: int,
        logprobs: tuple[float, ...] | None = None,
        opened: bool = False,
    ) -> Completion:
        """From all that a model wrote; `opened` as of `split_reasoning`."""
        parts = split_reasoning(text, opened)
        return cls(key, parts.answer, finish_reason, tokens, logprobs, parts.reasoning)

    @property
    def whole(self) -> str:
        """Reasoning and answer."""
        return self.reasoning + self.text


@dataclass(frozen=True)
class Failure:
    """A request that got no answer, and why."""

    key: str
    message: str


@dataclass(frozen=True)
class Unit:
    """Requests that are answered together or not at all; what a worker commits."""

    name: str
    requests: tuple[Request, ...]


@dataclass(frozen=True)
class Finished:
    """Units that have been answered just now; `failures` are the requests among them that were not."""

    units: tuple[Unit, ...]
    completions: tuple[Completion, ...]
    failures: tuple[Failure, ...] = ()
    note: str = ""
    """what happened on the way, such as a batch that had to be split"""


class Engine(Protocol):
    """A loaded model, or the way to one."""

    name: str
    version: str
    dtype: str
    batch_size: int
    """requests that are worth handing over at a time"""
    template_digest: str
    folds_system: bool
    """whether a system prompt stands in the first user turn, because the chat template has no place for it"""

    def plan(self, requests: Sequence[Request]) -> list[Unit]:
        """Units of work, planned from the requests alone, so that a worker that resumes repeats the same
        ones."""
        ...

    def generate(self, units: Sequence[Unit]) -> Generator[Finished, None, None]:
        """Answer units, in any order, as they come; closing the iterator gives up the rest.

        Raises:
            CapsafeError: nothing more can be answered.
        """
        ...

    def choose(self, requests: Sequence[Request], options: Sequence[str]) -> list[list[float]]:
        """Natural log-probability of each option's first token as the next, for each request; -inf where
        unknown.

        Raises:
            CapsafeError: two options begin with the same token, or the engine has no log-probabilities.
        """
        ...


def answer_all(engine: Engine, requests: Sequence[Request]) -> dict[str, Completion | Failure]:
    """The answer to every request, by key."""
    found: dict[str, Completion | Failure] = {}
    for finished in engine.generate(engine.plan(requests)):
        found.update({completion.key: completion for completion in finished.completions})
        found.update({failure.key: failure for failure in finished.failures})
    return found


def queue_plan(requests: Sequence[Request], size: int, length: Callable[[Request], int]) -> list[Unit]:
    """Units of similar length, planned from the inputs alone: repeated whole, one gives the same text."""
    ordered = sorted(requests, key=lambda request: (length(request), request.key))
    return [
        Unit(f"queue-{i // size:05d}", tuple(ordered[i : i + size])) for i in range(0, len(ordered), size)
    ]


def single_plan(requests: Sequence[Request]) -> list[Unit]:
    """One unit a request, for engines that batch by themselves."""
    return [Unit(request.key, (request,)) for request in requests]


def request_seed(seed: int, keys: Sequence[str]) -> int:
    """A 63-bit seed from the study's seed and the keys of what is answered together."""
    digest = hashlib.blake2b(f"{seed}:{'|'.join(keys)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
