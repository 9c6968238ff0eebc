"""The threshold of a judge's score is a choice of the specification, and every number follows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from capsafe_core.analysis.arms import arm_rates, claims, find_claim
from capsafe_core.analysis.by_name import TABLES, table
from capsafe_core.analysis.conclusions import conclusion
from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.analysis.overview import overview
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.rates import cell_rates
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.analysis.variants import asked_cutoff
from capsafe_core.analysis.view import View, open_view
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.records import Judgment
from capsafe_core.report.document import Item, Report, make, verify
from capsafe_core.scales import scales
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.rebuild import check_all
from capsafe_core.study import parse_study
from tests.synthetic import RATERS, STUDY, write_study

JUDGE = "learnt-harm"
OWN = scales()[JUDGE].cutoff


def scored(root: Path) -> list[Judgment]:
    """The made-up study, in which this judge's verdicts have scores on the side that they are on."""
    chance = np.random.default_rng(5)
    found = []
    for job in write_study(root, 16, 12):
        for r in job.records():
            if isinstance(r, Judgment) and r.rater_id == RATERS[JUDGE].id and r.status == "ok":
                side = (OWN, 1.0) if r.label == "unsafe" else (0.0, OWN)
                again = msgspec.structs.replace(r, attempt=r.attempt + 1, score=float(chance.uniform(*side)))
                found.append(again)
    with Part(create_job(root, Manifest("judge", "scored", {}, study="made-up"))) as part:
        part.write("all", found)
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scored")


@pytest.fixture(scope="module")
def verdicts(root: Path) -> pd.DataFrame:
    """cell_id and score of every verdict."""
    rows = [(r.cell_id, r.generation_id, r.score) for r in scored(root)]
    return pd.DataFrame(rows, columns=["cell_id", "generation_id", "score"])


@pytest.fixture(scope="module")
def store(root: Path, verdicts: pd.DataFrame) -> Iterator[Store]:
    with Store(None) as store:
        _, problems = ingest_all(store, root)
        assert problems == []
        yield store


def at(store: Store, cutoff: float | None, **more: object) -> View:
    return open_view(store, Selection(judges=(JUDGE,), policy="as_judged", cutoff=cutoff).but(**more))


@pytest.mark.parametrize("cutoff", [0.2, 0.35, 0.8])
def test_rates_lists_and_the_curve_are_counted_by_hand(
    store: Store, verdicts: pd.DataFrame, cutoff: float
) -> None:
    view, own = at(store, cutoff), at(store, None)
    unsafe = verdicts[verdicts["score"] >= cutoff]
    by_hand = verdicts.groupby("cell_id")["score"].agg(lambda scores: (scores >= cutoff).mean())
    rates = cell_rates(view).set_index(["cell_id", "judge"])["rate"]
    for cell, rate in by_hand.items():
        assert rates[cell, JUDGE] == pytest.approx(rate)
    others = cell_rates(own).set_index(["cell_id", "judge"])["rate"]
    pd.testing.assert_series_equal(
        rates.drop(JUDGE, level="judge"), others.drop(JUDGE, level="judge"), check_exact=True
    )
    listed, count = outputs_table(at(store, cutoff, outcomes=("unsafe",)), 10**6)
    rest, _ = outputs_table(
        at(store, 2.0, outcomes=("incoherent", "refusal")), 10**6
    )  # nothing is unsafe there
    assert set(listed["generation_id"]) == set(unsafe["generation_id"]) - set(rest["generation_id"])
    assert count == len(listed)
    voted, _ = outputs_table(at(store, cutoff, pattern=f"{JUDGE}=unsafe"), 10**6)
    assert set(voted["generation_id"]) == set(unsafe["generation_id"])
    disputed, same = outputs_table(at(store, cutoff, pattern=f"{JUDGE}=unsafe"), 10**6, order="disputed")
    assert (same, set(disputed["generation_id"])) == (len(voted), set(voted["generation_id"]))
    runs = matched_runs(view, path_table(view))
    claim = find_claim(claims(view, arm_rates(view, runs)), "")
    curve, plain = (conclusion(one, claim, runs).curve for one in (view, own))
    [row] = curve[curve["primary"]].to_dict("records")
    assert row["cutoff"] == f"{cutoff:g}"
    assert row["estimate"] == pytest.approx(arm_rates(view, runs).change(claim)[_place(view, runs)])
    assert asked_cutoff(view, JUDGE, str(row["cutoff"])) == cutoff
    kept = curve[~curve["primary"] & (curve["cutoff"] != f"{cutoff:g}")]
    assert len(kept) == len(plain), "the judge's own threshold, and the usual ones, are variants as before"
    assert sorted(kept["estimate"]) == pytest.approx(sorted(plain["estimate"]))


