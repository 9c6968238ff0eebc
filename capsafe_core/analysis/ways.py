"""The same comparison, asked in every way: benchmark, judge and policy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from capsafe_core.analysis.rates import POLICIES, rates_of
from capsafe_core.analysis.view import View
from capsafe_core.stats.matching import at_place, crossing
from capsafe_core.store.cells import cells, joint_counts


def ways_of_asking(view: View, table: pd.DataFrame, counts: pd.DataFrame | None = None) -> pd.DataFrame:
    """Change in unsafe rate against the start, at the goal, for each path under each specification.

    Args:
        table: as `path_table` gives it; its capability decides where the goal is.
        counts: as `joint_counts` merged with `cells`, where the caller has them.

    Returns:
        recipe, seed, benchmark, judge, family, policy, delta, direction (1 up, -1 down, 0 no change), primary (whether
        this is the study's primary specification). Only paths that reach their goal.
    """
    if counts is None:
        counts = joint_counts(view.store, view.specification.coherence, view.selection.truncated).merge(cells(view.store), on="cell_id")
    safety = counts[(counts["dimension"] == "safety") & (counts["kind"] == "safety")]
    by_policy = pd.concat([rates_of(safety, policy).assign(policy=policy) for policy in POLICIES])
    wide = by_policy.pivot_table(index="checkpoint_id", columns=["benchmark", "judge", "family", "policy"], values="rate", dropna=False)
    rows = []
    for (recipe, seed), path in table[table["recipe"].isin(view.matched_recipes)].groupby(["recipe", "seed"], sort=False):
        if path["capability"].isna().any() or not set(path["checkpoint_id"]) <= set(wide.index):
            continue
        place = crossing(path["capability"].to_numpy(), float(path["goal"].iloc[0]))
        rates = wide.loc[path["checkpoint_id"]].to_numpy().T
        deltas = at_place(rates, np.full(len(rates), place)) - rates[:, 0]
        rows += [(recipe, seed, *key, delta) for key, delta in zip(wide.columns, deltas, strict=True) if not np.isnan(delta)]
    out = pd.DataFrame(rows, columns=["recipe", "seed", "benchmark", "judge", "family", "policy", "delta"])
    out["direction"] = np.sign(out["delta"].round(9)).astype(int)
    p = view.study.primary
    out["primary"] = (out["benchmark"] == p.benchmark) & (out["judge"] == p.judge) & (out["policy"] == p.policy)
    return out


def agreement_with_primary(ways: pd.DataFrame, recipe: str) -> tuple[int, int, str]:
    """For one recipe: ways of asking that point in the primary direction, all ways, and the choice that flips it most.

    A way counts once, by its mean over seeds.
    """
    mine = ways[ways["recipe"] == recipe].groupby(["benchmark", "judge", "policy"], as_index=False).agg(delta=("delta", "mean"), primary=("primary", "first"))
    main = mine[mine["primary"]]
    if main.empty:
        return 0, len(mine), ""
    direction = np.sign(round(float(main["delta"].iloc[0]), 9))
    same = np.sign(mine["delta"].round(9)) == direction
    other = mine[~same]
    if other.empty:
        return int(same.sum()), len(mine), ""
    shares = {(kind, name): float((~same[mine[kind] == name]).mean()) for kind in ("benchmark", "judge", "policy") for name in mine[kind].unique()}
    (_, name), _ = max(shares.items(), key=lambda item: item[1])
    return int(same.sum()), len(mine), name
