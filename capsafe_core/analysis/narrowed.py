"""A conclusion over the analysis variants that somebody chose, beside all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from capsafe_core.analysis.conclusion_words import contradiction, directions_words, first_sentence
from capsafe_core.analysis.conclusions import Conclusion
from capsafe_core.analysis.curve import kinds_of, together
from capsafe_core.analysis.number_words import pts
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.specification import CHOICES

CHOICE_WORDS = {
    "benchmark": "Benchmark",
    "judge": "Judge",
    "cutoff": "Threshold",
    "policy": "Incoherent outputs",
    "coherence": "Coherence by",
    "truncated": "Truncated outputs",
    "correction": "Verdicts",
    "condition": "Condition",
}
"""what a choice of the specification curve is called"""


@dataclass(frozen=True)
class Chosen:
    """The variants of a conclusion that were chosen.

    Attributes:
        conclusion: of these variants alone; its curve has their rows, numbered again.
        total: variants that count in the whole conclusion.
        first: what they say, in one sentence.
        counts: how many of them point where, and what they leave out.
    """

    conclusion: Conclusion
    total: int
    first: str
    counts: str


def open_choices(found: Conclusion) -> dict[str, list[str]]:
    """The choices in which variants differ, and their values."""
    values = {d: list(dict.fromkeys(sorted(found.curve[d].astype(str)))) for d in CHOICES}
    return {d: v for d, v in values.items() if len(v) > 1}


def read_choices(variants: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Choices as a selection holds them ("judge=prefix-zou"): choice -> values.

    Raises:
        CapsafeError: one of them is not a choice and a value.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    for text in variants:
        choice, sign, value = text.partition("=")
        if not sign:
            raise CapsafeError(
                f"The choice {text!r} cannot be read.",
                f"Write what is chosen and its value, such as judge=prefix-zou, of: {', '.join(CHOICES)}.",
            )
        if choice not in CHOICES:
            raise UnknownNameError("choice of analysis variants", choice, CHOICES)
        chosen[choice] = (*chosen.get(choice, ()), value)
    return chosen


def chosen_variants(view: View, found: Conclusion, choices: Mapping[str, Sequence[str]]) -> Chosen:
    """The variants with one of the chosen values in each choice; a choice without any keeps all.

    Raises:
        UnknownNameError: no variant has one of the values.
        CapsafeError: no variant has such a combination.
    """
    kept = np.ones(len(found.curve), dtype=bool)
    for choice, values in choices.items():
        known = found.curve[choice].astype(str)
        for value in values:
            if value not in set(known):
                names = sorted(set(known) - {""})
                raise UnknownNameError(f"analysis variant with {choice}", value, names)
        if values:
            kept &= known.isin(values).to_numpy()
    total = len(found.counted)
    if kept.all():
        return Chosen(
            found, total, found.first, f"Of {total} analysis variants, {directions_words(found.counted)}."
        )
    if not kept.any():
        raise CapsafeError(
            "No analysis variant combines these choices.", "Take one of them back; most likely a threshold."
        )
    curve, draws = found.curve[kept].reset_index(drop=True), found.draws[:, kept]
    curve["kind"] = kinds_of(curve, draws, view.specification.policy)
    shares, joint = together(curve, draws)
    change = found.change if curve["primary"].any() else None
    part = replace(
        found,
        curve=curve,
        draws=draws,
        shares=shares,
        joint=joint,
        change=change,
    )
    first = first_sentence(view, found.claim, curve, change) if len(curve) == 1 or change else _middle(part)
    return Chosen(part, total, first, _counts(part, total))


def _middle(part: Conclusion) -> str:
    """Where the chosen variants lie, where none of them is the primary one."""
    rows = part.curve if part.counted.empty else part.counted
    middle = float(rows["estimate"].median())
    return (
        f"{part.claim.a.words} minus {part.claim.b.words}: a median of {pts(middle, '+')} over "
        f"the {len(rows)} chosen analysis variants."
    )


def _counts(part: Conclusion, total: int) -> str:
    """How many of the chosen variants point where, and what was left out."""
    if part.counted.empty:
        return f"Only bounds are chosen, which do not count among the {total} analysis variants."
    primary = "among them" if part.curve["primary"].any() else "not among them"
    return (
        f"{len(part.counted)} of {total} analysis variants chosen: {directions_words(part.counted)}."
        f"{contradiction(part.counted, part.joint)} The primary specification is {primary}. A choice "
        "made after the results shows what it does; the conclusion rests on all variants."
    )
