"""Whether a conclusion survives another benchmark, judge, threshold or policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.arms import Arm, ArmRates, Claim, Variant
from capsafe_core.analysis.at_goal import Change, change_between, given_side
from capsafe_core.analysis.columns import framed
from capsafe_core.analysis.conclusion_words import first_sentence, in_all
from capsafe_core.analysis.curve import Kind, contradicted, kinds_of, together
from capsafe_core.analysis.matched import Matching
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import Run, matched_runs, primary_rates
from capsafe_core.analysis.sample import sample_of
from capsafe_core.analysis.variants import choices, estimate, open_parts, sides_of, used_cells, variants_on
from capsafe_core.analysis.verbs import limits
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.specification import (
    CHOICES,
    POLICIES,
    Condition,
    Policy,
)
from capsafe_core.stats.paired import benjamini_hochberg, holm
from capsafe_core.stats.specification import (
    Flip,
    Joint,
    Shares,
    directions,
    flips,
    rank_agreement,
)

Floats = npt.NDArray[np.float64]


class State(StrEnum):
    """How far a conclusion holds over its analysis variants."""

    ROBUST = "robust"
    """at least ROBUST_SHARE of them point where the primary one does, and none contradict each other"""
    MIXED = "mixed"
    CONTESTED = "contested"
    """they contradict each other, or CONTESTED_SHARE or more point the other way, or nowhere"""


ROBUST_SHARE, CONTESTED_SHARE = 0.95, 1 / 3
STATES = (
    "Robust: at least 95% of the analysis variants point the same way, and none contradict each other. "
    "Contested: they contradict each other by more than chance would bring, or a third or more do not point "
    "that way. Mixed: between the two."
)
"""what the words of `State` stand for, as a screen says it"""


@dataclass(frozen=True)
class Conclusion:
    """A claim under every specification.

    Attributes:
        curve: benchmark, judge, family, cutoff, policy, coherence, truncated (kept or left out), a, b
            (rates), estimate (a minus b), low, high, direction (1 up, -1 down, 0 unresolved), n (prompts or
            outputs of each side), unreached, p, p_adjusted, p_holm (McNemar, then Benjamini-Hochberg for
            exploring the curve, Holm for confirming it whole; as-given claims only), primary, kind (a
            `Kind`); by estimate. Only choices count in what is said of all together.
        shares: of directions, each judge family with equal weight.
        flipping: choices that turn the sign, most often first.
        conditions: the condition behind the words of the curve's column.
        draws: (resamples, variants) the difference in each resample, in the order of the curve.
        joint: the test of the curve as a whole; None where too few resamples are whole.
        change: the primary difference with what it allows to be said; None where the primary variant cannot
        be
            computed.
        first: the primary difference in one sentence, and in_all: what all variants say together.
    """

    claim: Claim
    curve: pd.DataFrame
    shares: Shares | None
    flipping: list[Flip]
    joint: Joint | None
    change: Change | None
    first: str
    in_all: str
    conditions: dict[str, Condition]
    draws: Floats

    @property
    def counted(self) -> pd.DataFrame:
        """The variants that count: neither bounds nor repeats of another."""
        return self.curve[self.curve["kind"] == Kind.CHOICE]

    @property
    def agreement(self) -> tuple[int, int]:
        """Variants that count and whose estimate points in the primary direction, and all that count; (0, 0)
        where the primary one cannot be computed, so that nothing can agree with it."""
        counted = self.counted
        main = counted[counted["primary"]]
        if main.empty:
            return 0, 0
        signs = np.sign(counted["estimate"].astype(float).round(9))
        return int((signs == signs[main.index[0]]).sum()), len(counted)

    @property
    def state(self) -> State | None:
        """How far it holds; None where there is nothing to compare the primary variant with."""
        same, total = self.agreement
        if total < 2:
            return None
        if contradicted(self.counted, self.joint) or (total - same) / total >= CONTESTED_SHARE:
            return State.CONTESTED
        return State.ROBUST if same / total >= ROBUST_SHARE else State.MIXED

    @property
    def sentence(self) -> str:
        """The finding in plain words: the primary difference, and what all variants say together."""
        return f"{self.first} {self.in_all}"


def conclusion(view: View, claim: Claim, runs: Sequence[Run], at_goal: Matching | None = None) -> Conclusion:
    """A claim under every benchmark, judge, threshold, policy and coherence judge that knows both sides.

    Args:
        runs: as `matched_runs` gives them.
        at_goal: these runs under the view's specification, where the caller has them.

    Raises:
        CapsafeError: no variant knows both sides.
    """
    rows: list[dict[str, object]] = []
    done: set[tuple[str, frozenset[str]]] = set()
    conditions: dict[str, Condition] = {}
    for under in _conditions(view):
        there = runs if under is view else matched_runs(under, path_table(under))
        sides = sides_of(under, claim, there)
        for benchmark in _benchmarks(under):
            used = benchmark, frozenset(used_cells(under.cells, benchmark, claim)["cell_id"])
            if (
                used not in done
            ):  # a condition that this benchmark was not answered under is not a variant of it
                found = variants_on(under, claim, sides, benchmark)
                rows += found
                conditions |= {str(row["condition"]): under.specification.condition for row in found}
            done.add(used)
    if not rows:
        raise CapsafeError(
            f"No judge has seen both sides of this claim ({claim.words}).",
            "The Runs page shows what is missing.",
        )
    draws = np.column_stack([np.asarray(row.pop("draws"), dtype=float) for row in rows])
    curve = pd.DataFrame(rows)
    curve["direction"] = directions(curve["low"].astype(float), curve["high"].astype(float))
    curve["p_adjusted"], curve["p_holm"] = np.nan, np.nan
    tested = curve["p"].notna()
    curve.loc[tested, "p_adjusted"] = benjamini_hochberg(curve.loc[tested, "p"].astype(float))
    curve.loc[tested, "p_holm"] = holm(curve.loc[tested, "p"].astype(float))
    primary = choices(view.specification, open_parts(view, view.specification.benchmark, claim))
    curve["primary"] = (curve[list(primary)] == pd.Series(primary)).all(axis=1)
    curve["kind"] = kinds_of(curve, draws, view.specification.policy)
    usual = {d: choice if choice in set(curve[d]) else str(curve[d].iloc[0]) for d, choice in primary.items()}
    curve = curve.sort_values(["estimate", *CHOICES])
    draws, curve = draws[:, curve.index], curve.reset_index(drop=True)
    shares, joint = together(curve, draws)
    choosable = curve[curve["kind"] != Kind.BOUND]
    flipping = flips(
        [{d: str(row[d]) for d in CHOICES} for row in choosable[list(CHOICES)].to_dict("records")],
        choosable["estimate"].to_numpy(dtype=float),
        usual,
    )
    change = _primary_change(view, claim, runs, at_goal) if curve["primary"].any() else None
    first = first_sentence(view, claim, curve, change)
    rest = f"{limits(change)}{in_all(view, claim, curve, shares, change, joint)}"
    return Conclusion(claim, curve, shares, flipping, joint, change, first, rest, conditions, draws)


def _primary_change(view: View, claim: Claim, runs: Sequence[Run], found: Matching | None) -> Change | None:
    """The difference under the view's specification, with what the seeds of all recipes tell of it."""
    if not claim.matched:
        return None
    if found is None:
        rates = primary_rates(view, runs)
        if rates is None:
            return None
        found = Matching(list(runs), rates)
    a, b = found.over_seeds.get(claim.a.name), None
    if claim.b.kind == "recipe":
        b = found.over_seeds.get(claim.b.name)
    elif (start := sides_of(view, claim, runs).checkpoints[1][0]) in found.unsafe.place:
        b = given_side(found.unsafe, start)
    return None if a is None or b is None else change_between(a, b, found.recipe_rates)


