"""Recipes compared where they reach the capability goal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.view import View
from capsafe_core.stats.bootstrap import cluster_weights, percentile_interval, resampled_rates
from capsafe_core.stats.matching import at_place, crossing
from capsafe_core.store.arrays import behaviours, code_arrays, positions
from capsafe_core.store.cells import cells

RESAMPLES = 1000
UNREACHED_LIMIT = 0.05
"""Above this share of resamples out of reach no interval of a difference is given."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """Events and trials along a path, by cluster: (steps, clusters)."""

    events: Floats
    trials: Floats


def matched_table(view: View, table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Each path at its goal, under the view's specification.

    Intervals are percentiles of a bootstrap over behaviours and capability items, the same resample for every
    checkpoint; they are conditional on the training seeds.

    Returns:
        recipe, seed, dataset, goal, reached; step (where the path crosses the goal); place (on the list of checkpoints);
        best (highest capability on the path); unsafe, unsafe_low, unsafe_high at the goal; bracket_low, bracket_high (the
        unsafe rates of the checkpoints on both sides); gap (capability between those); start_unsafe; delta, delta_low,
        delta_high against the start; unreached (share of resamples out of reach); n (unsafe trials at the start).
    """
    table = path_table(view) if table is None else table
    rows = []
    for _, path in table[table["recipe"].isin(view.matched_recipes)].groupby("path_id", sort=False):
        if path["capability"].notna().all() and path["unsafe"].notna().all() and len(path) > 1:
            rows.append(_matched_row(view, path))
    columns = ["recipe", "seed", "dataset", "goal", "reached", "step", "place", "best", "unsafe", "unsafe_low", "unsafe_high", "bracket_low", "bracket_high", "gap", "start_unsafe", "delta", "delta_low", "delta_high", "unreached", "n"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def in_words(matched: pd.DataFrame) -> pd.DataFrame:
    """The matched table as a person reads it: rates in per cent, intervals in brackets, "not reached" where it is so."""

    def percent(value: float, low: float = float("nan"), high: float = float("nan"), sign: str = "") -> str:
        if pd.isna(value):
            return "—"
        span = "" if pd.isna(low) or pd.isna(high) else f" ({100 * low:{sign}.0f} to {100 * high:{sign}.0f})"
        return f"{100 * value:{sign}.0f}{span}"

    rows = matched.to_dict("records")
    return pd.DataFrame(
        {
            "recipe": matched["recipe"],
            "seed": matched["seed"],
            "goal": [f"{r['goal']:.0%} on {r['dataset']}" for r in rows],
            "reached at step": [f"{r['step']:.0f}" if r["reached"] else f"not reached (best {r['best']:.0%})" for r in rows],
            "unsafe % at the goal": [percent(r["unsafe"], r["unsafe_low"], r["unsafe_high"]) for r in rows],
            "unsafe % at the start": [percent(r["start_unsafe"]) for r in rows],
            "change in points": [percent(r["delta"], r["delta_low"], r["delta_high"], "+") for r in rows],
            "checkpoints around it, %": ["—" if pd.isna(r["bracket_low"]) else f"{100 * r['bracket_low']:.0f} to {100 * r['bracket_high']:.0f}" for r in rows],
            "resamples out of reach": [f"{r['unreached']:.0%}" for r in rows],
        }
    )


def _matched_row(view: View, path: pd.DataFrame) -> dict[str, object]:
    goal, rule = float(path["goal"].iloc[0]), view.specification.crossing
    rule = "first" if rule == "safest" else rule
    capability, unsafe = path["capability"].to_numpy(), path["unsafe"].to_numpy()
    place = float(crossing(capability, goal, rule))
    row: dict[str, object] = {
        "recipe": path["recipe"].iloc[0],
        "seed": int(path["seed"].iloc[0]),
        "dataset": path["dataset"].iloc[0],
        "goal": goal,
        "reached": not np.isnan(place),
        "place": place,
        "best": float(capability.max()),
        "start_unsafe": float(unsafe[0]),
        "n": int(path["unsafe_n"].iloc[0]),
    }
    draws = _draws(view, path, goal, rule)
    row["unreached"] = float(np.isnan(draws[:, 0]).mean())
    if np.isnan(place):
        return row
    left, right = int(np.floor(place)), int(np.ceil(place))
    row |= {
        "step": float(at_place(path["step"].to_numpy(dtype=float), place)),
        "unsafe": float(at_place(unsafe, place)),
        "bracket_low": float(min(unsafe[left], unsafe[right])),
        "bracket_high": float(max(unsafe[left], unsafe[right])),
        "gap": float(capability[right] - capability[left]),
    }
    row["delta"] = float(at_place(unsafe, place) - unsafe[0])
    for name, column in (("unsafe", 0), ("delta", 1)):
        interval = percentile_interval(draws[:, column])
        if interval and (name == "unsafe" or float(np.isnan(draws[:, 0]).mean()) <= UNREACHED_LIMIT):
            row[f"{name}_low"], row[f"{name}_high"] = interval
    return row


def _draws(view: View, path: pd.DataFrame, goal: float, rule: str) -> Floats:
    """(resamples, 2): unsafe rate at the goal and its difference from the start; NaN where out of reach."""
    safety, correct = _series(view, path)
    w_safety = cluster_weights(safety.events.shape[1], RESAMPLES, seed=1)
    w_correct = cluster_weights(correct.events.shape[1], RESAMPLES, seed=2)
    unsafe = resampled_rates(w_safety, safety.events, safety.trials)
    place = crossing(resampled_rates(w_correct, correct.events, correct.trials), goal, rule)
    there = at_place(unsafe, place)
    return np.column_stack([there, there - unsafe[:, 0]])


def _series(view: View, path: pd.DataFrame) -> tuple[Series, Series]:
    """Safety by behaviour and correctness by item, along a path."""
    spec = view.specification
    known = cells(view.store).set_index(["checkpoint_id", "benchmark"])["cell_id"]
    known = known[~known.index.duplicated()]
    checkpoints = list(path["checkpoint_id"])
    safety_cells = [known[c, spec.benchmark] for c in checkpoints]
    task_cells = [known[c, path["capability_benchmark"].iloc[0]] for c in checkpoints]
    verdicts = code_arrays(view.store, safety_cells, spec.judge, "safety")
    coherence = code_arrays(view.store, safety_cells, spec.coherence, "coherence")
    right = code_arrays(view.store, task_cells, "verifier", "correctness")
    places = positions(view.store, [*safety_cells, *task_cells])
    clusters = pd.factorize(np.array(behaviours(view.store, spec.benchmark), dtype=object))[0]
    items = int(max(places[c].max() for c in task_cells)) + 1
    safety, correct = [], []
    for c in safety_cells:
        events, trials = policy_arrays(verdicts[c], coherence.get(c, np.zeros_like(verdicts[c])), spec.policy)
        safety.append(_by_cluster(clusters[places[c]], int(clusters.max()) + 1, events, trials))
    for c in task_cells:
        correct.append(_by_cluster(places[c], items, (right[c] == 2).astype(float), np.isin(right[c], (1, 2)).astype(float)))
    return Series(*map(np.array, zip(*safety, strict=True))), Series(*map(np.array, zip(*correct, strict=True)))


def _by_cluster(cluster: npt.NDArray[np.int64], size: int, events: Floats, trials: Floats) -> tuple[Floats, Floats]:
    """Sums of events and trials in each cluster; a cluster may have any number of outputs, none included."""
    return np.bincount(cluster, weights=events, minlength=size), np.bincount(cluster, weights=trials, minlength=size)


def policy_arrays(codes: npt.NDArray[np.uint8], coherence: npt.NDArray[np.uint8], policy: str) -> tuple[Floats, Floats]:
    """Events and trials of each output under a policy, from safety and coherence codes."""
    incoherent, verdict = coherence == 2, np.isin(codes, (1, 2))
    unsafe = codes == 2
    if policy == "as_judged":
        return unsafe.astype(float), verdict.astype(float)
    if policy == "excluded":
        return (unsafe & ~incoherent).astype(float), (verdict & ~incoherent).astype(float)
    events = (unsafe & ~incoherent) | (incoherent if policy == "counted_unsafe" else False)
    return events.astype(float), (verdict | incoherent).astype(float)
