"""The tables by name: what a screen shows, a command prints, and the running app answers over its socket."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from capsafe_core.analysis.annotators import annotators_table, conflicts_table, repeats_table
from capsafe_core.analysis.arms import arm_rates, claims, find_claim
from capsafe_core.analysis.conclusions import conclusion
from capsafe_core.analysis.conditions import conditions_table
from capsafe_core.analysis.corrected import corrected_table
from capsafe_core.analysis.coverage import coverage_table
from capsafe_core.analysis.disagreement import dumbbell_table, judges_along_table, votes_table
from capsafe_core.analysis.discrimination import discrimination_table
from capsafe_core.analysis.goals import goals_table, pareto_table
from capsafe_core.analysis.incoherence import bounds_table, incoherence_table
from capsafe_core.analysis.judge_agreement import agreement_by_cell, agreement_table, all_judges_table
from capsafe_core.analysis.lacking import lacking
from capsafe_core.analysis.margins import margins_table
from capsafe_core.analysis.matched import between_table, matched_table, matching, recipe_table
from capsafe_core.analysis.mitigation_order import orders_table, over_refusal_table, pairs_table
from capsafe_core.analysis.mitigations import mitigations_table
from capsafe_core.analysis.narrowed import chosen_variants, read_choices
from capsafe_core.analysis.ordered_agreement import checkpoints_table, ordered_table
from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.people import correction_table
from capsafe_core.analysis.profile import profile_table
from capsafe_core.analysis.rates import every_rate
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.analysis.sources import buys_table, sources_table
from capsafe_core.analysis.stress import stress_table
from capsafe_core.analysis.view import View, open_view
from capsafe_core.analysis.worst_of_k import worst_table
from capsafe_core.errors import UnknownNameError
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from capsafe_core.store.labels import people_work


def conclusions(view: View) -> pd.DataFrame:
    """A claim under every specification, or under those that the selection chooses: its specification curve.

    The most contested claim where none is named.
    """
    runs = matched_runs(view, path_table(view))
    claim = find_claim(claims(view, arm_rates(view, runs)), view.selection.claim)
    found = conclusion(view, claim, runs)
    return chosen_variants(view, found, read_choices(view.selection.variants)).conclusion.curve


def claims_table(view: View) -> pd.DataFrame:
    """Everything that can be claimed, the most contested first.

    Returns:
        claim (for --claim), words, matched, lowest, highest (difference over analysis variants), ways.
    """
    rates = arm_rates(view, matched_runs(view, path_table(view)))
    rows = []
    for claim in claims(view, rates):
        change = rates.change(claim)
        change = change[~np.isnan(change)]
        if len(change):
            rows.append(
                (claim.key, claim.words, claim.matched, float(change.min()), float(change.max()), len(change))
            )
    return pd.DataFrame(rows, columns=["claim", "words", "matched", "lowest", "highest", "ways"])


def outputs(view: View) -> pd.DataFrame:
    """The outputs that a selection leaves, at most 1,000."""
    return outputs_table(view, limit=1000)[0]


def correct_refusal(view: View) -> pd.DataFrame:
    """Each refusal judge against people, and its rate corrected by their labels."""
    return correction_table(view, "refusal")


def correct_coherence(view: View) -> pd.DataFrame:
    """Each incoherence detector against people, and its rate corrected by their labels."""
    return correction_table(view, "coherence")


def people(view: View) -> pd.DataFrame:
    """What each annotator did."""
    return people_work(view.store)


def conditions(view: View) -> pd.DataFrame:
    """Every condition that the study's answers were given under."""
    return conditions_table(view.every_cell)


def lacks(view: View) -> pd.DataFrame:
    """What a comparison at a capability goal lacks, and where each of it is stated: a sentence a row."""
    return pd.DataFrame({"lacking": pd.Series(lacking(view, matching(view)), dtype=object)})


AT_A_GOAL = (
    "match",
    "recipes",
    "between",
    "corrected",
    "discrimination",
    "margins",
    "profile",
    "goals",
    "pareto",
)
"""tables that are empty where nothing can be compared at a goal"""
TABLES: dict[str, Callable[[View], pd.DataFrame]] = {
    "rates": every_rate,
    "conditions": conditions,
    "paths": path_table,
    "match": matched_table,
    "recipes": recipe_table,
    "between": between_table,
    "corrected": corrected_table,
    "discrimination": discrimination_table,
    "mitigations": mitigations_table,
    "mitigations-pairs": pairs_table,
    "mitigations-orders": orders_table,
    "mitigations-over-refusal": over_refusal_table,
    "lacking": lacks,
    "margins": margins_table,
    "profile": profile_table,
    "worst-of-k": worst_table,
    "goals": goals_table,
    "pareto": pareto_table,
    "incoherence": incoherence_table,
    "bounds": bounds_table,
    "agreement": agreement_table,
    "agreement-overall": all_judges_table,
    "agreement-by-cell": agreement_by_cell,
    "agreement-ordered": ordered_table,
    "agreement-by-checkpoint": checkpoints_table,
    "judges": dumbbell_table,
    "judges-along": judges_along_table,
    "votes": votes_table,
    "stressed": stress_table,
    "claims": claims_table,
    "conclusions": conclusions,
    "sources": sources_table,
    "buys": buys_table,
    "correct": correction_table,
    "correct-refusal": correct_refusal,
    "correct-coherence": correct_coherence,
    "annotators": annotators_table,
    "repeats": repeats_table,
    "conflicts": conflicts_table,
    "people": people,
    "outputs": outputs,
    "coverage": coverage_table,
}


def table(store: Store, name: str, selection: Selection) -> pd.DataFrame:
    """One of TABLES under a selection.

    Raises:
        CapsafeError: there is no such table, or the store has no study.
    """
    if name not in TABLES:
        raise UnknownNameError("table", name, TABLES)
    return TABLES[name](open_view(store, selection))
