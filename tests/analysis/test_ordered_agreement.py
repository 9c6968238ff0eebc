"""Weighted kappas, ordinal and interval alpha and agreement at each checkpoint, against other libraries; and
what they count."""

from __future__ import annotations

from pathlib import Path

import krippendorff
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from capsafe_core.analysis import by_name
from capsafe_core.jobs.folder import Manifest, Part, create_job, list_jobs
from capsafe_core.records import Generation, Judgment, Rater, Record
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from tests.small_studies import Small, write_small

LABELS = (None, "none", "partial", "full")
REFUSALS = [Rater(f"refusal-{i}", "judge", f"family {i}", ("refusal",), "1", "unknown") for i in "abc"]


def written(root: Path, codes: np.ndarray) -> Store:  # type: ignore[type-arg]
    """A study in which refusal judges say some labels: codes (judges, outputs of all checkpoints), 0 for no
    verdict."""
    write_small(root, Small(models=("base", "tuned"), answers=codes.shape[1] // 2, judges=2))
    answers = [r for job in list_jobs(root) for r in job.records() if isinstance(r, Generation)]
    records: list[Record] = list(REFUSALS[: len(codes)])
    for rater, row in zip(REFUSALS, codes, strict=False):
        for g, code in zip(answers, row, strict=True):
            status = "ok" if code else "unparsed"
            records.append(Judgment(g.id, g.cell_id, rater.id, "refusal", status, LABELS[code]))
    with Part(create_job(root, Manifest("import", "refusals", {}, study="small"))) as part:
        part.write("all", records)
    store = Store(None)
    _, problems = ingest_all(store, root)
    assert problems == []
    return store


def alpha(codes: np.ndarray, metric: str) -> float:  # type: ignore[type-arg]
    data = np.where(codes == 0, np.nan, codes.astype(float))
    return float(krippendorff.alpha(data, level_of_measurement=metric, value_domain=[1.0, 2.0, 3.0]))


def test_labels_in_order_agree_as_other_libraries_say(tmp_path: Path) -> None:
    codes = np.random.default_rng(4).choice(4, size=(3, 80), p=[0.1, 0.4, 0.2, 0.3])
    codes[1] = np.where(np.random.default_rng(5).random(80) < 0.6, codes[0], codes[1])
    store = written(tmp_path, codes)
    table = by_name.table(store, "agreement-ordered", Selection())
    pairs = table[table["dimension"] == "refusal"].set_index(["judge_1", "judge_2"])
    assert len(pairs) == 3
    for i, j in ((0, 1), (0, 2), (1, 2)):
        row = pairs.loc[f"refusal-{'abc'[i]}", f"refusal-{'abc'[j]}"]
        both = (codes[i] > 0) & (codes[j] > 0)
        assert row["n"] == both.sum()
        for name, weights in (("kappa", None), ("kappa_linear", "linear"), ("kappa_quadratic", "quadratic")):
            expected = cohen_kappa_score(codes[i][both], codes[j][both], weights=weights, labels=[1, 2, 3])
            assert row[name] == pytest.approx(expected, abs=1e-6)
        for name, metric in (
            ("alpha", "nominal"),
            ("alpha_ordinal", "ordinal"),
            ("alpha_interval", "interval"),
        ):
            assert row[name] == pytest.approx(alpha(codes[[i, j]], metric), abs=1e-6)
    each = by_name.table(store, "agreement-by-checkpoint", Selection())
    for place, name in enumerate(("base", "tuned")):
        mine = codes[:, place * 40 : (place + 1) * 40]
        [row] = each[(each["checkpoint"] == name) & (each["dimension"] == "refusal")].to_dict("records")
        given_ = (mine > 0).sum(axis=0)
        assert (row["judges"], row["n"], row["complete"]) == (3, (given_ > 1).sum(), (given_ == 3).sum())
        for column, metric in (
            ("alpha", "nominal"),
            ("alpha_ordinal", "ordinal"),
            ("alpha_interval", "interval"),
        ):
            assert row[column] == pytest.approx(alpha(mine, metric), abs=1e-6)
    safety = each[each["dimension"] == "safety"]
    assert len(safety) == 2
    assert safety["alpha"].tolist() == pytest.approx(safety["alpha_ordinal"].tolist())
    store.close()


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(judges=st.integers(2, 3), answers=st.integers(2, 12), seed=st.integers(0, 99))
def test_agreement_and_agreement_of_all_count_the_same_outputs(
    tmp_path_factory: pytest.TempPathFactory, judges: int, answers: int, seed: int
) -> None:
    """With two judges the same; with more, the outputs of all are in every pair's, and those in n."""
    root = tmp_path_factory.mktemp("counted")
    small = Small(models=("base", "tuned"), answers=answers, judges=1, seed=seed)
    write_small(root, small)
    chance = np.random.default_rng(seed)
    found = [r for job in list_jobs(root) for r in job.records() if isinstance(r, Generation)]
    raters = [
        Rater(f"further-{i}", "judge", f"f {i}", ("safety",), "1", "unknown") for i in range(judges - 1)
    ]
    records: list[Record] = list(raters)
    for rater in raters:
        for g in found:
            label = chance.choice(["safe", "unsafe", ""], p=[0.4, 0.3, 0.3])
            status = "ok" if label else "unparsed"
            records.append(Judgment(g.id, g.cell_id, rater.id, "safety", status, str(label) or None))
    with Part(create_job(root, Manifest("import", "further", {}, study="small"))) as part:
        part.write("all", records)
    with Store(None) as store:
        assert ingest_all(store, root)[1] == []
        pairs = by_name.table(store, "agreement", Selection())
        overall = by_name.table(store, "agreement-overall", Selection()).set_index("stratum")
        for stratum, rows in pairs.groupby("stratum"):
            n, complete = overall.loc[stratum, ["n", "complete"]]
            if judges == 2:
                assert [n, complete] == [rows["n"].iloc[0]] * 2
            assert complete <= rows["n"].min()
            assert rows["n"].max() <= n <= rows["n"].sum()
            assert pd.isna(overall.at[stratum, "percent"]) == (n == 0)
