"""Right or wrong: a benchmark's own scorer as a judge of correctness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from capsafe_core import catalogue
from capsafe_core.benchmarks import scorer_of
from capsafe_core.judges.protocol import Item, Verdict
from capsafe_core.records import BenchmarkRecord, Rater


class Verifier:
    """Checks answers to capability benchmarks; an answer that cannot be read is wrong, and says so."""

    batch_size = 512
    tokens = 0

    def __init__(self, rater: Rater, scorers: Mapping[str, str | dict[str, Any]]) -> None:
        self.rater = rater
        self._scorers = {name: scorer_of(settings) for name, settings in scorers.items()}

    def applies(self, benchmark: BenchmarkRecord) -> bool:
        return (
            benchmark.kind in catalogue.judges()[self.rater.name]["kinds"] and benchmark.name in self._scorers
        )

    def judge(self, items: Sequence[Item]) -> list[list[Verdict]]:
        return [[self._verdict(item)] for item in items]

    def _verdict(self, item: Item) -> Verdict:
        scored = self._scorers[item.benchmark.name](
            item.prompt.item, item.generation.text, item.prompt.reference
        )
        native = (
            "no answer found"
            if scored.parsed is None
            else f"read {scored.parsed!r}, expected {item.prompt.reference!r}"
        )
        return Verdict("correctness", "correct" if scored.correct else "incorrect", native=native)
