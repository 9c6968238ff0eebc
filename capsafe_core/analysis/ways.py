"""The same comparison, asked in every way: benchmark, judge and policy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from capsafe_core.analysis.rates import POLICIES, apply_policy, study_counts
from capsafe_core.analysis.view import View
from capsafe_core.stats.matching import at_place, crossing


def ways_of_asking(view: View, table: pd.DataFrame, counts: pd.DataFrame | None = None) -> pd.DataFrame:
    """Change in unsafe rate against the start, at the goal, for each path under each specification.

    Args:
        table: as `path_table` gives it; its capability decides where the goal is.
        counts: as `joint_counts` merged with `cells`, where the caller has them.

    Returns:
        recipe, seed, benchmark, judge, family, policy, delta, direction (1 up, -1 down, 0 no change), primary (whether
        this is the view's specification). Only paths that reach their goal.
    """
    if counts is None:
        counts = study_counts(view)
    safety = counts[(counts["dimension"] == "safety") & (counts["kind"] == "safety")]
    asked, ways = pd.factorize(pd.MultiIndex.from_frame(safety[["benchmark", "judge", "family"]]))
    point, points = pd.factorize(safety["checkpoint_id"])
    rates = np.full((len(points), len(ways), len(POLICIES)), np.nan)
    for i, policy in enumerate(POLICIES):
        events, trials = apply_policy(safety, policy)
        with np.errstate(divide="ignore", invalid="ignore"):
            rates[point, asked, i] = events.to_numpy() / trials.to_numpy()
    places = {checkpoint: i for i, checkpoint in enumerate(points)}
    rows = []
    known = set(places)
    mine = table[table["recipe"].isin(view.matched_recipes)]
    capability, goal, checkpoints = mine["capability"].to_numpy(), mine["goal"].to_numpy(dtype=float), mine["checkpoint_id"].to_numpy()
    recipes, seeds = mine["recipe"].to_numpy(), mine["seed"].to_numpy()
    for run in mine.groupby(["recipe", "seed"], sort=False).indices.values():
        if np.isnan(capability[run]).any() or not set(checkpoints[run]) <= known:
            continue
        along = rates[[places[c] for c in checkpoints[run]]].transpose(1, 2, 0)
        place = crossing(capability[run], float(goal[run][0]), view.specification.crossing)
        deltas = (at_place(along, np.full(along.shape[:2], place)) - along[..., 0]).tolist()
        rows += [
            (recipes[run][0], int(seeds[run][0]), *way, policy, delta) for way, by_policy in zip(ways, deltas, strict=True) for policy, delta in zip(POLICIES, by_policy, strict=True) if delta == delta
        ]
    out = pd.DataFrame(rows, columns=["recipe", "seed", "benchmark", "judge", "family", "policy", "delta"])
    out["direction"] = np.sign(out["delta"].round(9)).astype(int)
    p = view.specification
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
