"""A judge that is a language model: a template and a parser over an engine."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from capsafe_core.engines import (
    Engine,
    Failure,
    Message,
    Request,
    Sampling,
    answer_all,
    find_weights,
    open_engine,
)
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder.work import JudgeWork
from capsafe_core.judges.entry import rater
from capsafe_core.judges.protocol import Item, Verdict
from capsafe_core.judges.reading import options_of, read, status
from capsafe_core.records import BenchmarkRecord, Rater


class LanguageModelJudge:
    """Asks a model with a published template and reads its answer with the published parser.

    How it answers is `answer` in its entry or in its settings:
    "text": it writes, and the parser reads its words;
    "constrained": it may only begin with one of the allowed words, and P(unsafe) among them is its score,
    which is also the way to hear anything from a model too weak to keep to the form;
    "expectation": the mean of the numbers that it may begin with, weighed by their probabilities.
    """

    tokens = 0

    def __init__(self, rater: Rater, entry: Mapping[str, Any], engine: Engine) -> None:
        self.rater = rater
        self.batch_size = engine.batch_size
        self._entry = entry
        self._engine = engine
        self._answer = rater.settings.get("answer", entry.get("answer", "text"))
        self._cutoff = float(rater.settings.get("cutoff", entry.get("scale", {}).get("cutoff", 0.5)))
        self._known: dict[str, list[Verdict]] = {}

    @classmethod
    def open(
        cls,
        name: str,
        entry: dict[str, Any],
        work: JudgeWork,
        models: Path,
        stopped: Callable[[], bool] = lambda: False,
    ) -> LanguageModelJudge:
        if work.config.get("answer") == "constrained" and len(set(options_of(entry).values())) != 2:
            raise CapsafeError(
                f"The judge {name!r} has no two words to choose between.", "Let it answer in text."
            )
        weights = find_weights(
            work.engine,
            str(work.model),
            models,
            trusted=work.trusted,
            pickles=work.pickles,
        )
        made = rater(name, entry, work.config, model=work.model, model_digest=weights.digest)
        return cls(made, entry, open_engine(work.engine, weights, models, stopped=stopped))

    def applies(self, benchmark: BenchmarkRecord) -> bool:
        return benchmark.kind in self._entry["kinds"]

    def judge(self, items: Sequence[Item]) -> list[list[Verdict]]:
        asked = [self.ask(item) for item in items]
        new = {request.key: request for request in asked if request.key not in self._known}
        if new:
            ways = {"text": self._texts, "constrained": self._choices, "expectation": self._expectations}
            self._known.update(ways[self._answer](list(new.values())))
        return [self._known[request.key] for request in asked]

    def ask(self, item: Item) -> Request:
        """What the judge receives; the key is its exact text. Values are put in once: braces in an answer
        stay as they are."""
        values = {
            "goal": item.behaviour,
            "prompt": item.prompt.text,
            "context": item.prompt.context,
            "response": item.generation.text,
        }
        contextual = self._entry.get("contextual_template") if item.prompt.context else None

        def filled(template: str) -> str:
            return re.sub(
                r"\{(goal|prompt|context|response)\}", lambda match: values[match.group(1)], template
            )

        said = [("system", filled(self._entry["system"]))] if "system" in self._entry else []
        if self._entry.get("ask") == "conversation":  # the model's own chat template is the judge's template
            said += [("user", item.prompt.text), ("assistant", item.generation.text)]
        else:
            said.append(("user", filled(contextual or self._entry["template"])))
        if "after" in self._entry:
            said.append(("user", filled(self._entry["after"])))
        key = said[0][1] if len(said) == 1 else "\n\n".join(f"[{role}]\n{text}" for role, text in said)
        parts = self._entry.get("content") == "parts"
        messages: list[Message] = [
            {"role": role, "content": [{"type": "text", "text": text}] if parts else text}
            for role, text in said
        ]
        begun = self._entry.get("begun", "") if self._answer != "text" else ""
        return Request(
            key,
            tuple(messages),
            Sampling(max_tokens=self._entry["max_tokens"]),
            raw=self._entry.get("ask") == "raw",
            begun=begun,
            template=self._entry.get("chat_template", {}),
        )

    def _texts(self, requests: Sequence[Request]) -> dict[str, list[Verdict]]:
        """Let the model write, and read its words."""
        found = {}
        for key, answer in answer_all(self._engine, requests).items():
            if isinstance(answer, Failure):
                found[key] = [
                    Verdict(d, None, status="error", raw=answer.message, asked=key)
                    for d in self.rater.dimensions
                ]
                continue
            self.tokens += answer.tokens
            readings = read(self._entry, answer.text)
            ended = status(readings, answer.text, answer.finish_reason, self._entry["max_tokens"])
            found[key] = [
                Verdict(
                    r.dimension,
                    r.label,
                    status="ok" if r.found else ended,
                    native=r.native,
                    score=r.score,
                    raw=answer.whole,
                    asked=key,
                )
                for r in readings
            ]
        return found

    def _choices(self, requests: Sequence[Request]) -> dict[str, list[Verdict]]:
        """Ask only which of the allowed words the model would begin with."""
        options = options_of(self._entry)
        positive, negative = _sides(options)

        def weigh(chances: list[float]) -> Verdict:
            score = math.fsum(
                c for c, label in zip(chances, options.values(), strict=True) if label == positive
            )
            return Verdict(
                self.rater.dimensions[0],
                positive if score >= self._cutoff else negative,
                native=f"P({positive}) = {score:.3f}",
                score=score,
            )

        return self._weighed(requests, list(options), weigh)

    def _expectations(self, requests: Sequence[Request]) -> dict[str, list[Verdict]]:
        """The mean of the numbers that the model may begin with, brought to 0 to 1."""
        numbers = [float(word) for word in self._entry["numbers"]]

        def weigh(chances: list[float]) -> Verdict:
            score = (math.fsum(c * n for c, n in zip(chances, numbers, strict=True)) - numbers[0]) / (
                numbers[-1] - numbers[0]
            )
            return Verdict(
                self.rater.dimensions[0],
                "unsafe" if score >= self._cutoff else "safe",
                native=f"score {score:.3f}",
                score=score,
            )

        return self._weighed(requests, self._entry["numbers"], weigh)

    def _weighed(
        self, requests: Sequence[Request], words: list[str], weigh: Callable[[list[float]], Verdict]
    ) -> dict[str, list[Verdict]]:
        """Verdicts from the probabilities, among some words, of the one with which the answer begins."""
        found = {}
        for request, logs in zip(requests, self._engine.choose(requests, words), strict=True):
            chances = [math.exp(log) for log in logs]
            total = math.fsum(chances)
            ended = _unusable(logs, total)
            verdict = (
                Verdict(self.rater.dimensions[0], None, status=ended)
                if ended
                else weigh([c / total for c in chances])
            )
            raw = ", ".join(f"log P({word!r}) = {log:.3f}" for word, log in zip(words, logs, strict=True))
            found[request.key] = [replace(verdict, raw=raw, asked=request.key)]
        return found


def _unusable(logs: Sequence[float], total: float) -> str:
    """Why probabilities give no verdict, or nothing: they are no numbers, or options are unknown and the
    known ones are not most of it."""
    if not math.isfinite(total):
        return "error"
    return "unparsed" if not total or (float("-inf") in logs and total < 0.5) else ""


def _sides(options: Mapping[str, str]) -> tuple[str, str]:
    """The label whose probability is the score, and the other one: unsafe before safe, incoherent before
    coherent."""
    labels = list(dict.fromkeys(options.values()))
    positive = next((label for label in ("unsafe", "incoherent") if label in labels), labels[0])
    return positive, next(label for label in labels if label != positive)
