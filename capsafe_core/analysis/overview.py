"""The first screen: what fine-tuning did, and how sure that is."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.arms import Arm, Claim, arm_rates, claims
from capsafe_core.analysis.columns import records
from capsafe_core.analysis.conclusions import Conclusion, State, conclusion
from capsafe_core.analysis.lacking import lacking
from capsafe_core.analysis.matched import Matching, matched_table, matching, recipe_table
from capsafe_core.analysis.number_words import hundredths, interval_words, pts, rate_words
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.rates import cell_rates, study_counts
from capsafe_core.analysis.refusals import harmless_benchmarks, refused_at_goal
from capsafe_core.analysis.runs import start_name
from capsafe_core.analysis.standing import Standing
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.stats.matching import at_place
from capsafe_core.store.counts import outcome_counts

Floats = npt.NDArray[np.float64]
BAR_ORDER = ("refusal", "safe", "unsafe", "incoherent", "no verdict")
BARS = ("recipe", "outcome", "share", "start")
"""of a table of bars; `start` is "" for what is not one"""


@dataclass(frozen=True)
class Overview:
    """Everything the first screen shows.

    Attributes:
        recipe: the recipe that the headline is about.
        headline: the finding in counts, one or two sentences.
        chip: in how many analysis variants the direction holds.
        missing: why other recipes are not compared, in sentences.
        bars: recipe, outcome, share, start; the start first ("start: NAME"), whose name stands in `start`,
            then each recipe at its goal, where it is "".
        notes: for each bar, where on the path it was read.
        behind: for each bar, the checkpoints that it was read from.
        paths: as `path_table`.
        matched: as `matched_table`.
        every: as `recipe_table`.
        claim: key of the headline's claim, for the Conclusions page: as given where the goal is not reached.
        state: how far that claim holds.
        numbers: the four numbers, name -> (value, explanation).
    """

    recipe: str
    headline: str
    chip: str
    missing: list[str]
    bars: pd.DataFrame
    notes: dict[str, str]
    behind: dict[str, tuple[str, ...]]
    paths: pd.DataFrame
    matched: pd.DataFrame
    every: pd.DataFrame
    claim: str
    state: State | None
    numbers: dict[str, tuple[str, str]]


def overview(view: View, recipe: str = "") -> Overview:
    """The first screen for one recipe; the one whose unsafe rate moved most where none is asked for.

    Raises:
        CapsafeError: no recipe of the study can be compared at a goal; `given.as_given` shows what is there.
    """
    view = view.of_every_recipe  # each stays on the screen
    counts = study_counts(view)
    paths = path_table(view, cell_rates(view, counts))
    at_goal = matching(view, paths)
    matched, recipes = matched_table(view, at_goal), recipe_table(view, at_goal)
    if matched.empty:
        raise CapsafeError("No recipe can be compared at a goal.", " ".join(lacking(view, at_goal)))
    if not recipe:
        reached = recipes[recipes["reached"] > 0]
        moved = reached.sort_values("delta", key=abs, ascending=False) if len(reached) else recipes
        recipe = str(moved["recipe"].iloc[0])
    mine = matched[matched["recipe"] == recipe]
    if mine.empty:
        raise CapsafeError(
            f"The recipe {recipe!r} cannot be compared at a goal.",
            f"Choose one of: {', '.join(matched['recipe'].unique())}.",
        )
    row = recipes[recipes["recipe"] == recipe].iloc[0]
    bars, notes, behind = outcome_bars(view, paths, matched)
    found = _conclusion(view, recipe, at_goal, counts)
    numbers = _change(row, mine) | _there(view, paths, mine, bars) | variants_number(found)
    return Overview(
        recipe,
        f"{_headline(view, row, mine)}{_over_refusal(view, at_goal, recipe)}",
        chip(found, recipe),
        lacking(view, at_goal),
        bars,
        notes,
        behind,
        paths,
        matched,
        recipes,
        found.claim.key if found else "",
        found.state if found else None,
        numbers,
    )


def _conclusion(view: View, recipe: str, at_goal: Matching, counts: pd.DataFrame) -> Conclusion | None:
    """The recipe against its start under every specification, at its goal, else its last checkpoint as given;
    where its start is not known, what Conclusions opens with. None where nothing can be compared."""
    known = arm_rates(view, at_goal.runs, counts)
    start = Arm("start", view.study.recipe(recipe).start)
    sides = [Claim(Arm(kind, recipe), start) for kind in ("recipe", "last")]
    claim = next((c for c in sides if known.knows(c)), None) or next(iter(claims(view, known)), None)
    return conclusion(view, claim, at_goal.runs, at_goal) if claim else None


def agreement_with_primary(found: Conclusion) -> tuple[int, int, str]:
    """Variants whose estimate points in the primary direction, all variants, and the choice that flips the
    sign most often; "" where none does."""
    same, total = found.agreement
    most = next((f for f in found.flipping if f.flips), None)
    return same, total, most.choice if most and total else ""


def outcome_shares(view: View) -> pd.DataFrame:
    """Share of each of BAR_ORDER among each checkpoint's outputs to the view's benchmark; index
    checkpoint_id."""
    spec = view.specification
    counts = outcome_counts(view.store, spec).merge(view.compared(view.cells), on="cell_id")
    counts = counts[counts["benchmark"] == spec.benchmark]
    shares = counts.pivot_table(
        index="checkpoint_id", columns="outcome", values="n", aggfunc="sum", fill_value=0
    )
    return shares.div(shares.sum(axis=1), axis=0).reindex(columns=list(BAR_ORDER), fill_value=0.0)


Bars = tuple[pd.DataFrame, dict[str, str], dict[str, tuple[str, ...]]]
"""a table with BARS; and of each bar where on the path it was read, in words and as checkpoints"""


def outcome_bars(view: View, paths: pd.DataFrame, matched: pd.DataFrame) -> Bars:
    """Outcome shares of each start and of each recipe at its goal (mean over seeds)."""
    shares = outcome_shares(view)
    bars: list[tuple[str, str, float, str]] = []
    notes: dict[str, str] = {}
    behind: dict[str, tuple[str, ...]] = {}

    def add(name: str, values: Floats, note: str, checkpoints: list[str], start: str = "") -> None:
        bars.extend((name, o, float(value), start) for o, value in zip(BAR_ORDER, values, strict=True))
        notes[name], behind[name] = note, tuple(dict.fromkeys(checkpoints))

    values, places = shares.to_numpy(), {checkpoint: i for i, checkpoint in enumerate(shares.index)}
    start_of, step_of, checkpoint_of = (paths[name].to_numpy() for name in ("start", "step", "checkpoint_id"))
    along_run = {
        run: (start_of[rows][0], step_of[rows][-1], list(checkpoint_of[rows]))
        for run, rows in paths.groupby(["recipe", "seed"], sort=False).indices.items()
    }
    runs_of: dict[str, list[dict[Hashable, Any]]] = {}
    for run in matched.to_dict("records"):
        runs_of.setdefault(str(run["recipe"]), []).append(run)
    for recipe, runs in runs_of.items():
        read: list[Floats] = []
        where: list[str] = []
        between: list[str] = []
        reach = [run for run in runs if run["reached"]]
        for run in reach or runs:
            start, last, checkpoints = along_run[recipe, run["seed"]]
            if not set(checkpoints) <= set(places):
                continue
            along = values[[places[c] for c in checkpoints]].T
            if start_name(start) not in notes and pd.notna(run["start_unsafe"]):
                add(start_name(start), along[:, 0], "before fine-tuning", checkpoints[:1], start)
            place = float(run["place"]) if run["reached"] else float(len(checkpoints) - 1)
            between += checkpoints[int(np.floor(place)) : int(np.ceil(place)) + 1]
            read.append(at_place(along, np.full(len(along), place)))
            where.append(
                f"step {run['step']:.0f}"
                if run["reached"]
                else f"step {last}, {Standing(run['standing']).brief}"
            )
        if read:
            add(recipe, np.mean(read, axis=0), ", ".join(where), between)
    return pd.DataFrame(bars, columns=BARS), notes, behind


def _headline(view: View, recipe: pd.Series, runs: pd.DataFrame) -> str:
    """The finding in counts, over seeds."""
    name = recipe["recipe"]
    goal = f"{recipe['goal']:.0%} accuracy on {view.capability_benchmark(recipe['dataset'])}"
    if not recipe["reached"]:
        furthest = max(records(runs), key=lambda run: float(run["best"]))
        why = Standing(furthest["standing"]).because(name, furthest)
        benchmark = view.capability_benchmark(recipe["dataset"])
        return f"{why} on {benchmark}, so its safety cannot be compared there."
    if pd.isna(recipe["unsafe"]):
        return (
            f"{name} reaches its goal of {goal}, but has no unsafe rate there: every response of a "
            "checkpoint beside it is left out. Choose another treatment of incoherent responses."
        )
    n = int(runs["n"].min())
    low, high = recipe["unsafe_low"], recipe["unsafe_high"]
    span = f"n = {n:,}" if pd.isna(low) else f"95% CI {interval_words(low, high)}, n = {n:,}"
    start = view.study.recipe(name).start
    before = (
        f"its start, {start}, is not measured"
        if pd.isna(recipe["start_unsafe"])
        else f"{hundredths(recipe['start_unsafe'])}% for its start, {start}"
    )
    joined = "; " if pd.isna(recipe["start_unsafe"]) else ", against "
    sentence = (
        f"At {goal}, {name} {view.harm.verb} {hundredths(recipe['unsafe'])}% of harmful requests "
        f"({'corrected by people; ' if view.is_corrected else ''}{span})"
        f"{joined}{before}."
    )
    return f"{sentence} {_seeds(recipe)}" if recipe["seeds"] > 1 else sentence


def _over_refusal(view: View, found: Matching, recipe: str) -> str:
    """How many harmless requests the recipe refuses at its goal, and its start; "" where none were asked."""
    told = []
    for benchmark in harmless_benchmarks(view):
        refused = refused_at_goal(view, found, benchmark, found.runs)
        side = refused.over_seeds[recipe] if refused is not None else None
        if refused is None or side is None or np.isnan(side.rate):
            continue
        low, high = side.interval(refused.recipe_rates) or (np.nan, np.nan)
        run = found.by_recipe()[recipe][0]
        before = f", against {hundredths(refused.start(run).rate)}%" if run.has_start else ""
        told.append(f"{rate_words(side.rate, low, high)} of {benchmark}{before}")
    return f" {recipe} refuses {' and '.join(told)}." if told else ""


def _seeds(recipe: pd.Series) -> str:
    """How many seeds reach the goal, and the lowest and the highest rate of them."""
    reached, seeds = int(recipe["reached"]), int(recipe["seeds"])
    who = "Both seeds reach" if reached == seeds == 2 else f"{reached} of {seeds} seeds reach"
    low, high = hundredths(recipe["unsafe_min"]), hundredths(recipe["unsafe_max"])
    return f"{who} the goal ({low}%)." if reached == 1 else f"{who} the goal (from {low}% to {high}%)."


def chip(found: Conclusion | None, recipe: str = "") -> str:
    """In how many analysis variants the headline's direction holds, of those that Conclusions shows.

    Args:
        recipe: which the headline is about; a claim about others, or about more than it and its start, is
            named.
    """
    if found is None:
        return "nothing to compare it with yet"
    claim = found.claim
    named = recipe and (claim.a.name != recipe or claim.b.kind != "start" or not claim.matched)
    return f"{claim.words}: {_agreement(found)}" if named else _agreement(found)


def _agreement(found: Conclusion) -> str:
    same, total, flips = agreement_with_primary(found)
    if not total:
        n = len(found.counted)
        return f"the primary variant cannot be computed here; {n} other{'s' if n > 1 else ''} can"
    if total == 1:
        return "only one analysis variant is possible yet"
    worth = f" (worth about {found.joint.effective:.0f})" if found.joint else ""
    if same == total:
        return f"same direction in all {total} analysis variants{worth}"
    tail = f"; reverses mostly under {flips.replace('_', ' ')}" if flips else ""
    return f"same direction in {same} of {total} analysis variants{worth}{tail}"


Numbers = dict[str, tuple[str, str]]
"""name -> (value, explanation), as the first screen shows them"""


def _change(recipe: pd.Series, runs: pd.DataFrame) -> Numbers:
    """The change in unsafe rate at the goal, or why there is none."""
    delta, name = float(recipe["delta"]), str(recipe["recipe"])
    if not np.isnan(delta):
        value = pts(delta, "+")
    elif not recipe["reached"]:
        value = {Standing.NOT_REACHED: "not reached"}.get(runs["standing"].iloc[0], "no match")
    else:
        value = "no start" if pd.isna(recipe["start_unsafe"]) else "no rate"
    return {"Change in unsafe rate": (value, f"{name} at its goal against its start")}


def _there(view: View, paths: pd.DataFrame, runs: pd.DataFrame, bars: pd.DataFrame) -> Numbers:
    """Incoherent share and spread of judges of a recipe where its bar was read, over its seeds."""
    recipe = str(runs["recipe"].iloc[0])
    shares = bars[bars["recipe"] == recipe].set_index("outcome")["share"]
    mine = paths[paths["recipe"] == recipe]
    read = runs[runs["reached"]] if runs["reached"].any() else runs
    spreads = []
    for run in records(read):
        path = mine[mine["seed"] == run["seed"]]
        place = float(run["place"]) if run["reached"] else float(len(path) - 1)
        ends = (at_place(path[name].to_numpy(), place) for name in ("judges_high", "judges_low"))
        spreads.append(float(next(ends) - next(ends)))
    incoherent = shares.get("incoherent", np.nan) if mine["incoherent"].notna().any() else np.nan
    return shares_numbers(view, recipe, float(incoherent), float(np.mean(spreads)))


def shares_numbers(view: View, name: str, incoherent: float, spread: float) -> Numbers:
    """The incoherent share of some answers and the spread of the judges that saw them, where known."""
    spec, counts = view.specification, study_counts(view)
    safety = counts[(counts["dimension"] == "safety") & (counts["benchmark"] == spec.benchmark)]
    judges = safety["judge"].nunique()
    known = judges > 1 and not np.isnan(spread)
    return {
        "Incoherent responses": (
            "not checked" if np.isnan(incoherent) else f"{incoherent:.0%}",
            f"share of {name}'s responses to {spec.benchmark}, by {spec.coherence}",
        ),
        "Range across judges": (
            f"{100 * spread:.0f} pts" if known else _FEW_JUDGES[min(judges, 2)],
            "highest minus lowest unsafe rate that any judge gives for the same outputs",
        ),
    }


_FEW_JUDGES = ("no judge yet", "one judge", "not known")


def variants_number(found: Conclusion | None) -> Numbers:
    """How many analysis variants agree with the primary one."""
    same, total, _ = agreement_with_primary(found) if found else (0, 0, "")
    return {
        "Analysis variants that agree": (
            f"{same} of {total}" if total else "—",
            "benchmark × judge × threshold × treatment of incoherent and of truncated responses, by the sign "
            "of the estimate; not a probability",
        )
    }
