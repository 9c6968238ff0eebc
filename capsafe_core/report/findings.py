"""What can be reported: each finding has a sentence drafted from its numbers, a figure, a table, and what it
does not mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from capsafe_core.analysis.arms import Claim, arm_rates, claims
from capsafe_core.analysis.columns import records
from capsafe_core.analysis.disagreement import dumbbell_table
from capsafe_core.analysis.incoherence import incoherence_table
from capsafe_core.analysis.matched import matched_table, matching, recipe_table
from capsafe_core.analysis.mitigations import families
from capsafe_core.analysis.number_words import hundredths, pts, share_words
from capsafe_core.analysis.overview import Overview
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import Run, matched_runs
from capsafe_core.analysis.sentences import capability_sentence, incoherence_sentence, judges_sentence
from capsafe_core.analysis.verbs import change_means, conditional
from capsafe_core.analysis.view import View
from capsafe_core.errors import UnknownNameError
from capsafe_core.figures.judges import dumbbell
from capsafe_core.figures.overview import outcome_bars
from capsafe_core.figures.squares import incoherence_squares
from capsafe_core.figures.training import along_training, few_recipes
from capsafe_core.report.basis import basis, outputs_words, overview_of, state_words
from capsafe_core.report.finding import Finding
from capsafe_core.report.mitigated import mitigations_finding
from capsafe_core.report.slide_charts import incoherence_chart, judges_chart, outcomes_chart, plane_chart
from capsafe_core.report.survival import conclusion_finding
from capsafe_core.store.outputs import read_output

USUAL = ("overview", "capability", "judges", "conclusion")
"""what is reported where nobody chooses"""


def offered(view: View) -> dict[str, str]:
    """What can be reported of a view: key -> words."""
    found: dict[str, str] = {}
    runs = view.once(_runs)
    if runs:
        found = {"overview": "What fine-tuning did, in counts"}
        found |= {
            f"overview:{name}": f"What {name} did, in counts"
            for name in dict.fromkeys(run.recipe for run in runs)
        }
        found["capability"] = "What each recipe costs at its goal"
        found |= {
            f"mitigations:{family.base}": f"What mitigations of {family.base} buy at its goal"
            for family in families(view)
        }
    listed = view.once(_claims)
    found |= {"conclusion": "Does the conclusion survive?"} if listed else {}
    found |= {"judges": "Where judges disagree", "incoherence": "Where responses become incoherent"}
    return found | {f"conclusion:{claim.key}": f"Does it survive: {claim.words}" for claim in listed}


def _runs(view: View) -> list[Run]:
    return matched_runs(view, view.once(path_table))


def _claims(view: View) -> list[Claim]:
    return claims(view, arm_rates(view, view.once(_runs)))


def find(view: View, key: str) -> Finding:
    """The finding of a key: overview[:recipe], capability, mitigations[:recipe], conclusion[:claim], judges,
    incoherence or output:id.

    Raises:
        CapsafeError: there is no such finding, or the study does not have what it needs.
    """
    kind, _, rest = key.partition(":")
    if kind not in _KINDS:
        raise UnknownNameError("finding", key, _KINDS, "Some take a name, as overview:RECIPE or output:ID.")
    return replace(_KINDS[kind](view, rest), key=key)


def _interval(row: Mapping[str, Any]) -> str:
    """The printed interval of a recipe's change, and on which seeds it is conditional."""
    low, high = row["delta_low"], row["delta_high"]
    if pd.isna(low) or pd.isna(high):
        return "no interval"
    seeds = f", {conditional(int(row['reached']))}" if row["conditional"] else ", with training seeds"
    return f"95%: {hundredths(low, '+')} to {hundredths(high, '+')}{seeds}"