def _conditions(view: View) -> list[View]:
    """The view under every condition that the study's answers were given under, its own among them."""
    values = view.alternatives
    found = {frozenset(view.cells["cell_id"]): view}
    for chosen in product(*values.values()) if values else ():
        condition = tuple(sorted(zip(values, chosen, strict=True)))
        other = replace(view, specification=replace(view.specification, condition=condition))
        found.setdefault(frozenset(other.cells["cell_id"]), other)
    return [other for cells, other in found.items() if cells]


def _benchmarks(view: View) -> list[str]:
    kinds = view.cells.drop_duplicates("benchmark").set_index("benchmark")["kind"]
    return sorted(kinds.index[kinds == "safety"])


def policies_table(view: View, found: Matching) -> pd.DataFrame:
    """Each recipe at its goal against its start under the view's benchmark and judge, with every treatment of
    incoherent outputs, and without truncated outputs.

    Returns:
        recipe, policy, truncated (kept or left out), a (rate at the goal), b (at the start), estimate, low,
        high, n. Only recipes that reach their goal.
    """
    spec = view.specification
    rows = []
    for recipe, runs in found.by_recipe().items():
        claim = Claim(Arm("recipe", recipe), Arm("start", runs[0].start))
        sides = sides_of(view, claim, found.runs)
        sample = sample_of(view, spec.benchmark, sides.checkpoints[0], spec.attack)
        if sample is None or not runs[0].has_start:
            continue
        known = sample.looked(spec.coherence, "coherence")
        variants = [replace(spec, policy=policy) for policy in (Policy if known else POLICIES[:1])]
        if spec.truncated and not all(flags.all() for flags in sample.whole):
            variants.append(replace(spec, policy=spec.policy if known else POLICIES[0], truncated=False))
        for variant in variants:
            row = estimate(claim, sides, (sample, sample), variant)
            if row is not None:
                rows.append(
                    {
                        "recipe": recipe,
                        "policy": variant.policy.value,
                        "truncated": "kept" if variant.truncated else "left out",
                        **{k: row[k] for k in ("a", "b", "estimate", "low", "high", "n")},
                    }
                )
    return framed(rows, ["recipe", "policy", "truncated", "a", "b", "estimate", "low", "high", "n"])


def rank_table(found: ArmRates) -> tuple[list[Variant], Floats]:
    """Kendall's tau of the order of the arms between each two variants, as judged.

    Arms are recipes at their goals with their starts, else attacks, else last checkpoints with their starts,
    else models.

    Returns:
        The variants, and (variants, variants).
    """
    there = {a.kind for a in found.arms}
    ranked = (("recipe", "start"), ("attack",), ("last", "start"), ("start", "model", "checkpoint"))
    kinds = next((kinds for kinds in ranked if kinds[0] in there), ranked[-1])
    arms = [i for i, a in enumerate(found.arms) if a.kind in kinds]
    judged = [i for i, variant in enumerate(found.variants) if variant.policy is Policy.AS_JUDGED]
    return [found.variants[i] for i in judged], rank_agreement(found.rates[np.ix_(arms, judged)].T)
