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
from capsafe_core.analysis.matched import Matching
from capsafe_core.analysis.number_words import differs, hundredths, share_of_chance
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import Run, matched_runs, primary_rates
from capsafe_core.analysis.sample import sample_of
from capsafe_core.analysis.variants import choices, estimate, open_parts, sides_of, used_cells, variants_on
from capsafe_core.analysis.verbs import comparison, conditional, limits
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.specification import (
    CHOICES,
    POLICIES,
    Condition,
    Correction,
    Policy,
)
from capsafe_core.stats.paired import benjamini_hochberg, holm
from capsafe_core.stats.resampled import UNREACHED_LIMIT
from capsafe_core.stats.specification import (
    Flip,
    Joint,
    Shares,
    directions,
    family_shares,
    flips,
    joint_test,
    rank_agreement,
)

Floats = npt.NDArray[np.float64]
LEVEL = 0.05
"""chance up to which variants on both sides of zero contradict each other"""


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
            exploring the curve, Holm for confirming it whole; as-given claims only), primary; by estimate.
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
    def agreement(self) -> tuple[int, int]:
        """Variants whose estimate points in the primary direction, and all variants; (0, 0) where the primary
        one cannot be computed, so that nothing can agree with it."""
        main = self.curve[self.curve["primary"]]
        if main.empty:
            return 0, 0
        signs = np.sign(self.curve["estimate"].astype(float).round(9))
        return int((signs == signs[main.index[0]]).sum()), len(self.curve)

    @property
    def state(self) -> State | None:
        """How far it holds; None where there is nothing to compare the primary variant with."""
        same, total = self.agreement
        if total < 2:
            return None
        if contradicted(self.curve, self.joint) or (total - same) / total >= CONTESTED_SHARE:
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
    joint = joint_test(curve["estimate"], draws, curve["low"], curve["high"])
    curve["direction"] = directions(curve["low"].astype(float), curve["high"].astype(float))
    curve["p_adjusted"], curve["p_holm"] = np.nan, np.nan
    tested = curve["p"].notna()
    curve.loc[tested, "p_adjusted"] = benjamini_hochberg(curve.loc[tested, "p"].astype(float))
    curve.loc[tested, "p_holm"] = holm(curve.loc[tested, "p"].astype(float))
    primary = choices(view.specification, open_parts(view, view.specification.benchmark, claim))
    curve["primary"] = (curve[list(primary)] == pd.Series(primary)).all(axis=1)
    usual = {d: choice if choice in set(curve[d]) else str(curve[d].iloc[0]) for d, choice in primary.items()}
    curve = curve.sort_values(["estimate", *CHOICES])
    draws, curve = draws[:, curve.index], curve.reset_index(drop=True)
    shares = family_shares(curve["direction"].to_numpy(), list(curve["family"]))
    flipping = flips(
        [{d: str(row[d]) for d in CHOICES} for row in curve[list(CHOICES)].to_dict("records")],
        curve["estimate"].to_numpy(dtype=float),
        usual,
    )
    change = _primary_change(view, claim, runs, at_goal) if curve["primary"].any() else None
    first = _first_sentence(view, claim, curve, change)
    rest = f"{limits(change)}{_in_all(view, claim, curve, shares, change, joint)}"
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


def leading(curve: pd.DataFrame) -> int:
    """The place of the variant that stands for all: the primary one, or the middle one where that cannot be
    computed."""
    main = np.flatnonzero(curve["primary"].to_numpy())
    return int(main[0]) if len(main) else len(curve) // 2


