"""Screens over data that is not a fine-tuning path to a goal: each shows what is there, says what is missing
and where to state it, and says nothing that is not so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from capsafe_core.analysis.arms import arm_rates, claims, find_claim
from capsafe_core.analysis.conclusions import conclusion
from capsafe_core.analysis.disagreement import dumbbell_table
from capsafe_core.analysis.given import as_given, given_table
from capsafe_core.analysis.incoherence import incoherence_table
from capsafe_core.analysis.lacking import lacking
from capsafe_core.analysis.matched import matched_table, matching, recipe_table
from capsafe_core.analysis.matched_words import warnings
from capsafe_core.analysis.number_words import hundredths, share_words
from capsafe_core.analysis.overview import agreement_with_primary, overview
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.rates import cell_rates
from capsafe_core.analysis.runs import Standing, matched_runs
from capsafe_core.analysis.sentences import capability_sentence, incoherence_sentence, judges_sentence
from capsafe_core.analysis.transitions import pairs, transitions
from capsafe_core.analysis.view import View, open_view
from capsafe_core.errors import CapsafeError
from capsafe_core.selection import Selection
from capsafe_core.settings import ROOT, Settings
from capsafe_core.stats.matching import share_gained
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from tests.apps import app_over
from tests.commands import command
from tests.small_studies import KINDS, Small, small_studies, write_small

STATED = ("study file", "Data page", "Runs page", "mport", "hoose", "Capability and safety", "capsafe judge")
"""where what is missing can be stated: one of them stands in every such sentence"""
REACHED = ("two fine-tunes without a measured start", "a path without coherence verdicts")
MATCHED = (*REACHED, "goal below the start", "goal out of reach")
"""kinds with a capability on a path and a goal"""


def opened(root: Path, small: Small) -> View:
    write_small(root, small)
    store = Store(None)
    _, problems = ingest_all(store, root)
    assert problems == []
    return open_view(store, Selection())


@pytest.fixture(scope="module", params=KINDS)
def app(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, AppTest]]:
    home = tmp_path_factory.mktemp("small")
    with app_over(home) as test:
        write_small(home / "jobs", KINDS[request.param])
        yield request.param, test.run()


def shown(app: AppTest, page: str) -> str:
    """The words of a page, as the reader sees them."""
    app.query_params.clear()
    app.switch_page(str(ROOT / "pages" / page)).run()
    assert not app.exception, [e.message for e in app.exception]
    parts = [*app.markdown, *app.text, *app.info, *app.warning, *app.caption]
    return re.sub(r"\\(.)", r"\1", "\n".join([str(p.value) for p in parts]))


@pytest.mark.parametrize("page", ["overview.py", "capability.py", "incoherence.py", "conclusions.py"])
def test_a_page_shows_what_is_there_and_what_is_missing(app: tuple[str, AppTest], page: str) -> None:
    name, test = app
    small, words = KINDS[name], shown(test, page)
    charts = len(test.get("plotly_chart"))
    judged = [c for c in small.checkpoints if small.answers and c[0] not in small.unjudged]
    if page in ("overview.py", "capability.py"):
        is_matched = name in MATCHED
        assert charts or not (judged or small.capability != "none")
        is_at_goal = name in (REACHED if page == "overview.py" else MATCHED)
        assert ("not capability-matched" in words) == (not is_at_goal)
        if not is_matched:
            assert any(place in words for place in STATED)
    if page == "incoherence.py":
        if small.incoherent is None or not small.answers:
            assert "No response has a verdict on coherence yet." in words
            assert any(place in words for place in STATED)
        else:
            assert charts
    if page == "conclusions.py":
        assert bool(charts) == (len(judged) > 1)
        assert ("a claim needs two checkpoints" in words) == (len(judged) < 2)
    assert "nan" not in words.lower().split()


def test_the_chip_counts_what_conclusions_shows(app: tuple[str, AppTest]) -> None:
    first = shown(app[1], "overview.py")
    ways = re.search(r"(\d+) analysis variants, 95% intervals", shown(app[1], "conclusions.py"))
    if ways is None:
        assert "analysis variants" not in first
        return
    total = int(ways.group(1))
    assert f"{total} analysis variants" in first or (total == 1 and "only one analysis variant" in first)


def sentences(view: View) -> dict[str, str]:
    """Every sentence that the screens make of a study."""
    paths = path_table(view)
    found, runs = matching(view, paths), matched_runs(view, paths)
    matched = matched_table(view, found)
    try:
        first = overview(view)
        headline, chip = first.headline, first.chip
    except CapsafeError:
        given_ = as_given(view, runs)
        headline, chip = given_.headline, given_.chip
    listed = claims(view, arm_rates(view, runs))
    return {
        "headline": headline,
        "chip": chip,
        "capability": capability_sentence(recipe_table(view, found), matched, view.harm, found.left_out),
        "missing": " ".join([*lacking(view, found), *warnings(matched)]),
        "judges": judges_sentence(dumbbell_table(view)),
        "incoherence": incoherence_sentence(incoherence_table(view)),
        "conclusion": conclusion(view, listed[0], runs).sentence if listed else "",
    }


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(small=small_studies())
def test_no_sentence_says_what_is_not_so(tmp_path_factory: pytest.TempPathFactory, small: Small) -> None:
    view = opened(tmp_path_factory.mktemp("small") / "jobs", small)
    said = sentences(view)
    everything = " ".join(said.values())
    assert not re.search(r"[-+]0(?![.\d])", everything), everything
    assert "nan" not in everything.lower().split()
    _reaching(view, small, said)
    _coherence(small, said)
    _counts(small, said)
    _claims(view, small, said)
    view.store.close()


def _reaching(view: View, small: Small, said: dict[str, str]) -> None:
    """ "No recipe reaches" is said of recipes that were all looked at and lie below their goal."""
    found = matching(view)
    best = [run.capability.max() for run in found.runs]
    if "No recipe reaches" in said["capability"]:
        assert best
        assert max(best) < (small.goal or 0)
        assert not found.left_out
    for run in found.runs:
        row = matched_table(view, found).set_index("recipe").loc[run.recipe]
        assert row["reached"] == (row["standing"] == Standing.REACHED)
        if run.capability[0] >= run.goal:  # never the start against itself
            assert not row["reached"]
            assert pd.isna(row["delta"])
        if not run.has_start:
            assert pd.isna(row["start_unsafe"])
            assert pd.isna(row["delta"])
    tuned = {recipe for recipe, steps in small.recipes if any(steps)}
    if tuned - {run.recipe for run in found.runs} or not tuned:
        told = lacking(view, found)
        assert told
        assert all(
            any(place in s for place in STATED) for s in told if "left out for such reasons" not in s
        ), told


def _coherence(small: Small, said: dict[str, str]) -> None:
    checked = small.incoherent is not None and small.answers > 0
    assert ("has a verdict on coherence yet" in said["incoherence"]) == (not checked)


def _counts(small: Small, said: dict[str, str]) -> None:
    """A share in per cent is told of a hundred answers or more only, and no bracket stands in another."""
    assert not re.search(r"\([^)]*\(", said["headline"])
    judged = [name for name, *_ in small.checkpoints if name not in small.unjudged]
    if small.answers * len(set(judged)) < 100:
        assert "% of" not in said["judges"]
    if small.answers < 100:
        assert not re.search(r"% of \d", said["headline"])


def _claims(view: View, small: Small, said: dict[str, str]) -> None:
    """Something can be claimed exactly where a judge has seen two checkpoints on one benchmark."""
    rates = cell_rates(view)
    safety = rates[(rates["dimension"] == "safety") & (rates["n"] > 0)]
    seen = safety.groupby(["benchmark", "judge"])["checkpoint_id"].nunique()
    runs = matched_runs(view, path_table(view))
    listed = claims(view, arm_rates(view, runs))
    assert bool(listed) == bool((seen > 1).any())
    if not listed:
        with pytest.raises(CapsafeError, match="a claim needs two checkpoints"):
            find_claim(listed, "")
        assert said["chip"] == "nothing to compare it with yet"
        return
    assert said["chip"] != "nothing to compare it with yet"
    ends = [conclusion(view, claim, runs) for claim in listed[:3]]
    for found in ends:
        low, high = 100 * found.counted["estimate"].min(), 100 * found.counted["estimate"].max()
        differ = low <= -0.5 and high >= 0.5
        chance = found.joint.opposed_p if found.joint else 0.0
        opposed = set(found.counted["direction"]) >= {-1, 1} and chance <= 0.05
        assert ("contradict each other" in found.sentence) == (differ and opposed)
        assert ("Their estimates run from" in found.sentence) == (differ and not opposed)
        assert ("only one analysis variant" in found.sentence) == (len(found.counted) == 1)
        same, total, flips = agreement_with_primary(found)
        assert total in (0, len(found.counted))
        assert bool(flips) <= (same < total)


@settings(max_examples=200)
@given(st.floats(-1, 1), st.integers(1, 500))
def test_numbers_in_words_are_rounded_once_and_have_no_signed_zero(rate: float, n: int) -> None:
    words = hundredths(rate, "+")
    assert "-" not in words
    number = float(words.replace("−", "-"))
    assert number == pytest.approx(100 * rate, abs=0.5)
    assert words == "0" or number != 0
    k = round(abs(rate) * n)
    told = share_words(k / n, n)
    assert told.endswith(f" of {n}")
    assert float(told.split()[0].rstrip("%")) == pytest.approx(100 * k / n if n >= 100 else k, abs=0.5)


@settings(max_examples=100)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_no_share_of_a_goal_is_gained_from_a_start_that_has_it(a: float, start: float, goal: float) -> None:
    assert np.isnan(share_gained(a, start, goal)) == (start >= goal)


def test_the_same_prompts_are_followed_between_models_as_given(tmp_path: Path) -> None:
    view = opened(tmp_path, KINDS["base and tuned without steps"])
    found = matching(view)
    assert list(pairs(view, found)) == ["tuned"]
    runs = matched_runs(view, path_table(view))
    claim = claims(view, arm_rates(view, runs))[0]
    first = conclusion(view, claim, runs).first
    assert re.search(r"\(n = 20\), .*: \d+ of 20 (non-refusals|harmful answers) against \d+ of 20, ", first)
    assert "%" not in first
    moved = transitions(view, found)
    assert moved is not None
    assert (moved.pair.before, moved.pair.there) == ("base", "tuned, as given")
    assert moved.table["n"].sum() == 20
    view.store.close()


def test_recipes_without_a_start_are_compared_with_each_other_only(tmp_path: Path) -> None:
    view = opened(tmp_path, KINDS["two fine-tunes without a measured start"])
    found = matching(view)
    recipes = recipe_table(view, found)
    assert (recipes["reached"] == 1).all()
    assert recipes["unsafe"].notna().all()
    assert recipes[["start_unsafe", "delta", "delta_low", "delta_high"]].isna().all(axis=None)
    assert "its start is not measured" in capability_sentence(recipes, matched_table(view, found), view.harm)
    assert "base, is not measured" in overview(view).headline
    told = claims(view, arm_rates(view, found.runs))
    assert [claim.words for claim in told if claim.matched] == ["code at its goal against math at its goal"]
    assert not any("start" in claim.words for claim in told)
    assert path_table(view)["gained"].isna().all()
    view.store.close()


def test_a_goal_that_somebody_sets_is_not_the_primary_specification(tmp_path: Path) -> None:
    view = opened(tmp_path, KINDS["goal that nobody stated"])
    assert view.goalless_datasets == ["math-data"]
    assert view.completes_primary
    changed = open_view(view.store, Selection(goals=(("math-data", 0.5),)))
    assert not changed.completes_primary
    assert changed.goalless_datasets == []
    assert matched_table(changed)["reached"].all()
    view.store.close()


def test_every_checkpoint_stands_once_as_given(tmp_path: Path) -> None:
    for i, small in enumerate(KINDS.values()):
        view = opened(tmp_path / str(i), small)
        table = given_table(view)
        assert sorted(table["name"]) == sorted({name for name, *_ in small.checkpoints})
        assert not table["checkpoint_id"].duplicated().any()
        judged = {name for name, *_ in small.checkpoints if small.answers and name not in small.unjudged}
        assert set(table.loc[table["unsafe"].notna(), "name"]) == judged
        view.store.close()


@pytest.mark.parametrize("name", ["match", "recipes", "between"])
def test_a_command_whose_table_is_empty_says_what_is_missing(workspace: Settings, name: str) -> None:
    write_small(workspace.jobs_path, KINDS["safety only"])
    done = command(workspace.home, name)
    assert done.stdout.strip() == "nothing"
    assert any(words in done.stderr for words in STATED), done.stderr