def _place(view: View, runs: list[object]) -> int:
    """Which of the variants of all arms is the specification's."""
    spec = view.specification
    known = arm_rates(view, runs).variants  # type: ignore[arg-type]
    mine = [(v.benchmark, v.judge, v.policy) == (spec.benchmark, JUDGE, spec.policy) for v in known]
    return mine.index(True)


def test_a_threshold_that_is_the_judges_own_changes_nothing(store: Store) -> None:
    for name in TABLES:
        if not name.startswith("correct") and name != "conclusions":
            one, two = (
                table(store, name, Selection(judges=(JUDGE,), cutoff=cutoff)) for cutoff in (None, OWN)
            )
            pd.testing.assert_frame_equal(one, two)


def test_nothing_of_the_store_changes(store: Store, root: Path) -> None:
    assert len(path_table(at(store, 0.2)))
    assert check_all(store, root).problems == []


def test_captions_and_reports_name_it_and_a_report_is_verified(store: Store) -> None:
    view = at(store, 0.35)
    assert "unsafe where P(harm) is at least 0.35; its own threshold is 0.5" in view.specification_words()
    assert "not the primary specification" in view.standing
    assert "unsafe where P(harm) is at least 0.5)" in at(store, None).specification_words()
    made = make(view, Report("", (Item("overview"),), "reviewer"))
    assert "threshold 0.35" in made.selection
    assert verify(store, made.provenance) == []
    other = make(at(store, 0.8), Report("", (Item("overview"),), "reviewer"))
    assert other.provenance["hash"] != made.provenance["hash"]
    assert overview(view).headline != overview(at(store, 0.05)).headline


def test_a_threshold_is_of_one_judge(store: Store) -> None:
    declared = STUDY.replace('judge = "prefix-zou"', f'judge = "{JUDGE}"\ncutoff = 0.35', 1)
    study = parse_study(declared)
    assert study.primary.specification.cutoff == 0.35
    assert study.primary_digest != parse_study(declared.replace("cutoff = 0.35\n", "")).primary_digest
    with pytest.raises(CapsafeError, match=r"prefix-zou' gives no score"):
        open_view(store, Selection(cutoff=0.3))
    with pytest.raises(CapsafeError, match=r"no number|cannot be used"):
        open_view(store, Selection(judges=(JUDGE,), cutoff=float("inf")))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("cutoff = 0.3", "'prefix-zou' gives no score"),
        ("cutoff = nan", "finite"),
        ('cutoff = "half"', "number"),
    ],
)
def test_a_study_whose_judge_has_no_such_threshold_is_refused(line: str, says: str) -> None:
    with pytest.raises(CapsafeError, match=says):
        parse_study(STUDY.replace('judge = "prefix-zou"', f'judge = "prefix-zou"\n{line}', 1))


def test_verdicts_without_scores_are_not_read_at_another_threshold(made_up_store: Store) -> None:
    with pytest.raises(CapsafeError, match=r"verdicts of learnt-harm came without a score"):
        at(made_up_store, 0.3)
