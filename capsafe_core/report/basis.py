"""What a finding rests on: whose verdicts, of how many outputs, under which conditions, and how far the
conclusion holds. A page that is taken out of its report still says it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from capsafe_core.analysis.overview import Overview, overview
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.scales import scales
from capsafe_core.specification import PARTS, part_words

Basis = tuple[tuple[str, str], ...]
_SAID = ("system_prompt", "temperature", "max_tokens")
"""parts of a condition that are said where all checkpoints have one value; the others only where it is not
what every engine does by itself"""
_USUAL = {"few_shot": "0", "top_p": "1"}


def overview_of(view: View, recipe: str = "") -> Overview:
    """The overview of a recipe; computed once for all findings of a view.

    Raises:
        CapsafeError: as `overview`.
    """
    kept = view.once(_overviews)
    if recipe not in kept:
        found = overview(view, recipe)
        kept |= {recipe: found, found.recipe: found}
    return kept[recipe]


def _overviews(view: View) -> dict[str, Overview]:
    return {}


def basis(view: View, outputs: str, conclusion: str, judges: Sequence[str] = ()) -> Basis:
    """What a finding rests on, as label and words.

    Args:
        outputs: how many, in words.
        conclusion: how far the conclusion holds, in words.
        judges: whose verdicts; without any, those of the specification's judge.
    """
    return (
        ("Judge" if len(judges) < 2 else "Judges", ", ".join(judges) if judges else judge_words(view)),
        ("Outputs", outputs),
        ("Conditions", conditions_words(view)),
        ("Conclusion", conclusion),
    )


def judge_words(view: View) -> str:
    """Whose verdicts count, from which score on, and how incoherent responses do."""
    spec = view.specification
    scale = scales().get(spec.judge)
    threshold = f" ({scale.words(spec.cutoff)})" if scale else ""
    people = "; corrected by human labels" if view.is_corrected else ""
    return f"{spec.judge}{threshold}; incoherent responses {spec.policy.words} (by {spec.coherence}){people}"


def conditions_words(view: View) -> str:
    """Under which condition the benchmark was answered."""
    cells = view.listed_cells[view.listed_cells["benchmark"] == view.specification.benchmark]
    same = [(part, str(cells[part].iloc[0])) for part in PARTS if len(cells) and cells[part].nunique() == 1]
    words = [
        part_words(part, value)
        for part, value in same
        if part in _SAID or (part in _USUAL and value != _USUAL[part])
    ]
    others = [w for w in view.condition_words if w not in words]
    return ", ".join([*words, *others]) or "not recorded"


def state_words(view: View, recipe: str = "") -> str:
    """How far the conclusion about a recipe and its start holds; about the one of the first screen where none
    is named."""
    try:
        found = overview_of(view, recipe or next(iter(view.selection.recipes), ""))
    except CapsafeError as error:
        return f"none: {error.message}"
    state = found.state.capitalize() if found.state else "Not known"
    return f"{state} for {found.recipe}: {found.chip}"


def outputs_words(n: pd.Series, benchmark: str) -> str:
    """How many outputs each number counts."""
    known = n.dropna()
    if known.empty:
        return f"none with a verdict, {benchmark}"
    low, high = int(known.min()), int(known.max())
    return f"n = {low:,}{'' if low == high else f'–{high:,}'} a checkpoint, {benchmark}"
