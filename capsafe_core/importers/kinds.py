"""What a benchmark measures: known from the catalogue of published tasks, stated by the format, or unknown.

Never from an ordinary word in a name: a file called gsm8k_preds_strong holds grade-school sums.
"""

from __future__ import annotations

import re
from functools import cache

from capsafe_core import catalogue
from capsafe_core.records import KINDS, UNKNOWN_KIND


def _words(name: str) -> tuple[str, ...]:
    return tuple(w for w in re.split(r"[^a-z0-9]+", name.lower()) if w)


@cache
def _known() -> list[tuple[tuple[str, ...], str, bool]]:
    """The words of each published task, what it measures, and whether they have to be the whole name."""
    return [
        (_words(name), kind, part == "whole")
        for kind in KINDS
        for part in ("names", "whole")
        for name in catalogue.tasks()[kind][part]
    ]


@cache
def known_kind(benchmark: str) -> str:
    """What the published task of a name measures; "" where none is known, or several that differ."""
    name = benchmark.split("/")[-1] if "/" in benchmark else benchmark
    scenario = _words(name.split(":")[0])
    hits: dict[str, int] = {}
    for words, kind, whole in _known():
        if whole:
            if scenario == words:
                return kind
            continue
        n = len(words)
        if any(scenario[i : i + n] == words for i in range(len(scenario) - n + 1)):
            hits[kind] = max(hits.get(kind, 0), n)
    return next(iter(hits)) if len(hits) == 1 else ""


def benchmark_kind(benchmark: str, told: str) -> str:
    """What a benchmark measures.

    Args:
        told: what the format itself says, such as that of a published safety set.
    """
    return known_kind(benchmark) or told or UNKNOWN_KIND


def is_safety_annotator(name: str) -> bool:
    """Whether an annotator of HELM gives higher scores to safer answers."""
    return name in catalogue.tasks()["annotators"]["higher_is_safer"]


def compares_with_target(scorer: str) -> bool:
    """Whether a scorer of Inspect compares the answer with the sample's target."""
    matching = catalogue.tasks()["matching"]
    return scorer.split("/")[-1] in {*matching["names"], *matching["whole"]}
