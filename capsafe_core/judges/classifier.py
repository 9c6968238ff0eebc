"""Published classifiers: a text in, one of a few classes out, or several at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from capsafe_core.engines.models import Weights, resolve_weights
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder.work import JudgeWork
from capsafe_core.judges.entry import rater
from capsafe_core.judges.protocol import Item, Verdict
from capsafe_core.records import BenchmarkRecord, Rater


class ClassifierJudge:
    """A sequence classifier run with transformers.

    The entry's `classes` gives each class number its label; with `several = true` each class is a harm of its
    own, and an answer is unsafe where any of them is above the cut-off.
    """

    batch_size = 32
    tokens = 0

    def __init__(self, rater: Rater, entry: Mapping[str, Any], weights: Weights, device: str) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self.rater = rater
        self._entry = entry
        self._torch = torch
        self._device = device
        self._cutoff = float(rater.settings.get("cutoff", entry["scale"]["cutoff"]))
        self._tokenizer = AutoTokenizer.from_pretrained(weights.folder)
        try:
            self._model: Any = (
                AutoModelForSequenceClassification.from_pretrained(
                    weights.folder, use_safetensors=None if weights.pickles else True
                )
                .to(device)
                .eval()
            )
        except (OSError, ValueError) as error:
            raise CapsafeError(
                f"The classifier in {weights.folder} cannot be loaded: {str(error).splitlines()[0]}",
                "Check that it is a sequence classifier.",
            ) from error
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token

    @classmethod
    def open(cls, name: str, entry: dict[str, Any], work: JudgeWork, models: Path) -> ClassifierJudge:
        weights = resolve_weights(str(work.model), models, pickles=work.pickles)
        made = rater(name, entry, work.config, model=work.model, model_digest=weights.digest)
        return cls(made, entry, weights, work.engine.get("device", "cpu"))

    def applies(self, benchmark: BenchmarkRecord) -> bool:
        return benchmark.kind in self._entry["kinds"]

    def judge(self, items: Sequence[Item]) -> list[list[Verdict]]:
        texts = [self.ask(item) for item in items]
        with self._torch.inference_mode():
            tokens = self._tokenizer(
                texts, padding=True, truncation=True, max_length=self._entry["max_input"], return_tensors="pt"
            ).to(self._device)
            logits = self._model(**tokens).logits.float()
        chances = (logits.sigmoid() if self._entry.get("several") else logits.softmax(-1)).tolist()
        return [[self._verdict(text, row)] for text, row in zip(texts, chances, strict=True)]

    def ask(self, item: Item) -> str:
        """The text that the classifier receives."""
        values = {"prompt": item.prompt.text, "response": item.generation.text}
        return re.sub(r"\{(prompt|response)\}", lambda match: values[match.group(1)], self._entry["template"])

    def _verdict(self, text: str, chances: list[float]) -> Verdict:
        if len(chances) != self._entry["outputs"]:
            raise CapsafeError(
                f"The model gives {len(chances)} classes; the judge {self.rater.name!r} has "
                f"{self._entry['outputs']}.",
                "Use the judge's own weights.",
            )
        dimension = self.rater.dimensions[0]
        shown = ", ".join(f"{i}: {c:.3f}" for i, c in enumerate(chances))
        score = (
            max(chances) if self._entry.get("several") else sum(chances[i] for i in self._entry["positive"])
        )
        positive, negative = ("unsafe", "safe") if dimension == "safety" else ("full", "none")
        return Verdict(
            dimension,
            positive if score >= self._cutoff else negative,
            native=f"P = {score:.3f}",
            score=score,
            raw=shown,
            asked=text,
        )
