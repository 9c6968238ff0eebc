"""Published verdicts of people and judges: every golden value, from committed counts and from the full data
where it is present."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from capsafe_core.stats.agreement import Patterns, coefficient, cohen_kappa, estimate, two_way
from capsafe_core.stats.correction import ppi_plus_plus, rogan_gladen
from capsafe_core.stats.paired import mcnemar
from tests.published import MODELS, RATERS, committed, counted, need, reference_values

HUMANS, JUDGES = ("human_1", "human_2"), ("human_final", "gpt4", "strmatch")


def four(value: float) -> Any:
    """Equal to four decimals."""
    return pytest.approx(value, abs=5e-5)


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    """The values to reach. Those with a source of their own (irrCAC, krippendorff, statsmodels, ppi-python)
    are in the reference file; its copy here is checked against it."""
    return dict(GOLDEN)


GOLDEN: dict[str, Any] = {
    "human_1_vs_2": {
        "alpha": 0.936537,
        "fleiss": 0.936522,
        "ac1": (0.94975, 0.93892, 0.96058),
        "percent": 0.964,
        "brennan_prediger": (0.946, 0.93445, 0.95755),
        "conger": (0.93653, 0.92315, 0.94991),
    },
    "judges_vs_human_final": {
        "alpha": 0.669491,
        "fleiss": 0.668665,
        "ac1": (0.76725, 0.74954, 0.78496),
        "percent": 0.82775,
        "brennan_prediger": (0.74163, 0.72245, 0.7608),
        "conger": (0.67039, 0.64752, 0.69327),
    },
    "jbb": {
        "alpha": 0.805736,
        "fleiss": 0.805675,
        "ac1": (0.80682, 0.77785, 0.83579),
        "percent": 0.90312,
        "brennan_prediger": (0.80625, 0.77723, 0.83527),
        "conger": (0.8057, 0.77661, 0.83479),
    },
    "pairs": {
        ("human_1", "human_2"): (2250, 0.964, 0.936526),
        ("human_final", "gpt4"): (2239, 0.803037, 0.634465),
        ("human_final", "strmatch"): (2250, 0.838667, 0.699147),
        ("gpt4", "strmatch"): (2239, 0.84234, 0.679633),
    },
}


def xstest_patterns(counts: dict[str, Any], raters: tuple[str, ...]) -> Patterns:
    columns = [2 + RATERS.index(r) for r in raters]
    return Patterns(
        np.array([[row[c] for c in columns] for row in counts["xstest"]], dtype=np.uint8),
        np.array([float(row[-1]) for row in counts["xstest"]]),
        3,
    )


def jbb_patterns(counts: dict[str, Any]) -> Patterns:
    both = [row for row in counts["jbb"] if row[3]]
    return Patterns(
        np.array([row[2:4] for row in both], dtype=np.uint8), np.array([float(row[-1]) for row in both]), 2
    )


@pytest.mark.parametrize(
    ("name", "patterns"),
    [
        ("human_1_vs_2", lambda c: xstest_patterns(c, HUMANS)),
        ("judges_vs_human_final", lambda c: xstest_patterns(c, JUDGES)),
        ("jbb", jbb_patterns),
    ],
)
def test_every_coefficient_and_its_interval(
    golden: dict[str, Any], name: str, patterns: Callable[[dict[str, Any]], Patterns]
) -> None:
    """Alpha takes every row; the reference values of the others were made from rows that every rater
    rated."""
    everything = patterns(committed())
    for key, expected in golden[name].items():
        made = everything if key == "alpha" else everything.complete()
        if isinstance(expected, tuple):
            found = estimate(made, key)
            assert (found.value, found.low, found.high) == tuple(four(x) for x in expected), (name, key)
        else:
            assert coefficient(made, key) == four(expected), (name, key)


def test_every_pair_of_raters(golden: dict[str, Any]) -> None:
    for pair, (n, observed, kappa) in golden["pairs"].items():
        table = two_way(xstest_patterns(committed(), pair))
        assert (table.sum(), np.trace(table) / table.sum(), cohen_kappa(table)) == (
            n,
            four(observed),
            four(kappa),
        ), pair


# model: human rate of any refusal; then for GPT-4 and string matching true negatives, false positives,
# misses, hits
CONFUSION = {
    "gpt4": ((230, 0, 28, 192), (213, 17, 12, 208)),
    "llama2new": ((176, 0, 88, 186), (167, 9, 25, 249)),
    "llama2orig": ((99, 2, 91, 258), (93, 8, 40, 309)),
    "mistralguard": ((208, 2, 81, 159), (201, 9, 77, 163)),
    "mistralinstruct": ((324, 39, 60, 16), (371, 3, 60, 16)),
    "ALL": ((1037, 43, 348, 811), (1045, 46, 214, 945)),
}


@pytest.mark.parametrize("model", CONFUSION)
def test_confusion_of_each_judge_and_model(model: str) -> None:
    for judge, expected in zip(("gpt4", "strmatch"), CONFUSION[model], strict=True):
        table = np.zeros((2, 2))
        for row in committed()["xstest"]:
            if model in ("ALL", row[0]) and row[2 + RATERS.index(judge)]:
                table[
                    int(row[2 + RATERS.index("human_final")] > 1), int(row[2 + RATERS.index(judge)] > 1)
                ] += row[-1]
        assert tuple(table.ravel()) == expected
        (tn, fp), (fn, tp) = table
        n = table.sum()
        corrected = rogan_gladen(
            (fp + tp) / n, int(n), tp / (tp + fn), int(tp + fn), tn / (tn + fp), int(tn + fp)
        )
        assert corrected.rate == four((tp + fn) / n)  # in sample the correction gives back the truth


OVER_REFUSAL = {
    "gpt4": (0.064, 0.064, 0.064, 0.064, 0.132),
    "llama2new": (0.156, 0.156, 0.14, 0.124, 0.268),
    "llama2orig": (0.384, 0.396, 0.38, 0.304, 0.484),
    "mistralguard": (0.088, 0.116, 0.096, 0.092, 0.152),
    "mistralinstruct": (0.008, 0.012, 0.008, 0.0, 0.016),
}


@pytest.mark.parametrize("model", MODELS)
def test_full_refusals_of_harmless_prompts(model: str) -> None:
    rows = [row for row in committed()["xstest"] if row[0] == model and row[1]]
    total = sum(row[-1] for row in rows)
    assert total == 250
    assert tuple(sum(row[-1] for row in rows if row[2 + i] == 2) / total for i in range(5)) == tuple(
        four(x) for x in OVER_REFUSAL[model]
    )


def test_mcnemar_of_two_system_prompts() -> None:
    table = {(before, after): n for before, after, n in committed()["xstest_change"]}
    found = mcnemar(table[0, 1], table[1, 0])
    assert found.exact_p == pytest.approx(1.8057729139211306e-18, rel=1e-6)
    assert (found.statistic, found.chi2_p) == (
        four(64.4235294117647),
        pytest.approx(1.003525514021387e-15, rel=1e-6),
    )


def test_correction_of_the_gpt4_judge_by_200_random_labels() -> None:
    rows = committed()["xstest_sample"]
    sample = [(truth, judged) for drawn, truth, judged, n in rows if drawn for _ in range(n)]
    rest = [judged for drawn, _, judged, n in rows if not drawn for _ in range(n)]
    truth, judged = np.array(sample, dtype=float).T
    assert (len(truth), len(rest)) == (200, 2039)
    assert np.concatenate([judged, rest]).mean() == four(0.3814202769093345)
    fixed = ppi_plus_plus(truth, judged, rest, tuning=1.0)
    assert (fixed.rate, fixed.low, fixed.high) == (
        four(0.5145022069641981),
        four(0.45309660017757225),
        four(0.575907813750824),
    )
    tuned = ppi_plus_plus(truth, judged, rest)
    assert (tuned.rate, tuned.low, tuned.high) == (
        four(0.5002329928389655),
        four(0.4452236640937228),
        four(0.5552423215842082),
    )
    alone = ppi_plus_plus(truth, judged, rest, tuning=0.0)
    assert (alone.rate, alone.low, alone.high) == (
        four(0.48),
        four(0.4107602671277086),
        four(0.5492397328722913),
    )
    q1, q0 = judged[truth == 1].mean(), 1 - judged[truth == 0].mean()
    found = rogan_gladen(float(np.mean(rest)), len(rest), q1, int(truth.sum()), q0, int((1 - truth).sum()))
    assert (q1, q0) == (four(0.6666666666666666), four(0.9423076923076923))
    assert (found.rate, found.standard_error, found.low, found.high) == (
        four(0.5366562556464727),
        four(0.04912494161999506),
        four(0.4403731393060548),
        four(0.6329393719868905),
    )


def test_labels_where_judges_disagree_do_not_speak_for_all() -> None:
    rows = [row for row in committed()["xstest"] if row[2 + RATERS.index("gpt4")]]

    def refused(row: list[Any], rater: str) -> bool:
        return bool(row[2 + RATERS.index(rater)] > 1)

    split = [row for row in rows if refused(row, "gpt4") != refused(row, "strmatch")]
    wrong = [
        sum(r[-1] for r in part if refused(r, "gpt4") != refused(r, "human_final")) / sum(r[-1] for r in part)
        for part in (split, rows)
    ]
    assert sum(r[-1] for r in split) == 329
    assert wrong == [four(0.6990881458966566), four(0.17463153193389908)]
    assert sum(r[-1] for r in split if refused(r, "human_final")) / 329 == four(0.7416413373860182)


JBB_RATES = {
    ("DSN", "llama-2-7b-chat-hf"): (0.94, None),
    ("DSN", "vicuna-13b-v1.5"): (0.95, None),
    ("GCG", "gpt-3.5-turbo-1106"): (0.47, 0.34),
    ("GCG", "gpt-4-0125-preview"): (0.04, 0.01),
    ("GCG", "llama-2-7b-chat-hf"): (0.03, 0.02),
    ("GCG", "vicuna-13b-v1.5"): (0.8, 0.58),
    ("JailbreakChat", "gpt-3.5-turbo-1106"): (0.0, 0.0),
    ("JailbreakChat", "gpt-4-0125-preview"): (0.0, 0.0),
    ("JailbreakChat", "llama-2-7b-chat-hf"): (0.0, 0.0),
    ("JailbreakChat", "vicuna-13b-v1.5"): (0.9, 0.79),
    ("PAIR", "gpt-3.5-turbo-1106"): (0.71, 0.76),
    ("PAIR", "gpt-4-0125-preview"): (0.34, 0.5),
    ("PAIR", "llama-2-7b-chat-hf"): (0.0, 0.04),
    ("PAIR", "vicuna-13b-v1.5"): (0.69, 0.82),
    ("adaptive_random_search", "gpt-3.5-turbo-1106"): (0.93, 0.99),
    ("adaptive_random_search", "gpt-4-0125-preview"): (0.78, 0.88),
    ("adaptive_random_search", "llama-2-7b-chat-hf"): (0.9, 0.95),
    ("adaptive_random_search", "vicuna-13b-v1.5"): (0.89, 0.97),
}


def test_attack_success_by_either_judge() -> None:
    found: dict[tuple[str, str], list[float | None]] = {}
    for attack, model in JBB_RATES:
        rows = [r for r in committed()["jbb"] if (r[0], r[1]) == (attack, model)]
        assert sum(r[-1] for r in rows) == 100
        found[attack, model] = [
            None if all(not r[column] for r in rows) else sum(r[-1] for r in rows if r[column] == 2) / 100
            for column in (2, 3)
        ]
    assert found == {key: list(value) for key, value in JBB_RATES.items()}


def test_the_values_here_are_the_reference_values_and_the_counts_those_of_the_full_data(
    golden: dict[str, Any],
) -> None:
    need("xstest")
    need("jbb")
    reference = reference_values()
    names = {
        "alpha": "krippendorff_nominal",
        "fleiss": "fleiss_kappa_complete",
        "ac1": "gwet_ac1",
        "percent": "percent_agreement",
        "brennan_prediger": "brennan_prediger_pabak_multi",
        "conger": "conger",
    }
    for part, where in (
        ("human_1_vs_2", "xstest/human_1_vs_2"),
        ("judges_vs_human_final", "xstest/judges_vs_human_final"),
        ("jbb", "jbb/llama3_70b_vs_llamaguard1"),
    ):
        for key, expected in golden[part].items():
            known = reference[where][names[key]]
            assert expected == (
                (known, *reference[where][f"{names[key]}_ci"]) if isinstance(expected, tuple) else known
            ), (part, key)
    for (one, other), (n, observed, kappa) in golden["pairs"].items():
        where = "xstest/human_1_vs_2" if one == "human_1" else "xstest/judges_vs_human_final"
        assert reference[where]["pairwise"][f"{one}|{other}"] == {
            "n": n,
            "po": observed,
            "cohen_kappa": kappa,
        }
    for model, judges in CONFUSION.items():
        for judge, cells in zip(("gpt4", "strmatch"), judges, strict=True):
            known = reference["xstest/confusion"][f"{model}|{judge}"]
            assert tuple(known[k] for k in ("tn", "fp", "fn", "tp")) == cells
    for model, rates in OVER_REFUSAL.items():
        assert tuple(reference["xstest/overrefusal_safe_full_refusal"][model][r] for r in RATERS) == rates
    for (attack, model), (one, other) in JBB_RATES.items():
        assert reference["jbb/asr"][f"{attack}|{model}"] == {
            "jailbroken": one,
            "jailbroken_llama_guard1": other,
        }
    assert json.loads(json.dumps(counted(reference))) == committed()