def _first_sentence(view: View, claim: Claim, curve: pd.DataFrame, change: Change | None) -> str:
    """The primary difference with its uncertainty, never stronger than the interval."""
    main = curve[curve["primary"]]
    if main.empty and view.is_corrected:
        return f"{claim.words}: human labels are too few to correct this difference."
    row = curve.iloc[leading(curve)]
    why = (
        "the capability is known without a standard error"
        if claim.matched and pd.isna(row["unreached"])
        else f"more than {UNREACHED_LIMIT:.0%} of resamples are out of reach"
    )
    told = change or _as_it_is(claim, row)
    rates = float(row["a"]), float(row["b"])
    words = comparison(claim.a.words, claim.b.words, told, rates, why)
    run = "in this run, " if "last" in (claim.a.kind, claim.b.kind) else ""
    people = ", corrected by people," if row["correction"] == Correction.BY_PEOPLE else ""
    return f"By {row['judge']}{people} on {row['benchmark']}, {run}{words}."


def _as_it_is(claim: Claim, row: pd.Series) -> Change:
    """A variant's difference as a change: of what is given, or of recipes of which no seeds are known."""
    interval = None if pd.isna(row["low"]) else (float(row["low"]), float(row["high"]))
    trained = claim.matched
    return Change(
        float(row["estimate"]),
        interval,
        None if trained else interval,
        "" if trained else "none",
        0.0,
        False,
        int(row["n"]),
        1,
    )


def _in_all(
    view: View,
    claim: Claim,
    curve: pd.DataFrame,
    shares: Shares | None,
    change: Change | None,
    joint: Joint | None,
) -> str:
    """What all analysis variants say together."""
    main = curve[curve["primary"]]
    up, down, open_ = (int((curve["direction"] == d).sum()) for d in (1, -1, 0))
    seeds = "" if change is None or change.seeds == "own" else f", {conditional(change.runs)}"
    worth = f" (worth about {joint.effective:.0f} independent ones)" if joint else ""
    counts = (
        f"Of {len(curve)} analysis variants{worth}, {up} say less safe, {down} safer, and {open_} leave"
        f" it open{seeds}"
    )
    weighted = (
        f"; with each judge family counted alike {shares.up:.0%}, {shares.down:.0%} and "
        f"{shares.unresolved:.0%}"
        if shares
        else ""
    )
    which = (
        f"This is {view.standing}."
        if len(main)
        else "This is not the primary specification, which cannot be computed for both sides."
    )
    given = "" if claim.matched else " The two are compared as given, not at one capability."
    if len(curve) == 1:
        return f"There is only one analysis variant. {which}{given}"
    return (
        f"{counts}{weighted} (shares of analysis variants, not a probability).{_together(joint)}"
        f"{_contradiction(curve, joint)} {which}{given}"
    )


def _together(joint: Joint | None) -> str:
    """Whether all of them are more than chance; "" where it cannot be tested."""
    if joint is None:
        return ""
    side = "less safe" if joint.up >= joint.down else "safer"
    return (
        f" If nothing differed, {max(joint.up, joint.down)} or more that agree on “{side}” would come up in "
        f"{share_of_chance(joint.resolved_p)} of studies, and a median as far from zero "
        f"({hundredths(joint.median, '+')} points) in {share_of_chance(joint.median_p)}."
    )


def contradicted(curve: pd.DataFrame, joint: Joint | None) -> bool:
    """Whether variants contradict each other: intervals on both sides exclude zero, more of them than chance
    would bring."""
    resolved = curve[curve["direction"] != 0]
    return resolved["direction"].nunique() == 2 and (joint is None or joint.opposed_p <= LEVEL)


def _contradiction(curve: pd.DataFrame, joint: Joint | None) -> str:
    """The two variants that differ most, and whether they contradict each other; "" where they do not differ
    by a point."""
    if not differs(curve["estimate"].min(), curve["estimate"].max()):
        return ""
    contradict = contradicted(curve, joint)
    shown = curve[curve["direction"] != 0] if contradict else curve
    ends = [shown.sort_values("estimate").iloc[place] for place in (0, -1)]
    words = [
        f"{hundredths(end['estimate'], '+')} points ({end['judge']} on {end['benchmark']}: {end['a']:.0%} "
        f"against {end['b']:.0%})"
        for end in ends
    ]
    said = "They contradict each other, from" if contradict else "Their estimates run from"
    return f" {said} {words[0]} to {words[1]}."


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
