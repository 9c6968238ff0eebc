"""Mitigations at the same capability: numbers by a plain loop over the tables of resamples, and the words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from capsafe_core.analysis.matched import between_table, matching
from capsafe_core.analysis.mitigation_order import orders_table, over_refusal_table, pairs_table
from capsafe_core.analysis.mitigation_words import answer, in_words, not_compared, order_sentence
from capsafe_core.analysis.mitigations import HALVED, MITIGATION, STOPPED, families, mitigations_table
from capsafe_core.analysis.number_words import hundredths
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.rates import cell_rates
from capsafe_core.analysis.view import View, open_view
from capsafe_core.errors import CapsafeError
from capsafe_core.report.findings import find, offered
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.study import parse_study
from tests.synthetic import MITIGATED, write_study


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    root = tmp_path_factory.mktemp("mitigated") / "jobs"
    write_study(root, 120, 120, variant="mitigated")
    with Store(None) as made:
        assert ingest_all(made, root)[1] == []
        yield made


@pytest.fixture(scope="module")
def view(store: Store) -> View:
    return open_view(store, Selection())


def at(path: pd.DataFrame, goal: float, value: str) -> float:
    """A value along a path by a straight line where capability first crosses a goal."""
    rows = path.sort_values("step").to_dict("records")
    for before, after in pairwise(rows):
        if before["capability"] < goal <= after["capability"]:
            share = (goal - before["capability"]) / (after["capability"] - before["capability"])
            return float((1 - share) * before[value] + share * after[value])
    return float("nan")


def row_of(table: pd.DataFrame, recipe: str, kind: str = MITIGATION) -> dict[str, float]:
    (row,) = table[(table["recipe"] == recipe) & (table["kind"] == kind)].to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_rates_at_the_goal_and_differences_are_those_of_straight_lines(view: View) -> None:
    paths, table = path_table(view), mitigations_table(view)
    by_hand = {
        recipe: [at(path, 0.5, "unsafe") for _, path in runs.groupby("seed")]
        for recipe, runs in paths.groupby("recipe")
    }
    tuned = row_of(table, "tuned", STOPPED)
    assert tuned["unsafe"] == pytest.approx(np.mean(by_hand["tuned"]))
    for name in ("scaled", "projected"):
        row = row_of(table, name)
        assert row["unsafe"] == pytest.approx(np.mean(by_hand[name]))
        assert row["delta"] == pytest.approx(np.mean(by_hand[name]) - np.mean(by_hand["tuned"]))
        assert row["delta_low"] < row["delta"] < row["delta_high"]
        assert (row["reached"], row["seeds"]) == (2, 2)
        broken = [at(p, 0.5, "incoherent") for _, p in paths[paths["recipe"] == name].groupby("seed")]
        assert row["incoherent"] == pytest.approx(np.mean(broken))
    assert row_of(table, "mixed")["reached"] == 0
    assert np.isnan(row_of(table, "mixed")["delta"])


def test_a_halved_adapter_is_read_against_what_has_its_capability(view: View) -> None:
    paths, table = path_table(view), mitigations_table(view)
    halves = paths[(paths["recipe"] == "scaled") & (paths["step"] == 500)].set_index("seed")
    for name, sign in (("tuned", 1), ("projected", -1)):
        each = [
            half["unsafe"]
            - at(paths[(paths["recipe"] == name) & (paths["seed"] == seed)], half["capability"], "unsafe")
            for seed, half in halves.iterrows()
        ]
        row = row_of(table, "scaled", HALVED) if name == "tuned" else row_of(table, name)
        prefix = "delta" if name == "tuned" else "half"
        value = row["delta" if name == "tuned" else "half_delta"]
        assert value == pytest.approx(sign * np.mean(each))
        assert row[f"{prefix}_low"] <= value <= row[f"{prefix}_high"]
    half = row_of(table, "scaled", HALVED)
    assert half["goal"] == pytest.approx(halves["capability"].mean())
    assert half["reached"] == (halves["capability"] >= 0.5).sum()
    assert np.isnan(row_of(table, "scaled")["half_delta"])


def test_a_selected_recipe_is_read_beside_the_others_too(store: Store, view: View) -> None:
    chosen = open_view(store, Selection(recipes=("projected",)))
    for table in (mitigations_table, pairs_table, orders_table, over_refusal_table):
        pd.testing.assert_frame_equal(table(chosen), table(view))


def test_p_values_are_those_of_the_resamples_and_are_adjusted(view: View) -> None:
    pairs, plain = pairs_table(view), between_table(view)
    names = {"tuned", "scaled", "projected"}
    kept = plain[plain["recipe_1"].isin(names) & plain["recipe_2"].isin(names)]
    assert list(pairs["p"]) == list(kept["p"])
    ordered = np.sort(pairs["p"])
    steps = [min(1.0, p * (len(ordered) - i)) for i, p in enumerate(ordered)]
    assert np.sort(pairs["p_holm"]) == pytest.approx(np.maximum.accumulate(steps))
    for row in plain.to_dict("records"):
        outside = row["delta_low"] > 0 or row["delta_high"] < 0
        assert (row["p"] < 0.05) == outside or 0.04 < row["p"] < 0.06, row


def test_what_it_takes_is_what_the_jobs_recorded(view: View) -> None:
    table = mitigations_table(view)
    tuned, scaled = row_of(table, "tuned", STOPPED), row_of(table, "scaled")
    assert tuned["seconds"] == 60 * 20  # the goal lies between steps 10 and 20
    assert 10 < tuned["steps"] < 20
    assert (scaled["steps"], scaled["memory"]) == (40, 2e9)
    assert scaled["seconds"] == 60 * 40 + 3
    words = in_words(table, over_refusal_table(view))
    assert "40.0 min" in set(words["time"])
    assert words["time"].iloc[-1] == "not recorded"


def test_refusals_of_harmless_requests_are_read_at_the_goal(store: Store, view: View) -> None:
    rates = cell_rates(view)
    refused = rates[(rates["benchmark"] == "harmless") & (rates["dimension"] == "refusal")]
    paths = path_table(view).merge(refused[["checkpoint_id", "rate"]], on="checkpoint_id")
    table = over_refusal_table(view).set_index("recipe")
    mean = {
        name: np.mean([at(p, 0.5, "rate") for _, p in paths[paths["recipe"] == name].groupby("seed")])
        for name in ("tuned", "projected")
    }
    row = table.loc["projected"]
    assert row["refused"] == pytest.approx(mean["projected"])
    assert row["delta"] == pytest.approx(mean["projected"] - mean["tuned"])
    assert "mixed" not in table.index


def test_the_order_is_counted_under_every_variant(view: View) -> None:
    orders = orders_table(view)
    assert len(orders) == 2 * 2 * 4
    paths = path_table(view)
    rates = {
        n: np.mean([at(p, 0.5, "unsafe") for _, p in paths[paths["recipe"] == n].groupby("seed")])
        for n in ("tuned", "scaled", "projected")
    }
    (main,) = orders[orders["primary"]].to_dict("records")
    assert main["order"] == " < ".join(sorted(rates, key=lambda name: rates[name]))
    assert orders["same_order"].sum() == (orders["order"] == main["order"]).sum()
    words = order_sentence(orders, "tuned")
    assert f"the same in {orders['same_order'].sum()} of 16 analysis variants" in words


def test_a_verb_needs_interval_seeds_and_the_primary_specification(store: Store, view: View) -> None:
    table = mitigations_table(view)
    (sentence,) = answer(view, table, over_refusal_table(view))
    assert "projected is safer: " in sentence
    assert "It is also safer than halving the adapter" in sentence
    assert "n = 120) of harmful requests" in sentence
    assert "Over-refusal: +" in sentence
    for change in ({"verdict": "open", "p_holm": 0.2}, {"verdict": "withheld"}, {"p_holm": 0.051}):
        told = table.assign(**change)
        (sentence,) = answer(view, told, over_refusal_table(view))
        assert "is safer" not in sentence
        assert "No mitigation is shown to be safer" in sentence
    other = open_view(store, Selection(judges=("learnt-harm",)))
    (sentence,) = answer(other, table, over_refusal_table(other))
    assert "not under the primary specification" in sentence
    none = open_view(store, Selection(goals=(("sums", 1.0),)))
    (sentence,) = answer(none, mitigations_table(none), over_refusal_table(none))
    assert sentence.startswith("tuned reaches ")
    assert sentence.endswith(
        " at best, below its goal of 100% on sum-test, so no mitigation of it can be compared there."
    )
    low = open_view(store, Selection(goals=(("sums", 0.0),)))
    (sentence,) = answer(low, mitigations_table(low), over_refusal_table(low))
    assert sentence.startswith("tuned begins at ")
    assert not_compared(low, matching(low), mitigations_table(low))[0].startswith("scaled begins at ")


def test_what_is_not_compared_says_why(view: View) -> None:
    found = matching(view)
    (sentence,) = not_compared(view, found, mitigations_table(view, found))
    assert re.match(r"mixed reaches \d+% at best, below its goal of 50% on sum-test, so nothing", sentence)
    gone = dataclasses.replace(found, runs=[run for run in found.runs if run.recipe != "scaled"])
    words = not_compared(view, gone, mitigations_table(view, gone))
    assert "scaled has no checkpoints here yet: run it on the Runs page." in words


def test_it_is_a_finding_of_the_report(view: View) -> None:
    assert offered(view)["mitigations:tuned"] == "What mitigations of tuned buy at its goal"
    found = find(view, "mitigations:tuned")
    assert found.sentence == answer(view, mitigations_table(view), over_refusal_table(view))[0]
    best = row_of(mitigations_table(view), "projected")
    assert found.big[0] == f"{hundredths(best['delta'], '+')} pts"
    assert set(found.table["recipe"]) == set(families(view)[0].names)
    with pytest.raises(CapsafeError, match="gentle is not mitigated"):
        find(view, "mitigations:gentle")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('mitigates = "tuned"', 'mitigates = "nobody"'), "'nobody' is not among the recipes"),
        (('mitigates = "tuned"', 'mitigates = "scaled"'), "'scaled' mitigates another one itself"),
        (
            (
                'of = "tuned"\nmitigation = "safelora"',
                'of = "tuned"\nmitigates = "tuned"\nmitigation = "scale"',
            ),
            "as `of` after its training, or as `mitigates`",
        ),
    ],
)
def test_a_recipe_that_mitigates_what_cannot_be_laid_beside_it_is_refused(
    change: tuple[str, str], problem: str
) -> None:
    assert change[0] in MITIGATED
    with pytest.raises(CapsafeError) as error:
        parse_study(MITIGATED.replace(*change))
    assert problem in str(error.value)
