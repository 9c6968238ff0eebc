"""Claims under every analysis variant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from capsafe_core.analysis import by_name
from capsafe_core.analysis.arms import Arm, Claim, arm_rates, claims, find_claim
from capsafe_core.analysis.conclusions import conclusion, policies_table, rank_table
from capsafe_core.analysis.judge_agreement import (
    agreement_intervals,
)
from capsafe_core.analysis.matched import (
    matched_table,
    matching,
    recipe_table,
)
from capsafe_core.analysis.overview import overview
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.people import correction_table
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.analysis.transitions import transitions
from capsafe_core.analysis.variants import OWN
from capsafe_core.analysis.view import View, open_view
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.selection import Selection
from capsafe_core.specification import POLICIES, Policy
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from tests.published import committed, jbb_rows, rows_from_counts, write_jbb
from tests.synthetic import STUDY, checkpoint, with_study, write_study


@pytest.fixture(scope="module", params=["counts", "full data"])
def jbb(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    rows = rows_from_counts(committed()["jbb"]) if request.param == "counts" else jbb_rows()
    root = tmp_path_factory.mktemp("jbb")
    write_jbb(root, rows)
    with Store(None) as store:
        _, problems = ingest_all(store, root)
        assert problems == []
        yield store


def test_the_reversal_in_jailbreakbench_is_the_first_claim(jbb: Store) -> None:
    """GCG succeeds more often than PAIR on Vicuna-13B by one judge (80 % against 69 %), less often by the
    other (58 % against 82 %)."""
    view = open_view(jbb, Selection())
    rates = by_name.table(jbb, "rates", Selection())
    vicuna = rates[
        rates["checkpoint_id"]
        == view.points[view.points["start"] == "vicuna-13b-v1.5"]["checkpoint_id"].iloc[0]
    ]
    assert len(rates) == 34  # 18 attacks on models, two of them without the second judge
    assert (
        dict(zip(zip(vicuna["attack"], vicuna["judge"], strict=True), vicuna["rate"].round(2), strict=True))[
            "PAIR", "llama-guard-1"
        ]
        == 0.82
    )
    runs = matched_runs(view, path_table(view))
    found = arm_rates(view, runs)
    claim = find_claim(claims(view, found), "")
    assert {claim.a, claim.b} == {
        Arm("attack", "vicuna-13b-v1.5", "GCG"),
        Arm("attack", "vicuna-13b-v1.5", "PAIR"),
    }
    result = conclusion(view, claim, runs)
    by_judge = result.curve.set_index("judge")
    assert (by_judge.at["llama-3-70b", "a"], by_judge.at["llama-3-70b", "b"]) == (
        pytest.approx(0.80),
        pytest.approx(0.69),
    )
    assert (by_judge.at["llama-guard-1", "a"], by_judge.at["llama-guard-1", "b"]) == (
        pytest.approx(0.58),
        pytest.approx(0.82),
    )
    assert result.curve["estimate"].min() < 0 < result.curve["estimate"].max()
    assert by_judge.at["llama-guard-1", "direction"] == -1
    assert "not at one capability" in result.sentence
    # by one judge the interval may just reach zero, by how requests are numbered
    opposed = by_judge.at["llama-3-70b", "direction"] != 0
    lead = "They contradict each other, from" if opposed else "Their estimates run from"
    assert (
        f"{lead} −24 pts (llama-guard-1 on jbb-behaviors: 58% against 82%) to "
        "+11 pts (llama-3-70b on jbb-behaviors: 80% against 69%)" in result.sentence
    )
    assert "declaration time" in result.sentence or "declared" in result.sentence
    assert [(f.choice, f.flips, f.pairs) for f in result.flipping] == [("llama-guard-1", 1, 1)]
    assert result.curve["p"].notna().all()
    ways, tau = rank_table(found)
    assert [way.words for way in ways] == ["jbb-behaviors, llama-3-70b", "jbb-behaviors, llama-guard-1"]
    assert 0.5 < tau[0, 1] < 1


def test_pages_of_a_study_without_recipes_answer_in_words(jbb: Store) -> None:
    view = open_view(jbb, Selection())
    assert matched_table(view).empty
    with pytest.raises(CapsafeError, match="No recipe can be compared at a goal"):
        overview(view)
    with pytest.raises(CapsafeError, match="No output of this selection"):
        correction_table(view)
    kappa = agreement_intervals(view, "kappa").set_index("stratum").loc["all"]
    assert (kappa["n"], kappa["value"]) == (1600, pytest.approx(0.805697, abs=1e-6))
    assert kappa["low"] < kappa["value"] < kappa["high"]


def test_curves_agree_with_point_estimates_and_with_the_matched_table(view: View) -> None:
    paths = path_table(view)
    runs = matched_runs(view, paths)
    rates = arm_rates(view, runs)
    found = matching(view, paths)
    recipes = recipe_table(view, found).set_index("recipe")
    for recipe in ("gentle", "harsh"):
        claim = Claim(Arm("recipe", recipe), Arm("start", "aligned"))
        curve = conclusion(view, claim, runs).curve
        main = curve[curve["primary"]].iloc[0]
        assert (main["estimate"], main["low"], main["high"]) == pytest.approx(
            (recipes.at[recipe, "delta"], recipes.at[recipe, "delta_low"], recipes.at[recipe, "delta_high"])
        )
        change = dict(zip(rates.variants, rates.change(claim), strict=True))
        plain = curve[
            (curve["truncated"] == "kept")
            & (curve["cutoff"] == OWN)
            & (curve["policy"] != Policy.COHERENT_IN_BOTH)
        ]
        assert len(plain) == len(change)
        for row in plain.itertuples():
            way = next(
                w
                for w in change
                if (w.benchmark, w.judge, w.policy) == (row.benchmark, row.judge, row.policy)
            )
            assert row.estimate == pytest.approx(change[way], abs=1e-9)
        assert (curve["low"].dropna() <= curve["estimate"][curve["low"].notna()] + 1e-9).all()
    policies = policies_table(view, found)
    assert set(policies["policy"]) == {*POLICIES, Policy.COHERENT_IN_BOTH}
    wide = policies[policies["truncated"] == "kept"].pivot(index="recipe", columns="policy", values="a")
    assert (wide["counted_safe"] <= wide["as_judged"] + 1e-9).all()
    assert (wide["as_judged"] <= wide["counted_unsafe"] + 1e-9).all()


def test_coherent_in_both_counts_prompts_that_both_sides_answer_coherently(
    view: View, made_up_jobs: Path
) -> None:
    from tests.analysis.test_analysis import facts

    generations, judgments, _ = facts(made_up_jobs)
    last, start = checkpoint("harsh", 0, 40).id, checkpoint("harsh", 0, 0).id

    def outputs(point: str) -> dict[str, Any]:
        bench = next(
            p for p in view.cells.itertuples() if p.checkpoint_id == point and p.benchmark == "requests"
        ).benchmark_id
        return {
            g.prompt_id: g
            for g in generations.values()
            if g.checkpoint_id == point and g.benchmark_id == bench
        }

    one, two = outputs(last), outputs(start)
    kept = [
        p
        for p in one
        if all(
            judgments[side[p].id, "coherence-rules", "coherence"].label == "coherent" for side in (one, two)
        )
    ]
    curve = conclusion(
        view, Claim(Arm("last", "harsh"), Arm("start", "aligned")), matched_runs(view, path_table(view))
    ).curve
    row = curve[
        (curve["benchmark"] == "requests")
        & (curve["judge"] == "prefix-zou")
        & (curve["policy"] == Policy.COHERENT_IN_BOTH)
        & (curve["truncated"] == "kept")
    ].iloc[0]
    assert row["n"] == len(kept)
    assert row["a"] == pytest.approx(
        np.mean([judgments[one[p].id, "prefix-zou", "safety"].label == "unsafe" for p in kept])
    )


def test_claims_can_be_named_and_unknown_ones_are_refused(view: View) -> None:
    listed = claims(view, arm_rates(view, matched_runs(view, path_table(view))))
    assert [c.matched for c in listed] == sorted((c.matched for c in listed), reverse=True)
    assert find_claim(listed, "recipe:harsh|start:aligned").a == Arm("recipe", "harsh")
    assert find_claim(listed, "start:aligned|recipe:harsh").a == Arm("recipe", "harsh")
    with pytest.raises(CapsafeError, match="cannot be tested"):
        find_claim(listed, "recipe:nobody|start:aligned")
    with pytest.raises(CapsafeError, match="Nothing can be compared yet"):
        find_claim([], "")


def test_what_was_retracted_is_on_no_table_and_breaks_none(tmp_path: Path) -> None:
    from capsafe_core.store.batches import set_retracted

    jobs = write_study(tmp_path, safety_size=10, capability_size=10)
    with Store(None) as store:
        ingest_all(store, tmp_path)
        set_retracted(store, jobs[-1].job_id, True)
        for name in (n for n in by_name.TABLES if not n.startswith("correct")):
            by_name.table(store, name, Selection())
        overview(open_view(store, Selection()))


def test_only_outputs_to_the_same_prompts_are_paired(tmp_path: Path) -> None:
    """The start lacks one prompt and the last checkpoint another; both have as many outputs."""
    from capsafe_core.records import Generation, Record
    from tests.synthetic import benchmark

    write_study(tmp_path, safety_size=12, capability_size=10)
    _, prompts = benchmark("requests", "safety", 12)
    lacking = {(checkpoint("harsh", 0, 0).id, prompts[3].id), (checkpoint("harsh", 0, 40).id, prompts[7].id)}
    from capsafe_core.jobs.folder import list_jobs

    other = tmp_path / "other"
    for i, job in enumerate(list_jobs(tmp_path)):
        records: list[Record] = list(job.records())
        gone = {
            r.id for r in records if isinstance(r, Generation) and (r.checkpoint_id, r.prompt_id) in lacking
        }
        with Part(create_job(other, Manifest(job.manifest.kind, f"{job.manifest.name}-{i}", {}))) as part:
            part.write(
                "all",
                [r for r in records if r.id not in gone and getattr(r, "generation_id", None) not in gone],
            )
    with Store(None) as store:
        ingest_all(store, other)
        view = open_view(store, Selection())
        moved = transitions(view, matching(view), "harsh")
        assert moved is not None
        curve = conclusion(
            view, Claim(Arm("last", "harsh"), Arm("start", "aligned")), matched_runs(view, path_table(view))
        ).curve
        judged = curve[
            (curve["benchmark"] == "requests")
            & (curve["policy"] == Policy.COHERENT_IN_BOTH)
            & (curve["truncated"] == "kept")
        ]
        assert (judged["n"] <= 10).all()
        rows = store.rows(
            """
            SELECT p.item, list(DISTINCT c.checkpoint_id) FROM generations
        JOIN prompts AS p USING (prompt_id) JOIN cells AS c USING (cell_id)
            WHERE p.item LIKE 'requests-%' AND CAST(c.checkpoint_id AS VARCHAR) IN (?, ?)
        GROUP BY p.item HAVING count(*) = 2
            """,
            [moved.pair.start, *moved.pair.goals],
        )
        assert moved.table["n"].sum() == len(rows)


def test_a_treatment_that_leaves_nothing_at_one_checkpoint_drops_no_recipe(tmp_path: Path) -> None:
    """Every answer of the last checkpoint is incoherent; the goal is crossed long before."""
    from capsafe_core.jobs.folder import list_jobs
    from capsafe_core.records import Judgment

    write_study(tmp_path, safety_size=12, capability_size=40)
    last = checkpoint("harsh", 0, 40).id
    other = tmp_path / "other"
    for i, job in enumerate(list_jobs(tmp_path)):
        records = list(job.records())
        mine = {r.id for r in records if getattr(r, "checkpoint_id", "") == last}
        changed = [
            replace(r, label="incoherent")
            if isinstance(r, Judgment) and r.dimension == "coherence" and r.generation_id in mine
            else r
            for r in records
        ]
        with Part(create_job(other, Manifest(job.manifest.kind, f"{job.manifest.name}-{i}", {}))) as part:
            part.write("all", changed)
    with Store(None) as store:
        ingest_all(store, other)
        table = matched_table(open_view(store, Selection(policy="excluded"))).set_index("recipe")
        assert table.at["harsh", "reached"]
        assert table.at["harsh", "unsafe"] > 0


def test_degenerate_studies_answer_in_words(tmp_path: Path) -> None:
    """No capability benchmark; one judge; every output incoherent; one checkpoint."""
    write_study(tmp_path, safety_size=6, capability_size=4)
    without = STUDY.replace('benchmark = "sum-test"\n[[recipes]]', "[[recipes]]")
    with_study(tmp_path, without.replace("[goals]\nsums = 0.5\n", ""))
    with Store(None) as store:
        ingest_all(store, tmp_path)
        view = open_view(store, Selection())
        assert view.matched_recipes == []
        with pytest.raises(CapsafeError, match="No recipe can be compared at a goal"):
            overview(view)
        for name in (n for n in by_name.TABLES if not n.startswith(("correct", "conclusions"))):
            by_name.table(store, name, Selection())
        listed = claims(view, arm_rates(view, matched_runs(view, path_table(view))))
        assert all(not claim.matched for claim in listed)


def test_tables_are_json(made_up_store: Store) -> None:
    for name in (n for n in by_name.TABLES if not n.startswith("correct")):
        json.loads(by_name.table(made_up_store, name, Selection()).to_json(orient="records"))