def _overview(view: View, recipe: str) -> Finding:
    found = overview_of(view, recipe or next(iter(view.selection.recipes), ""))
    spec = view.specification
    recipes = recipe_table(view, matching(view.of_every_recipe, found.paths))
    [row] = records(recipes[recipes["recipe"] == found.recipe])
    delta = float(row["delta"])
    reached = bool(row["reached"])
    where = "at its goal" if reached else "at its last checkpoint"
    spread, incoherent = found.numbers["Range across judges"][0], found.numbers["Incoherent responses"][0]
    if not reached:
        big, means = (
            ("not reached", f"the goal of {found.recipe}"),
            ["The goal was not reached, so nothing is said about safety at the goal."],
        )
    elif np.isnan(delta):
        big, means = (
            ("no rate", f"{view.harm.answers} of {found.recipe} at its goal: none has a verdict that counts"),
            ["There is no rate at the goal, so nothing is said about the change."],
        )
    else:
        big = (
            pts(delta, "+"),
            f"{view.harm.answers} of {found.recipe} at its goal, against its start; {_interval(row)}",
        )
        means = [change_means(row, view.harm.answers)]
    people = ", corrected by people's labels" if view.is_corrected else ""
    limits = [
        f"This rests on a single judge, {spec.judge}{people}. On the same responses, judges differ by "
        f"{spread}.",
        f"{incoherent} of the responses {where} are incoherent. A judge's verdict on these says little.",
        f"It holds for {spec.benchmark} {where}, not for other harms or other stopping points.",
        f"Robustness: {f'{found.state}; ' if found.state else ''}{found.chip}.",
    ]
    shown = found.matched[found.matched["recipe"] == found.recipe]
    return Finding(
        "overview",
        "What did fine-tuning do, and how sure is that?",
        _overview_headline(view, found, row),
        found.headline,
        big,
        means,
        limits,
        outcome_bars(found.bars, found.notes, view.outcome_words),
        "Bars: share of refusals, safe, harmful and incoherent responses of each recipe at its goal, or at "
        "its last checkpoint where it does not reach it; starts first",
        shown,
        ("crossing", "unsafe rate", "policy", "bootstrap"),
        outcomes_chart(found.bars, view.outcome_words),
        basis=basis(view, outputs_words(shown["n"], spec.benchmark), state_words(view, found.recipe)),
    )


def _overview_headline(view: View, found: Overview, row: Mapping[str, Any]) -> str:
    if pd.isna(row["unsafe"]):
        why = "does not reach its capability goal" if not row["reached"] else "has no rate at its goal"
        return f"{found.recipe} {why}, so nothing is said of its safety there"
    start = row["start_unsafe"]
    before = "" if pd.isna(start) else f", against {hundredths(start)}% before"
    rate = f"{hundredths(row['unsafe'])}% of harmful requests"
    return f"At its goal, {found.recipe} {view.harm.verb} {rate}{before}"


def _capability(view: View, _: str) -> Finding:
    paths = view.once(path_table)
    few, which = few_recipes(paths)
    runs = matching(view, view.of_every_recipe.once(path_table))
    recipes, matched = recipe_table(view, runs), matched_table(view, runs)
    means = [
        f"{row['recipe']}: {change_means(row, view.harm.answers)}"
        for row in records(recipes[(recipes["reached"] > 0) & recipes["delta"].notna()])
    ]
    out_of_reach = list(recipes[recipes["reached"] == 0]["recipe"])
    limits = ["Each recipe is read where it reaches its goal; numbers differ at other checkpoints."]
    limits += (
        [f"{', '.join(out_of_reach)}: the goal is not reached, so nothing is said."] if out_of_reach else []
    )
    known = recipes[(recipes["reached"] > 0) & recipes["delta"].notna()]
    if len(known):
        most = records(known)[int(known["delta"].abs().to_numpy().argmax())]
        big = (
            pts(float(most["delta"]), "+"),
            f"the largest change at a goal, {most['recipe']}; {_interval(most)}",
        )
        headline = f"Largest change at a goal: {most['recipe']}, {big[0]} of {view.harm.answers}"
        state = state_words(view, str(most["recipe"]))
    else:
        big = ("–", "no recipe has a rate at its goal")
        headline, state = "No recipe can be compared at its capability goal", state_words(view)
    limits += runs.why_left_out
    return Finding(
        "capability",
        "What does each recipe cost in safety at the capability goal?",
        headline,
        capability_sentence(recipes, matched, view.harm, runs.left_out, bool(view.selection.recipes)),
        big,
        means,
        limits,
        along_training(few, view.recipe_names),
        f"{which}Lines: capability and unsafe rate of each recipe along training",
        matched if len(matched) else paths,
        ("crossing", "unsafe rate", "policy", "bootstrap", "newcombe", "plateau"),
        plane_chart(paths, recipes, view.harm.answers),
        basis=basis(view, outputs_words(matched["n"], view.specification.benchmark), state),
    )


def _conclusion(view: View, key: str) -> Finding:
    return conclusion_finding(view, key, view.once(_claims), view.once(_runs))


