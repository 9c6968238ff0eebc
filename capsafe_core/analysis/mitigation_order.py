"""Whether mitigations keep their order: against each other, and under other benchmarks, judges, policies."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from capsafe_core.analysis.arms import Arm, ArmRates, arm_rates
from capsafe_core.analysis.columns import framed
from capsafe_core.analysis.matched import CHANGE, Matching, between_table, matching
from capsafe_core.analysis.mitigations import Family, families
from capsafe_core.analysis.refusals import harmless_benchmarks, refused_at_goal
from capsafe_core.analysis.runs import Run
from capsafe_core.analysis.view import View
from capsafe_core.stats.paired import holm

PAIRS = ["of", "recipe_1", "recipe_2", "goal", *CHANGE, "p_holm", "unreached"]
ORDERS = ["of", "benchmark", "judge", "policy", "order", "safest", "same_order", "same_safest", "primary"]
REFUSED = ["recipe", "of", "benchmark", "judge", "refused", "refused_of", "delta", "delta_low", "delta_high"]


def pairs_table(view: View, found: Matching | None = None) -> pd.DataFrame:
    """Every two of a recipe and its mitigations, at one goal.

    Returns:
        of (the unmitigated recipe), recipe_1, recipe_2, goal, delta (unsafe rate of 1 minus 2) and the
        other columns of a change, as `recipe_table` has them, p_holm (adjusted for all pairs here),
        unreached. Only recipes that reach the goal.
    """
    found = matching(view.of_every_recipe) if found is None else found
    pairs = between_table(view, found)
    rows = [
        {**pair, "of": family.base, "goal": pair["goal_1"]}
        for family in families(view)
        for pair in pairs.to_dict("records")
        if {pair["recipe_1"], pair["recipe_2"]} <= set(family.names) and pair["goal_1"] == pair["goal_2"]
    ]
    table = framed([{name: row.get(name) for name in PAIRS} for row in rows], PAIRS)
    tested = table["p"].notna()
    table.loc[tested, "p_holm"] = holm(table.loc[tested, "p"].astype(float))
    return table


def orders_table(view: View, found: Matching | None = None) -> pd.DataFrame:
    """The order of a recipe and its mitigations by unsafe rate at the goal, under every benchmark, judge and
    treatment of incoherent outputs that knows all of them.

    Returns:
        of, benchmark, judge, policy, order (the safest first; = where two are equal), safest, same_order and
        same_safest (as under the view's own choice; missing where that cannot be computed), primary (whether
        the row is that choice). Only of recipes that reach the goal, and where there are two or more.
    """
    found = matching(view.of_every_recipe) if found is None else found
    rates = arm_rates(view, found.runs)
    rows = [row for family in families(view) for row in _orders(view, family, rates)]
    return framed(rows, ORDERS)


def _orders(view: View, family: Family, rates: ArmRates) -> list[dict[str, object]]:
    """The rows of one family."""
    names = [name for name in family.names if Arm("recipe", name) in rates.arms]
    if len(names) < 2:
        return []
    spec = view.specification
    primary = (spec.benchmark, spec.judge, spec.policy)
    found = {}
    along = np.array([rates.of(Arm("recipe", name)) for name in names]).round(9)
    for variant, values in zip(rates.variants, along.T, strict=True):
        if not np.isnan(values).any():
            found[variant.benchmark, variant.judge, variant.policy] = values
    main = found.get(primary)
    return [
        {
            "of": family.base,
            "benchmark": benchmark,
            "judge": judge,
            "policy": policy.value,
            "order": _in_order(names, values),
            "safest": ", ".join(n for n, v in zip(names, values, strict=True) if v == values.min()),
            "same_order": None if main is None else _ranks(values) == _ranks(main),
            "same_safest": None if main is None else bool(set(_first(values)) & set(_first(main))),
            "primary": (benchmark, judge, policy) == primary,
        }
        for (benchmark, judge, policy), values in found.items()
    ]


def _ranks(values: np.ndarray) -> list[int]:
    return [int((values < value).sum()) for value in values]


def _first(values: np.ndarray) -> list[int]:
    return [int(i) for i in np.flatnonzero(values == values.min())]


def _in_order(names: Sequence[str], values: np.ndarray) -> str:
    order = np.argsort(values, kind="stable")
    words = str(names[order[0]])
    for before, i in pairwise(order):
        words += f" {'=' if values[i] == values[before] else '<'} {names[i]}"
    return words


def over_refusal_table(view: View, found: Matching | None = None) -> pd.DataFrame:
    """The share of harmless requests that each mitigation refuses at the goal, beside the recipe that it
    mitigates.

    Returns:
        recipe, of, benchmark, judge (of refusals), refused, refused_of, delta, delta_low, delta_high (95 %,
        as between recipes). Only where both reach the goal and the judge has seen all of their checkpoints.
    """
    found = matching(view.of_every_recipe) if found is None else found
    runs = found.by_recipe()
    benchmarks = harmless_benchmarks(view)
    rows = [
        {"of": family.base, "recipe": recipe.name, "benchmark": benchmark, **told}
        for family in families(view)
        for recipe in family.mitigations
        for benchmark in benchmarks
        if (told := _refused(view, found, benchmark, runs.get(recipe.name), runs.get(family.base)))
    ]
    return framed(rows, REFUSED)


def _refused(
    view: View, found: Matching, benchmark: str, runs: list[Run] | None, base: list[Run] | None
) -> dict[str, object]:
    """Two recipes on one benchmark of harmless requests; empty where they cannot be compared there."""
    if not runs or not base:
        return {}
    refused = refused_at_goal(view, found, benchmark, [*runs, *base])
    if refused is None:
        return {}
    pairs = between_table(view, refused)
    if pairs.empty or pairs["goal_1"].iloc[0] != pairs["goal_2"].iloc[0]:
        return {}
    pair = pairs.iloc[0]
    kept = {name: pair[name] for name in ("delta", "delta_low", "delta_high")}
    return {
        "judge": view.specification.refusal_judge,
        "refused": pair["unsafe_1"],
        "refused_of": pair["unsafe_2"],
        **kept,
    }
