"""The coherence detectors as judges: the rules, and the one that learnt from people."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from capsafe_core import catalogue
from capsafe_core.benchmarks import load_training_pairs
from capsafe_core.coherence import AnswerFormat, Detection, detect, learn_formats
from capsafe_core.coherence.detector import RULES
from capsafe_core.coherence.features import features
from capsafe_core.coherence.learnt import probability
from capsafe_core.errors import CapsafeError
from capsafe_core.judges.entry import rater
from capsafe_core.judges.protocol import Item, Verdict
from capsafe_core.records import BenchmarkRecord, Rater


class CoherenceJudge:
    """Rules over the text; knows the answer forms of the study's fine-tuning tasks."""

    batch_size = 256
    tokens = 0

    def __init__(self, rater: Rater, formats: Sequence[AnswerFormat]) -> None:
        self.rater = rater
        self._formats = formats

    @classmethod
    def learnt_from(cls, name: str, entry: dict[str, Any], config: dict[str, Any]) -> CoherenceJudge:
        """Learn the answer forms from the data sets in the config, the same for every checkpoint judged."""
        formats = learn_formats(config.get("datasets", []), load_training_pairs)
        shown = [dataclasses.asdict(form) for form in formats]
        return cls(rater(name, entry, {}, formats=shown, rules=RULES), formats)

    def applies(self, benchmark: BenchmarkRecord) -> bool:
        return benchmark.kind in catalogue.judges()[self.rater.name]["kinds"]

    def judge(self, items: Sequence[Item]) -> list[list[Verdict]]:
        return [[self._verdict(item)] for item in items]

    def _detect(self, item: Item) -> Detection:
        found = detect(_read(item), item.prompt.text, self._formats, item.benchmark.kind == "capability")
        if item.generation.was_cut_while_reasoning:  # places in the reasoning are none in the answer
            return Detection(tuple(replace(finding, start=0, end=0) for finding in found.findings))
        return found

    def _verdict(self, item: Item) -> Verdict:
        found = self._detect(item)
        return _told(found.incoherent, found)


class LearntCoherenceJudge(CoherenceJudge):
    """P(incoherent) as people's labels taught it; the rules only point at the evidence."""

    def __init__(self, rater: Rater, formats: Sequence[AnswerFormat], fitted: dict[str, Any]) -> None:
        super().__init__(rater, formats)
        self._fitted = fitted

    @classmethod
    def open(cls, name: str, entry: dict[str, Any], config: dict[str, Any]) -> LearntCoherenceJudge:
        """The detector with the weights in the config, `fitted` as `coherence.learnt.fit` returns it.

        Raises:
            CapsafeError: nobody has trained it.
        """
        if "fitted" not in config:
            raise CapsafeError(
                f"The judge {name!r} has not been trained.",
                "Train it on people's labels: on the Labels page, or with `capsafe detector`.",
            )
        formats = learn_formats(config.get("datasets", []), load_training_pairs)
        return cls(
            rater(
                name,
                entry,
                {"fitted": config["fitted"]},
                formats=[dataclasses.asdict(form) for form in formats],
                rules=RULES,
            ),
            formats,
            config["fitted"],
        )

    def _verdict(self, item: Item) -> Verdict:
        chance = probability(
            self._fitted,
            features(_read(item), item.prompt.text, self._formats, item.benchmark.kind == "capability"),
        )
        return _told(chance >= 0.5, self._detect(item), chance)


def _read(item: Item) -> str:
    """The text whose coherence is judged: the answer, or the reasoning where the model was cut off in it."""
    return item.generation.reasoning if item.generation.was_cut_while_reasoning else item.generation.text


def _told(incoherent: bool, found: Detection, score: float | None = None) -> Verdict:
    reasons = found.reasons or (("other",) if incoherent else ())
    evidence = tuple(dataclasses.asdict(finding) for finding in found.findings) if incoherent else ()
    return Verdict(
        "coherence",
        "incoherent" if incoherent else "coherent",
        native=", ".join(reasons) if incoherent else "",
        score=score,
        evidence=evidence,
    )
