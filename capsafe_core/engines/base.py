"""What every engine promises."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

Message = dict[str, str]
"""{"role": ..., "content": ...}"""


@dataclass(frozen=True)
class Request:
    """A conversation to answer; `key` comes back with the completion."""

    key: str
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Sampling:
    """Decoding settings; temperature 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 64
    seed: int = 0
    logprobs: bool = False


@dataclass(frozen=True)
class Completion:
    """An answer; `logprobs` holds the natural log-probability of each chosen token where asked for."""

    key: str
    text: str
    finish_reason: str
    """stop or length"""
    tokens: int
    logprobs: tuple[float, ...] | None = None


class Engine(Protocol):
    """A loaded model that answers batches of requests."""

    name: str
    version: str
    dtype: str
    batch_size: int
    template_digest: str

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer one batch, in its order."""
        ...

    def choose(self, requests: Sequence[Request], options: Sequence[str]) -> list[list[float]]:
        """Natural log-probability of each option's first token as the answer's first, for each request."""
        ...

    def length(self, request: Request) -> int:
        """The number of tokens of a request as the model sees it."""
        ...


def batch_plan(engine: Engine, requests: Sequence[Request]) -> Iterator[tuple[str, list[Request]]]:
    """Batches of similar length, each with a name; planned from the inputs alone.

    The plan is the same on every run, so a worker that resumes repeats whole batches and gets the same text.
    """
    ordered = sorted(requests, key=lambda request: (engine.length(request), request.key))
    for i in range(0, len(ordered), engine.batch_size):
        batch = ordered[i : i + engine.batch_size]
        yield f"batch-{i // engine.batch_size:05d}", batch


def batch_seed(seed: int, keys: Sequence[str]) -> int:
    """A 63-bit seed from the study's seed and the keys of a batch."""
    digest = hashlib.blake2b(f"{seed}:{'|'.join(keys)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
