"""Differences at the goal, corrected by people's labels, beside the judge's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import combinations

import numpy as np
import pandas as pd

from capsafe_core.analysis.at_goal import Change, change_between
from capsafe_core.analysis.columns import framed, records
from capsafe_core.analysis.labelled import HOW_TO_LABEL
from capsafe_core.analysis.left_out import unlabelled
from capsafe_core.analysis.matched import Matching, matching
from capsafe_core.analysis.number_words import hundredths, percent
from capsafe_core.analysis.runs import CheckpointRates, Run, around_goal, primary_rates, start_name
from capsafe_core.analysis.view import View
from capsafe_core.specification import Correction
from capsafe_core.stats.labelled_cells import ErrorRates, LabelledCells

METHODS = ("judged", "ppi", "rogan_gladen")
AT_GOAL = (
    "recipe",
    "against",
    "to_start",
    "judge",
    "goal",
    *(f"{name}{end}" for name in METHODS for end in ("", "_low", "_high")),
    "verdict",
    "assumes",
    "labels",
    "undecided",
    "lowest",
    "highest",
    "lacking",
)


def corrected_table(view: View, found: Matching | None = None) -> pd.DataFrame:
    """Each recipe at its goal against its start, and every two recipes: as judged, and corrected by people.

    Labels count that a queue drew at random, within the arm (checkpoints around the goal of each seed, the
    start) and the stratum (coherent, incoherent), with the resamples of the uncorrected difference.

    Args:
        found: as `matching` gives it for the specification as judged.

    Returns:
        recipe, against (another recipe, or "start: NAME"), to_start (whether it is that), judge, goal;
        judged, ppi, rogan_gladen (the difference) and their _low, _high (conditional on the seeds, where
        these are few); verdict (what PPI++ allows to be said, as `recipe_table` has it); assumes (whether
        Rogan-Gladen takes error rates over from other arms); labels (of both sides, those that PPI++ uses),
        undecided (drawn, but people cannot tell, disagree or skipped them), lowest and highest (PPI++ if each
        of those were what makes the difference smallest, and largest); lacking (which labels are needed for
        a corrected number, in sentences; "" where there is one). Rogan-Gladen is missing where one class has
        too few labels. Only recipes that reach their goal.
    """
    judged = as_judged(view)
    found = matching(judged) if found is None else found
    rates = primary_rates(by_people(view), found.every_run) if found.runs else None
    if rates is None or rates.people is None:
        return framed([], AT_GOAL)
    by_ppi = replace(found, unsafe=rates)
    by_errors = replace(
        found, unsafe=replace(rates, people=_error_rates(rates.people, rates, found.every_run))
    )
    bounds = []
    for event in (0.0, 1.0):
        bound = primary_rates(by_people(view), found.every_run, event)
        bounds.append(by_ppi if bound is None else replace(found, unsafe=bound))
    rows = [
        _row(view, (found, by_ppi, by_errors), one, two) | _undecided(by_ppi, bounds, one, two)
        for one, two in _compared(found)
    ]
    return framed(rows, AT_GOAL)


def as_judged(view: View) -> View:
    """The view without correction."""
    return replace(view, specification=replace(view.specification, correction=Correction.AS_JUDGED))


def by_people(view: View) -> View:
    """The view corrected by people."""
    return replace(view, specification=replace(view.specification, correction=Correction.BY_PEOPLE))


def _compared(found: Matching) -> Iterator[tuple[str, str]]:
    """Recipes at their goal and what each is compared with; "" for its start."""
    reached = [name for name, side in found.over_seeds.items() if side is not None]
    for name in reached:
        if found.by_recipe()[name][0].has_start:
            yield name, ""
    yield from combinations(reached, 2)


def _row(view: View, by: tuple[Matching, Matching, Matching], one: str, two: str) -> dict[str, object]:
    judged, ppi, _ = by
    runs, others = judged.by_recipe()[one], judged.by_recipe().get(two, [])
    row: dict[str, object] = {
        "recipe": one,
        "against": two or start_name(runs[0].start),
        "to_start": not two,
        "judge": view.specification.judge,
        "goal": runs[0].goal,
        "lacking": " ".join(
            short.words
            for run in [*runs, *others]
            if around_goal(run, judged.unsafe) and (short := unlabelled(run, ppi.unsafe, not two))
        ),
        "labels": _labels(ppi, [*runs, *others], not two),
    }
    for name, matched in zip(METHODS, by, strict=True):
        change = None if name == "ppi" and row["lacking"] else _change(matched, one, two)
        if change is None or np.isnan(change.estimate):
            continue
        low, high = change.interval or (None, None)
        row |= {name: change.estimate, f"{name}_low": low, f"{name}_high": high}
        if name == "ppi":
            row["verdict"] = change.verdict.value
        if name == "rogan_gladen":
            row["assumes"] = _assumes(matched, [*runs, *others], not two)
    return row


def _undecided(ppi: Matching, bounds: list[Matching], one: str, two: str) -> dict[str, object]:
    """Labels that tell nothing, and how far they could move a difference, sides apart."""
    runs, others = ppi.by_recipe()[one], ppi.by_recipe().get(two, [])
    row: dict[str, object] = {
        "undecided": _labels(bounds[0], [*runs, *others], not two) - _labels(ppi, [*runs, *others], not two)
    }
    ends = []
    for first, second in (bounds, bounds[::-1]):
        a = first.over_seeds[one]
        b = second.over_seeds[two] if two else second.start(second.by_recipe()[one][0])
        if a is None or b is None or np.isnan([a.rate, b.rate]).any():
            return row
        ends.append(a.rate - b.rate)
    if ppi.over_seeds[one] is None:
        return row
    return row | {"lowest": ends[0], "highest": ends[1]}


def _change(found: Matching, one: str, two: str) -> Change | None:
    """A recipe against another, or its start, each over its seeds; None where a side lacks labels."""
    sides = found.over_seeds
    a = sides[one]
    b = sides[two] if two else found.start(found.by_recipe()[one][0])
    if a is None or b is None:
        return None
    return change_between(a, b, found.recipe_rates)


def _sides(found: Matching, runs: list[Run], start: bool) -> Iterator[list[int]]:
    for run in runs:
        if ends := around_goal(run, found.unsafe):
            yield [found.unsafe.place[run.checkpoints[i]] for i in ends]
    if start:
        yield [found.unsafe.place[runs[0].checkpoints[0]]]


def _labels(found: Matching, runs: list[Run], start: bool) -> int:
    people = found.unsafe.people
    cells = sorted({cell for side in _sides(found, runs, start) for cell in side})
    return 0 if people is None else int(people.labels[:, cells].sum())


def _assumes(found: Matching, runs: list[Run], start: bool) -> bool:
    people = found.unsafe.people
    return isinstance(people, ErrorRates) and any(
        people.assumes(cells) for cells in _sides(found, runs, start)
    )


def _error_rates(people: LabelledCells, rates: CheckpointRates, runs: list[Run]) -> ErrorRates:
    """The same labels by arm: each recipe after its start, and each start."""
    names = {checkpoint: run.arm_at(i) for run in runs for i, checkpoint in enumerate(run.checkpoints)}
    order = sorted(rates.place, key=lambda checkpoint: rates.place[checkpoint])
    arms = np.unique([names[c] for c in order], return_inverse=True)[1]
    return ErrorRates(**{f.name: getattr(people, f.name) for f in fields(people)}, arms=arms)


def corrected_words(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The table as a person reads it: the rows that have a corrected number, and what the others lack, in
    sentences.

    Args:
        table: as `corrected_table`.
    """
    known = table[table["ppi"].notna() | table["rogan_gladen"].notna()]
    rows = records(known)

    def change(name: str) -> list[str]:
        return [percent(r[name], r[f"{name}_low"], r[f"{name}_high"], "+") for r in rows]

    words = pd.DataFrame(
        {
            "recipe": known["recipe"],
            "against": known["against"],
            "as judged, pts": change("judged"),
            "corrected (PPI++), pts": change("ppi"),
            "corrected (Rogan–Gladen), pts": change("rogan_gladen"),
            "labels": [f"{r['labels']:,.0f}" for r in rows],
            "undecided": [
                f"{r['undecided']:.0f}"
                + (
                    f" ({hundredths(r['lowest'], '+')} to {hundredths(r['highest'], '+')} pts)"
                    if r["undecided"] and not pd.isna(r["lowest"])
                    else ""
                )
                for r in rows
            ],
            "assumes": ["error rates of other recipes hold" if r["assumes"] is True else "" for r in rows],
        }
    )
    told = table[table["to_start"].astype(bool)]
    sentences = [text for text in (told if len(told) else table)["lacking"] if text]
    return words, [*sentences, HOW_TO_LABEL] if sentences else []