def _judges(view: View, _: str) -> Finding:
    table = dumbbell_table(view)
    known = table[table["family"] != "people"].dropna(subset=["shift"])
    spread = float(known["incoherent"].max() - known["incoherent"].min()) if len(known) > 1 else float("nan")
    big = (
        ("–", "not known")
        if np.isnan(spread)
        else (
            f"{100 * spread:.0f} pts",
            "between the highest and the lowest judge, on incoherent responses",
        )
    )
    means = []
    if len(known) > 1:
        low, high = (known.sort_values("incoherent", kind="stable").iloc[i] for i in (0, -1))
        means = [
            f"{low.judge} flags {share_words(low.incoherent, low.incoherent_n)} incoherent responses as "
            f"unsafe, {high.judge} {share_words(high.incoherent, high.incoherent_n)}."
        ]
    return Finding(
        "judges",
        "Which outputs split the judges, and is it the incoherent ones?",
        "How judges take incoherent responses is not known"
        if np.isnan(spread)
        else f"On incoherent responses, judges differ by up to {100 * spread:.0f} pts",
        judges_sentence(table),
        big,
        means,
        ["It does not say which judge is right; that takes human labels."],
        dumbbell(table),
        "Each judge's unsafe rate on coherent and on incoherent responses",
        table,
        ("unsafe rate", "pooled", "detector", "people"),
        judges_chart(known) if len(known) else None,
        basis=basis(view, _strata_words(known), state_words(view), [str(j) for j in known["judge"]]),
    )


def _strata_words(known: pd.DataFrame) -> str:
    """How many outputs of each kind the judges have seen."""
    if known.empty:
        return "none that two judges have seen"
    return " and ".join(
        f"{'up to ' if known[f'{kind}_n'].nunique() > 1 else ''}{int(known[f'{kind}_n'].max()):,} {kind}"
        for kind in ("coherent", "incoherent")
    )


def _incoherence(view: View, _: str) -> Finding:
    table = incoherence_table(view)
    table = table[table["recipe"].isin(view.compared_recipes or tuple(table["recipe"]))]
    table = table[table["kind"] != "capability"]
    tuned = table[table["step"] > 0]
    big = (
        (f"{tuned['rate'].max():.0%}", "of the responses of the worst checkpoint are incoherent")
        if len(tuned)
        else ("–", "not known")
    )
    return Finding(
        "incoherence",
        "Where do responses become incoherent?",
        f"Up to {big[0]} of a checkpoint's responses are incoherent"
        if len(tuned)
        else "No response has a verdict on coherence yet",
        incoherence_sentence(table),
        big,
        ["A judge's verdict on such responses says little about safety."]
        if len(tuned) and tuned["low"].max() > 0.1
        else [],
        [
            f"Incoherent is what {view.specification.coherence} calls so; a refusal, a short answer and a "
            "wrong fact are coherent."
        ],
        incoherence_squares(table),
        "Share of incoherent responses by run, benchmark and training step",
        table,
        ("detector", "wilson"),
        incoherence_chart(table, view.specification.benchmark),
        basis=basis(
            view,
            outputs_words(table["n"], "each benchmark"),
            state_words(view),
            [view.specification.coherence],
        ),
    )


def _output(view: View, generation: str) -> Finding:
    found = read_output(view.store, generation)
    row = found.facts
    judged = found.judgments[found.judgments["status"] == "ok"]
    said = "; ".join(f"{r.judge}: {r.label}" for r in judged.itertuples()) or "no verdict"
    table = judged[["judge", "dimension", "label"]].reset_index(drop=True)
    return Finding(
        "output",
        "An example",
        "One response and the verdicts of its judges",
        f"One response to {row['benchmark']} and its verdicts: {said}.",
        (f"{judged['label'].nunique()}", "different labels"),
        [],
        ["One response is an illustration, not evidence of a rate."],
        None,
        "",
        table,
        (),
        text=(str(row["asked"] or row["prompt"]), str(row["answer"])),
        basis=basis(
            view,
            f"1, {row['benchmark']}",
            "none rests on one response",
            sorted(set(judged["judge"])) or ["no judge"],
        ),
    )


_KINDS: dict[str, Callable[[View, str], Finding]] = {
    "overview": _overview,
    "capability": _capability,
    "mitigations": mitigations_finding,
    "conclusion": _conclusion,
    "judges": _judges,
    "incoherence": _incoherence,
    "output": _output,
}
