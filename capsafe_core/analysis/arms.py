"""What a claim compares, and the unsafe rate of each under every analysis variant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.rates import apply_policy, study_counts
from capsafe_core.analysis.runs import Run
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.quoting import join_names
from capsafe_core.specification import POLICIES, Policy
from capsafe_core.stats.matching import at_place
from capsafe_core.stats.specification import contested

Floats = npt.NDArray[np.float64]
CLAIM_LIMIT = 2000
"""No more claims than this are listed."""


@dataclass(frozen=True, order=True)
class Arm:
    """One side of a comparison.

    Attributes:
        kind: "recipe" (at its goal), "start", "model" (a start of a study that fine-tunes nothing), "last" (a
            recipe's last checkpoint, as given), "checkpoint" (any other, as given), "attack" (on a start, as
            given).
        name: of the recipe or start; of a checkpoint its recipe, seed and step.
        attack: its name.
    """

    kind: str
    name: str
    attack: str = ""

    @property
    def key(self) -> str:
        kind = "start" if self.kind == "model" else self.kind  # a link holds when the study gets a recipe
        return join_names([kind, self.name, self.attack] if self.attack else [kind, self.name], ":")

    @property
    def words(self) -> str:
        return {
            "recipe": f"{self.name} at its goal",
            "start": f"the start {self.name}",
            "model": self.name,
            "checkpoint": self.name,
            "last": f"the last checkpoint of {self.name}",
            "attack": f"{self.attack} on {self.name}",
        }[self.kind]


@dataclass(frozen=True)
class Claim:
    """That one arm is less safe than another."""

    a: Arm
    b: Arm

    @property
    def key(self) -> str:
        return join_names((self.a.key, self.b.key), "|")

    @property
    def matched(self) -> bool:
        """Whether the arms are compared at a capability goal."""
        return self.a.kind == "recipe"

    @property
    def words(self) -> str:
        return f"{self.a.words} against {self.b.words}" + (
            "" if self.matched else ", as given (not capability-matched)"
        )


@dataclass(frozen=True)
class Variant:
    """The part of a specification that point estimates know: benchmark, judge and policy."""

    benchmark: str
    judge: str
    policy: Policy

    @property
    def words(self) -> str:
        return f"{self.benchmark}, {self.judge}"


@dataclass(frozen=True)
class ArmRates:
    """Unsafe rates, (arms, variants); NaN where an arm is out of reach or was not judged so. Over seeds: the
    mean of those that reach the goal."""

    arms: list[Arm]
    variants: list[Variant]
    rates: Floats

    @cached_property
    def _place(self) -> dict[Arm, int]:
        return {arm: i for i, arm in enumerate(self.arms)}

    def of(self, arm: Arm) -> Floats:
        """(variants,) rates of one arm."""
        return np.asarray(self.rates[self._place[arm]])

    def knows(self, claim: Claim) -> bool:
        """Whether both sides of a claim have a rate under some variant."""
        both = claim.a in self._place and claim.b in self._place
        return both and bool(np.isfinite(self.change(claim)).any())

    def change(self, claim: Claim) -> Floats:
        """(variants,) rate of the first arm minus that of the second."""
        return np.asarray(self.of(claim.a) - self.of(claim.b))


def arm_rates(view: View, runs: Sequence[Run], counts: pd.DataFrame | None = None) -> ArmRates:
    """The unsafe rate of every arm of the study under every benchmark, judge and policy.

    Policies that differ only in what they do with incoherent outputs stand once where no coherence judge has
    looked.

    Args:
        runs: as `matched_runs` gives them; their capability decides where each recipe is at its goal.
        counts: as `study_counts`, where the caller has them.
    """
    counts = study_counts(view) if counts is None else counts
    safety = counts[(counts["dimension"] == "safety") & (counts["kind"] == "safety")]
    asked, names = pd.factorize(pd.MultiIndex.from_frame(safety[["benchmark", "judge"]]))
    point, points = pd.factorize(pd.MultiIndex.from_frame(safety[["checkpoint_id", "attack"]]))
    known = np.zeros(len(names), dtype=bool)
    np.logical_or.at(known, asked, safety["coherence_known"].to_numpy(dtype=bool))
    rates = np.full((len(points), len(names), len(POLICIES)), np.nan)
    for i, policy in enumerate(POLICIES):
        events, trials = apply_policy(safety, policy)
        with np.errstate(divide="ignore", invalid="ignore"):
            rates[point, asked, i] = events.to_numpy() / trials.to_numpy()
    kept = [(j, i) for j in range(len(names)) for i in range(len(POLICIES)) if known[j] or i == 0]
    variants = [Variant(str(names[j][0]), str(names[j][1]), POLICIES[i]) for j, i in kept]
    flat = rates[:, [j for j, _ in kept], [i for _, i in kept]] if kept else np.zeros((len(points), 0))
    place = {tuple(p): i for i, p in enumerate(points)}
    arms: dict[Arm, Floats] = {}
    reached: dict[str, list[Floats]] = {}
    first_seed = view.points["seed"] == view.points.groupby("recipe")["seed"].transform("min")
    last_steps = view.points.groupby(["recipe", "seed"])["step"].transform("max")
    start = "start" if last_steps.any() else "model"
    lasts = first_seed & (view.points["step"] == last_steps)
    rows: Iterable[Any] = view.points.itertuples()
    for point, is_last in zip(rows, lasts, strict=True):
        if (at := place.get((point.checkpoint_id, ""))) is None:
            continue
        if point.step == 0:
            arms.setdefault(Arm(start, str(point.start)), flat[at])
        elif is_last:
            arms.setdefault(Arm("last", str(point.recipe)), flat[at])
        else:
            arms.setdefault(Arm("checkpoint", checkpoint_name(point)), flat[at])
    for run in runs:
        if not all((c, "") in place for c in run.checkpoints):
            continue
        along = flat[[place[c, ""] for c in run.checkpoints]].T
        crossed = run.places(along)
        if not np.isnan(crossed).all():
            reached.setdefault(run.recipe, []).append(at_place(along, crossed))
    arms |= {Arm("recipe", recipe): np.mean(values, axis=0) for recipe, values in reached.items()}
    start_of = dict(zip(view.points["checkpoint_id"], view.points["start"], strict=True))
    arms |= {
        Arm("attack", start_of[checkpoint], attack): flat[i]
        for (checkpoint, attack), i in place.items()
        if attack
    }
    found = sorted(arms)
    return ArmRates(
        found, variants, np.array([arms[arm] for arm in found]).reshape(len(found), len(variants))
    )


def checkpoint_name(point: Any) -> str:
    """A checkpoint on a path in words; its start's name at step 0.

    Args:
        point: a row of `View.points`, by attributes.
    """
    return f"{point.recipe}, seed {point.seed}, step {point.step}" if point.step else str(point.start)


def claims(view: View, found: ArmRates) -> list[Claim]:
    """Everything that can be claimed, the most contested first: where analysis variants contradict each other
    by most points.

    Matched claims (recipes at their goals against their start and each other) come before those that compare
    what is given. Where there are neither recipes against their starts nor attacks, any two checkpoints are a
    claim. Both sides have a rate under some variant.
    """
    known = set(found.arms)
    start = {r.name: Arm("start", r.start) for r in view.study.recipes}
    recipes = [a for a in found.arms if a.kind == "recipe"]
    compared = view.matched_recipes or [r.name for r in view.study.recipes]
    last = [a for a in found.arms if a.kind == "last" and a.name in compared]
    attacks = [a for a in found.arms if a.kind == "attack"]
    pairs = [(a, start[a.name]) for a in [*recipes, *last] if start[a.name] in known]
    pairs += [
        *combinations(recipes, 2),
        *combinations(last, 2),
        *((a, b) for a, b in combinations(attacks, 2) if a.name == b.name),
    ]
    if not view.matched_recipes:
        pairs += _later_first(view, [a for a in found.arms if a.kind in ("start", "model")])
    listed = [claim for pair in pairs[:CLAIM_LIMIT] if found.knows(claim := Claim(*pair))]
    if not listed:
        given = combinations([a for a in found.arms if a.kind not in ("recipe", "attack")], 2)
        listed = list(islice((claim for pair in given if found.knows(claim := Claim(*pair))), CLAIM_LIMIT))
    return sorted(listed, key=lambda claim: (not claim.matched, -contested(found.change(claim))))


def _later_first(view: View, models: Sequence[Arm]) -> Iterator[tuple[Arm, Arm]]:
    """Pairs of models: each against those that the study names before it."""
    order = {s.name: i for i, s in enumerate(view.study.starts)}
    in_order = sorted(models, key=lambda a: order.get(a.name, len(order)))
    return ((b, a) for a, b in combinations(in_order, 2))


def find_claim(listed: Sequence[Claim], key: str) -> Claim:
    """The claim with a key, or the first where none is asked for.

    Raises:
        CapsafeError: nothing can be claimed, or there is no such claim.
    """
    if not listed:
        raise CapsafeError(
            "Nothing can be compared yet: a claim needs two checkpoints that the same judge has seen on the "
            "same benchmark.",
            "The Runs page shows what is missing.",
        )
    if not key:
        return listed[0]
    for claim in listed:
        if key in (claim.key, Claim(claim.b, claim.a).key):
            return claim
    raise CapsafeError(
        f"The claim {key!r} cannot be tested here.",
        f"Choose one on the Conclusions page, such as {listed[0].key}.",
    )
