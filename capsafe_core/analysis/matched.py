"""Recipes compared where they reach the capability goal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.view import View
from capsafe_core.stats.bootstrap import cluster_weights, percentile_intervals, resampled_rates
from capsafe_core.stats.matching import at_place, crossing
from capsafe_core.store.arrays import behaviours, code_arrays, output_positions

RESAMPLES = 1000
UNREACHED_LIMIT = 0.05
"""Above this share of resamples out of reach no interval of a difference is given."""
Floats = npt.NDArray[np.float64]
Path = dict[str, npt.NDArray[Any]]
"""The columns of `path_table` along one path, in order of step."""


@dataclass(frozen=True)
class Resampled:
    """Rates in each resample: unsafe by checkpoint, right answers by checkpoint and benchmark; each of shape (resamples,)."""

    unsafe: dict[str, Floats]
    right: dict[tuple[str, str], Floats]

    def at_goal(self, path: Path, goal: float, rule: str) -> Floats:
        """(resamples, 2): a path's unsafe rate at the goal and its difference from the start; NaN where out of reach."""
        benchmark = str(path["capability_benchmark"][0])
        unsafe = np.column_stack([self.unsafe[c] for c in path["checkpoint_id"]])
        place = crossing(np.column_stack([self.right[c, benchmark] for c in path["checkpoint_id"]]), goal, rule)
        there = at_place(unsafe, place)
        return np.column_stack([there, there - unsafe[:, 0]])


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
    comparable = table[table["recipe"].isin(view.matched_recipes)]
    whole = comparable.assign(known=comparable["capability"].notna() & comparable["unsafe"].notna()).groupby("path_id")["known"].agg(["all", "size"])
    comparable = comparable[comparable["path_id"].isin(whole.index[whole["all"] & (whole["size"] > 1)])]
    resampled = _resample(view, comparable)
    columns_of = {name: comparable[name].to_numpy() for name in comparable.columns}
    paths = [{name: values[rows] for name, values in columns_of.items()} for rows in comparable.groupby("path_id", sort=False).indices.values()]
    rows = [_matched_row(view, path, resampled) for path in paths]
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


def _matched_row(view: View, path: Path, resampled: Resampled) -> dict[str, object]:
    goal, rule = float(path["goal"][0]), view.specification.crossing
    capability, unsafe = path["capability"], path["unsafe"]
    place = float(crossing(capability, goal, rule))
    row: dict[str, object] = {
        "recipe": path["recipe"][0],
        "seed": int(path["seed"][0]),
        "dataset": path["dataset"][0],
        "goal": goal,
        "reached": not np.isnan(place),
        "place": place,
        "best": float(capability.max()),
        "start_unsafe": float(unsafe[0]),
        "n": int(path["unsafe_n"][0]),
    }
    draws = resampled.at_goal(path, goal, rule)
    unreached = row["unreached"] = float(np.isnan(draws[:, 0]).mean())
    if np.isnan(place):
        return row
    left, right = int(np.floor(place)), int(np.ceil(place))
    row |= {
        "step": float(at_place(path["step"].astype(float), place)),
        "unsafe": float(at_place(unsafe, place)),
        "bracket_low": float(min(unsafe[left], unsafe[right])),
        "bracket_high": float(max(unsafe[left], unsafe[right])),
        "gap": float(capability[right] - capability[left]),
    }
    row["delta"] = float(at_place(unsafe, place) - unsafe[0])
    if not view.selection.truncated:
        return row  # the resamples hold every output; an interval beside this rate would be another rate's
    for name, interval in zip(("unsafe", "delta"), percentile_intervals(draws), strict=True):
        if interval and (name == "unsafe" or unreached <= UNREACHED_LIMIT):
            row[f"{name}_low"], row[f"{name}_high"] = interval
    return row


def _resample(view: View, paths: pd.DataFrame) -> Resampled:
    """Rates of every checkpoint on the paths in each resample: one product of weights and sums for all."""
    if paths.empty:
        return Resampled({}, {})
    spec = view.specification
    known = view.cells.set_index(["checkpoint_id", "benchmark"])["cell_id"]
    versions = view.cells.groupby("benchmark")["benchmark_id"].agg(lambda ids: ids.mode().iloc[0])
    points = paths.drop_duplicates("checkpoint_id")["checkpoint_id"]
    safety_cells = [known[c, spec.benchmark] for c in points]
    verdicts, coherence = code_arrays(view.store, safety_cells, [(spec.judge, "safety"), (spec.coherence, "coherence")])
    clusters = pd.factorize(np.array(behaviours(view.store, versions[spec.benchmark]), dtype=object))[0]
    counted = {c: policy_arrays(verdicts[c], coherence.get(c, np.zeros_like(verdicts[c])), spec.policy) for c in safety_cells}
    unsafe = dict(zip(points, _rates(view, counted, clusters, seed=1).T, strict=True)) if len(points) else {}
    right: dict[tuple[str, str], Floats] = {}
    for benchmark, tasks in paths.drop_duplicates(["checkpoint_id", "capability_benchmark"]).groupby("capability_benchmark"):
        task_cells = {known[c, benchmark]: c for c in tasks["checkpoint_id"]}
        [codes] = code_arrays(view.store, list(task_cells), [("verifier", "correctness")])
        answered = {c: ((codes[c] == 2).astype(float), ((codes[c] == 1) | (codes[c] == 2)).astype(float)) for c in task_cells}
        items = np.arange(len(behaviours(view.store, versions[benchmark])))
        right |= {(c, str(benchmark)): draws for c, draws in zip(task_cells.values(), _rates(view, answered, items, seed=2).T, strict=True)}
    return Resampled(unsafe, right)


def _rates(view: View, counted: dict[str, tuple[Floats, Floats]], clusters: npt.NDArray[np.int64], seed: int) -> Floats:
    """(resamples, cells) rates.

    Args:
        counted: events and trials of each output, by cell.
        clusters: the cluster of each prompt.
        seed: of the weights, which are the same for every cell.
    """
    uneven = [c for c, (events, _) in counted.items() if len(events) != len(clusters)]
    places = output_positions(view.store, uneven) if uneven else {}
    size = int(clusters.max()) + 1
    alone = size == len(clusters)  # every prompt is a cluster of its own, in order: nothing to add up

    def by_cluster(cell: str, values: Floats) -> Floats:
        if alone and cell not in places:
            return values
        return np.asarray(np.bincount(clusters[places[cell]] if cell in places else clusters, weights=values, minlength=size))

    sums = [[by_cluster(c, values) for values in pair] for c, pair in counted.items()]
    events, trials = np.array(sums).transpose(1, 0, 2)
    return resampled_rates(cluster_weights(size, RESAMPLES, seed), events, trials)


def policy_arrays(codes: npt.NDArray[np.uint8], coherence: npt.NDArray[np.uint8], policy: str) -> tuple[Floats, Floats]:
    """Events and trials of each output under a policy, from safety and coherence codes."""
    incoherent, verdict = coherence == 2, (codes == 1) | (codes == 2)
    unsafe = codes == 2
    if policy == "as_judged":
        return unsafe.astype(float), verdict.astype(float)
    if policy == "excluded":
        return (unsafe & ~incoherent).astype(float), (verdict & ~incoherent).astype(float)
    events = (unsafe & ~incoherent) | (incoherent if policy == "counted_unsafe" else False)
    return events.astype(float), (verdict | incoherent).astype(float)
