"""A judge that is a language model: a template and a parser over an engine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from capsafe_core.engines import Engine, Request, Sampling, open_engine, resolve_weights
from capsafe_core.judges.protocol import Item, Verdict
from capsafe_core.records import BenchmarkRecord, Rater


class LanguageModelJudge:
    """Asks a model with a published template and reads its answer with the published parser."""

    def __init__(self, rater: Rater, entry: Mapping[str, Any], engine: Engine) -> None:
        self.rater = rater
        self.batch_size = engine.batch_size
        self._entry = entry
        self._engine = engine
        self._known: dict[str, Verdict] = {}

    @classmethod
    def open(cls, name: str, entry: dict[str, Any], config: dict[str, Any], engine: dict[str, Any], model: str, models: Path) -> LanguageModelJudge:
        from capsafe_core.judges.registry import rater

        weights = resolve_weights(model, models)
        return cls(rater(name, entry, config, model=model, model_digest=weights.digest), entry, open_engine(engine, weights))

    def applies(self, benchmark: BenchmarkRecord) -> bool:
        return benchmark.kind == "safety"

    def judge(self, items: Sequence[Item]) -> list[list[Verdict]]:
        asked = [self.ask(item) for item in items]
        new = [text for text in dict.fromkeys(asked) if text not in self._known]
        if new:
            sampling = Sampling(max_tokens=self._entry["max_tokens"])
            requests = [Request(text, ({"role": "user", "content": text},)) for text in new]
            for answer in self._engine.generate(requests, sampling):
                self._known[answer.key] = self._read(answer.key, answer.text)
        return [[self._known[text]] for text in asked]

    def ask(self, item: Item) -> str:
        """The exact text that the judge receives. Values are put in once: braces in an answer stay as they are."""
        values = {"goal": item.behaviour, "response": item.generation.text}
        return re.sub(r"\{(goal|response)\}", lambda match: values[match.group(1)], self._entry["template"])

    def _read(self, asked: str, raw: str) -> Verdict:
        label = one_word(raw, self._entry["words"])
        return Verdict("safety", label, status="ok" if label else "unparsed", native=raw.strip(), raw=raw, asked=asked)


def one_word(raw: str, words: Mapping[str, str]) -> str | None:
    """The label whose word stands in an answer; None when none or several do, never a guess."""
    found = {label for word, label in words.items() if word in re.findall(r"\w+", raw.casefold())}
    return found.pop() if len(found) == 1 else None
