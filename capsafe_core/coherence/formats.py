"""The answer form of a fine-tuning task, learnt from its training targets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from capsafe_core.coherence.signals import Finding

_SHAPES = {
    "number": re.compile(r"-?\d[\d,]*(?:\.\d+)?"),
    "letter": re.compile(r"\(?[A-Za-z][).]?"),
    "final answer": re.compile(r"####\s*-?\S+"),
    "equation": re.compile(r"-?\d[\d.,]*(?:\s*[-+*/×÷]\s*-?\d[\d.,]*)+\s*=\s*-?\d[\d.,]*"),
    "json": re.compile(r"[\[{].*[\]}]"),
    "sql": re.compile(r"(?i:select|insert|update|delete|with)\b.*"),
}


_LEAD = re.compile(r"^(?:\d+[.)]|[A-Za-z]+(?: [A-Za-z0-9]+)?:)\s+")
"""A number or a short name before the form itself: "First step: 1 + 1 = 2"."""


@dataclass(frozen=True)
class AnswerFormat:
    """Patterns that a line of a training target has, learnt for one data set."""

    dataset: str
    shapes: tuple[str, ...]
    labels: tuple[str, ...] = ()

    def matches(self, line: str) -> bool:
        """Whether a line is in the task's answer form."""
        bare = _LEAD.sub("", line.strip())
        if bare.rstrip(".!").casefold() in self.labels:
            return True
        return any(_SHAPES[shape].fullmatch(bare) for shape in self.shapes)

    def leaks(self, text: str) -> Iterator[Finding]:
        """Lines in the answer form, where they are at least half of the answer."""
        lines = [m for m in re.finditer(r"[^\n]+", text) if m.group().strip()]
        found = [m for m in lines if self.matches(m.group())]
        letters = sum(len(m.group().strip()) for m in lines)
        if found and 2 * sum(len(m.group().strip()) for m in found) >= letters:
            for match in found:
                yield Finding("task_format", match.start(), match.end())


def learn_format(dataset: str, targets: Sequence[str], share: float = 0.9) -> AnswerFormat | None:
    """The form that at least `share` of the training targets' lines have; None where they have none.

    Args:
        dataset: the data set's name.
        targets: answers that the fine-tuning teaches.
        share: how many of the targets must be covered whole.
    """
    counts = Counter(target.strip().casefold() for target in targets)
    if len(counts) <= 8 and len(targets) >= 10 * len(counts) and all(len(c) <= 20 for c in counts):
        return AnswerFormat(dataset, (), tuple(sorted(counts)))
    used = [
        name
        for name, shape in _SHAPES.items()
        if any(shape.fullmatch(line.strip()) for t in targets for line in t.splitlines())
    ]
    if {"final answer", "equation"} & set(used) and "number" not in used:
        used.append("number")  # the form's last step alone
    form = AnswerFormat(dataset, tuple(used))
    whole = sum(all(form.matches(line) for line in target.splitlines()) for target in targets)
    return form if targets and whole >= share * len(targets) else None


def learn_formats(
    datasets: Iterable[dict[str, Any]], load: Callable[[dict[str, Any]], Iterable[Any]]
) -> list[AnswerFormat]:
    """The answer forms of data sets that have one.

    Args:
        load: gives the training pairs of a data set.
    """
    found = [learn_format(d["name"], [pair.target for pair in load(d)]) for d in datasets]
    return [form for form in found if form is not None]
