"""Runs that teach a capability and cannot be compared at a goal, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

import pandas as pd

from capsafe_core.analysis.labelled import HOW_TO_LABEL, labels_lacking
from capsafe_core.analysis.runs import CheckpointRates, Run, around_goal
from capsafe_core.analysis.view import View
from capsafe_core.specification import POLICIES


class Lack(Enum):
    """What a run lacks: its words, with the names that stand in braces."""

    ANSWERS = (
        "is left out: it has no responses to {benchmark} at step {step}. Import them, or run what is "
        "missing on the Runs page."
    )
    VERDICTS = (
        "is left out: {judge} has not seen its responses to {benchmark} at step {step}. Let it judge them on "
        "the Runs page, or import its verdicts."
    )
    VERSION = "is left out: it answered another version of {benchmark}. Import responses to the same one."
    COHERENCE = (
        "is left out: {judge} has not looked at all of its checkpoints, so incoherent responses cannot be "
        "{policy}. Let it look on the Runs page, or choose “as judged”."
    )
    CHECKPOINTS = "is left out: {has} that has results here. Import or run the others."
    CAPABILITY = (
        "is left out: its capability on {benchmark} is not known at {steps}. Import those results, or run "
        "what is missing on the Runs page."
    )
    LABELS = "has no corrected rate: it needs random labels of {labels}."


@dataclass(frozen=True)
class LeftOut:
    """A run that cannot be compared.

    Attributes:
        recipe, seed: of the run.
        names: what stands in the words of its lack.
    """

    recipe: str
    seed: int
    lack: Lack
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """Why, in a sentence."""
        return f"{self.recipe} (seed {self.seed}) {self.lack.value.format_map(self.names)}"


def why_left_out(runs: Iterable[LeftOut]) -> list[str]:
    """Why runs cannot be compared, in sentences; how to label stands once."""
    every = list(runs)
    advice = [HOW_TO_LABEL] if any(run.lack is Lack.LABELS for run in every) else []
    return [*(run.words for run in every), *advice]


def without(runs: Iterable[Run], left_out: Iterable[LeftOut]) -> list[Run]:
    """The runs that are not left out."""
    out = {(one.recipe, one.seed) for one in left_out}
    return [run for run in runs if (run.recipe, run.seed) not in out]


def unanswered(view: View, runs: Iterable[Run], paths: pd.DataFrame) -> Iterator[LeftOut]:
    """The runs whose answers or verdicts are not all there.

    Args:
        paths: as `path_table`.
    """
    spec, answered = view.specification, view.compared(view.cells)
    cells = answered[answered["benchmark"] == spec.benchmark].set_index("checkpoint_id")["benchmark_id"]
    seen = set(paths.loc[paths["cell_id"].notna(), "checkpoint_id"])
    checked = set(paths.loc[paths["incoherent"].notna(), "checkpoint_id"])
    names = {"benchmark": spec.benchmark, "judge": spec.judge}
    for run in runs:
        gaps = [
            (lack, [s for s, c in zip(run.steps, run.checkpoints, strict=True) if c not in there])
            for lack, there in ((Lack.ANSWERS, set(cells.index)), (Lack.VERDICTS, seen))
        ]
        if gap := next(((lack, steps[0]) for lack, steps in gaps if steps), None):
            yield LeftOut(run.recipe, run.seed, gap[0], names | {"step": f"{gap[1]:.0f}"})
        elif set(cells[run.checkpoints]) != {cells.mode().iloc[0]}:
            yield LeftOut(run.recipe, run.seed, Lack.VERSION, names)
        elif spec.policy != POLICIES[0] and not checked.issuperset(run.checkpoints):
            unchecked = {"judge": spec.coherence, "policy": spec.policy.words}
            yield LeftOut(run.recipe, run.seed, Lack.COHERENCE, unchecked)


def unlabelled(run: Run, rates: CheckpointRates, with_start: bool = True) -> LeftOut | None:
    """Which labels a run at its goal and its start lack to be corrected by people; None where they have
    enough, or nothing is to be corrected."""
    people = rates.people
    if people is None:
        return None
    sides: list[tuple[str, list[str]]] = []
    if run.has_start and with_start:
        sides.append((f"its start, {run.start}", run.checkpoints[:1]))
    if ends := around_goal(run, rates):
        steps = " and ".join(f"{run.steps[i]:.0f}" for i in ends)
        sides.append((f"step{'s' if len(ends) > 1 else ''} {steps}", [run.checkpoints[i] for i in ends]))
    short = [
        f"{words} at {where}"
        for where, checkpoints in sides
        if (words := labels_lacking(people, [rates.place[c] for c in checkpoints]))
    ]
    return LeftOut(run.recipe, run.seed, Lack.LABELS, {"labels": "; of ".join(short)}) if short else None


def unmeasured(path: pd.DataFrame) -> LeftOut:
    """A run that cannot be compared since its capability is not known.

    Args:
        path: the rows of `path_table` of one run.
    """
    first = path.iloc[0]
    recipe, seed, gaps = str(first["recipe"]), int(first["seed"]), path.loc[path["capability"].isna(), "step"]
    if len(gaps) < len(path) and len(path) == 1:
        is_start = first["step"] == 0
        has = "its start is the only checkpoint" if is_start else "it has one checkpoint and no start"
        return LeftOut(recipe, seed, Lack.CHECKPOINTS, {"has": has})
    steps = ", ".join("its start" if step == 0 else f"step {step}" for step in gaps[:5])
    names = {"benchmark": str(first["capability_benchmark"]), "steps": steps}
    return LeftOut(recipe, seed, Lack.CAPABILITY, names)
