"""Every agreement coefficient and paired test against another library, over thousands of random tables with
missing and degenerate ones."""

from __future__ import annotations

import warnings
from itertools import combinations

import krippendorff
import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import permutation_test
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.contingency_tables import cochrans_q
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from capsafe_core.stats.agreement import (
    Patterns,
    agreement_weights,
    coefficient,
    cohen_kappas,
    count_patterns,
    estimate,
    table_coefficients,
    two_way,
)
from capsafe_core.stats.intervals import newcombe
from capsafe_core.stats.paired import benjamini_hochberg, cochran_q, holm, mcnemar, paired_permutation

Codes = npt.NDArray[np.uint8]


def random_codes(chance: np.random.Generator) -> tuple[Codes, int]:
    """(raters, items) codes; from no missing to mostly missing, from even to one category only."""
    raters, items, categories = (
        int(chance.integers(2, 6)),
        int(chance.integers(1, 40)),
        int(chance.integers(2, 5)),
    )
    shares = chance.dirichlet(np.full(categories, chance.choice([0.05, 0.3, 2.0])))
    truth = chance.choice(categories, items, p=shares)
    codes = (
        np.where(
            chance.random((raters, items)) < chance.random(),
            truth,
            chance.choice(categories, (raters, items), p=shares),
        )
        + 1
    )
    codes[chance.random((raters, items)) < chance.choice([0.0, 0.0, 0.2, 0.7])] = 0
    return codes.astype(np.uint8), categories


def test_patterns_count_every_item_once() -> None:
    chance = np.random.default_rng(0)
    for _ in range(300):
        codes, categories = random_codes(chance)
        found = count_patterns(codes, categories)
        rows, counts = np.unique(codes.T, axis=0, return_counts=True)
        assert found.codes.tolist() == rows.tolist()
        assert found.n.tolist() == counts.tolist()
    many = chance.integers(0, 4, size=(20, 50)).astype(
        np.uint8
    )  # too many raters to number every possible pattern
    assert count_patterns(many, 3).n.sum() == 50
    with pytest.raises(ValueError, match="lie between 0"):
        Patterns(np.array([[3]], dtype=np.uint8), np.ones(1), 2)


def test_cohens_kappa_is_sklearns() -> None:
    chance = np.random.default_rng(1)
    defined = undefined = 0
    for _ in range(2000):
        codes, categories = random_codes(chance)
        both = codes[:2, (codes[:2] > 0).all(axis=0)]
        patterns = count_patterns(codes[:2], categories)
        for mine, theirs in (("nominal", None), ("linear", "linear"), ("quadratic", "quadratic")):
            found = coefficient(patterns, "cohen", mine)
            if both.shape[1] == 0 or (both == both[0, 0]).all():
                assert found is None
                undefined += 1
                continue
            expected = cohen_kappa_score(*both, weights=theirs, labels=list(range(1, categories + 1)))
            assert found == pytest.approx(expected, abs=1e-9)
            defined += 1
    assert defined > 3000
    assert undefined > 100


def test_fleiss_kappa_is_statsmodels() -> None:
    chance = np.random.default_rng(2)
    compared = 0
    for _ in range(1500):
        codes, categories = random_codes(chance)
        whole = codes[:, (codes > 0).all(axis=0)]
        found = coefficient(count_patterns(codes, categories), "fleiss")
        if whole.shape[1] == 0 or (whole == whole[0, 0]).all():
            assert found is None
            continue
        table, _ = aggregate_raters(whole.T)
        assert found == pytest.approx(fleiss_kappa(table), abs=1e-9)
        compared += 1
    assert compared > 700


@pytest.mark.parametrize(
    ("mine", "theirs"), [("nominal", "nominal"), ("ordinal", "ordinal"), ("quadratic", "interval")]
)
def test_alpha_is_krippendorffs(mine: str, theirs: str) -> None:
    chance = np.random.default_rng(3)
    compared = undefined = 0
    for _ in range(1200):
        codes, categories = random_codes(chance)
        paired = codes[:, (codes > 0).sum(axis=0) > 1]
        values = paired[paired > 0]
        found = coefficient(count_patterns(codes, categories), "alpha", mine)
        if len(np.unique(values)) < 2:
            assert found is None
            undefined += 1
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = krippendorff.alpha(
                np.where(codes == 0, np.nan, codes),
                level_of_measurement=theirs,
                value_domain=list(range(1, categories + 1)),
            )
        assert found == pytest.approx(expected, abs=1e-9)
        compared += 1
    assert compared > 700
    assert undefined > 20


def by_hand(codes: Codes, categories: int, name: str, weights: str) -> float | None:
    """The coefficient from its definition, item by item and pair by pair."""
    w = agreement_weights(categories, weights)
    agreements, shares = [], []
    for item in codes.T:
        given = [int(c) - 1 for c in item if c]
        if given:
            shares.append(np.bincount(given, minlength=categories) / len(given))
        if len(given) > 1:
            agreements.append(np.mean([w[a, b] for a, b in combinations(given, 2)]))
    if not agreements:
        return None
    observed, share = float(np.mean(agreements)), np.mean(shares, axis=0)
    if name == "percent":
        return observed
    expected = (
        w.sum() / categories**2
        if name == "brennan_prediger"
        else w.sum() / (categories * (categories - 1)) * (share * (1 - share)).sum()
    )
    return None if np.isclose(expected, 1) else (observed - expected) / (1 - expected)


def test_ac1_and_brennan_prediger_are_their_definitions() -> None:
    chance = np.random.default_rng(4)
    for _ in range(800):
        codes, categories = random_codes(chance)
        patterns = count_patterns(codes, categories)
        for name in ("percent", "ac1", "brennan_prediger"):
            for weights in ("nominal", "ordinal", "quadratic"):
                expected, found = (
                    by_hand(codes, categories, name, weights),
                    coefficient(patterns, name, weights),
                )
                assert found == (None if expected is None else pytest.approx(expected, abs=1e-9)), (
                    name,
                    weights,
                )


def test_congers_kappa_of_two_raters_is_cohens() -> None:
    chance = np.random.default_rng(5)
    for _ in range(500):
        codes, categories = random_codes(chance)
        whole = codes[:2, (codes[:2] > 0).all(axis=0)]
        if whole.shape[1]:
            patterns = count_patterns(whole, categories)
            expected = coefficient(patterns, "cohen")
            assert coefficient(patterns, "conger") == (
                None if expected is None else pytest.approx(expected, abs=1e-9)
            )


def test_the_interval_of_a_coefficient_is_that_of_a_bootstrap() -> None:
    chance = np.random.default_rng(6)
    truth = chance.integers(1, 3, 600)
    codes = np.where(chance.random((3, 600)) < 0.8, truth, 3 - truth).astype(np.uint8)
    for name in ("alpha", "ac1", "fleiss"):
        found = estimate(count_patterns(codes, 2), name)
        draws = [
            coefficient(count_patterns(codes[:, chance.integers(0, 600, 600)], 2), name) for _ in range(600)
        ]
        assert found.standard_error == pytest.approx(np.std(np.array(draws, dtype=float)), rel=0.12)


def test_rare_events_among_many_items_still_have_a_kappa() -> None:
    for table, kappa in (
        ([[999_995, 1], [2, 2]], 0.5714),
        ([[999_990, 0], [0, 3]], 1.0),
        ([[199_998, 0], [0, 1]], 1.0),
    ):
        assert cohen_kappas(np.array(table, dtype=float)) == pytest.approx(kappa, abs=1e-4)
        assert table_coefficients(np.array(table, dtype=float), "kappa") == pytest.approx(kappa, abs=1e-4)
        codes = np.array([[1, 1], [1, 2], [2, 1], [2, 2]], dtype=np.uint8)
        patterns = Patterns(codes, np.array(table, dtype=float).ravel(), 2)
        for name in ("cohen", "fleiss", "alpha"):
            assert coefficient(patterns, name) == pytest.approx(kappa, abs=1e-3), name


def test_what_is_not_defined_is_none_and_mistakes_are_refused() -> None:
    one_label = count_patterns(np.ones((2, 9), dtype=np.uint8), 2)
    assert [coefficient(one_label, name) for name in ("cohen", "fleiss", "conger", "alpha")] == [None] * 4
    assert coefficient(one_label, "ac1") == 1.0
    assert estimate(one_label, "cohen").low is None
    assert coefficient(count_patterns(np.zeros((2, 5), dtype=np.uint8), 2), "percent") is None
    assert np.isnan(cohen_kappas(np.array([[[5.0, 0], [0, 0]], [[0, 0], [0, 0]]]))).all()
    with pytest.raises(ValueError, match="no coefficient"):
        coefficient(one_label, "guess")
    with pytest.raises(ValueError, match="two raters"):
        coefficient(count_patterns(np.ones((3, 2), dtype=np.uint8), 2), "cohen")
    with pytest.raises(ValueError, match="no weights"):
        agreement_weights(3, "cubic")


def test_coefficients_of_many_tables_are_those_of_patterns() -> None:
    chance = np.random.default_rng(9)
    for _ in range(400):
        codes, categories = random_codes(chance)
        whole = codes[:2, (codes[:2] > 0).all(axis=0)]
        if not whole.shape[1]:
            continue
        patterns = count_patterns(whole, categories)
        table = two_way(patterns)
        for one, other in (
            ("observed", "percent"),
            ("kappa", "cohen"),
            ("ac1", "ac1"),
            ("pabak", "brennan_prediger"),
            ("alpha", "alpha"),
        ):
            expected, found = (
                coefficient(patterns, other),
                table_coefficients(np.stack([table, table]), one)[1],
            )
            assert (None if np.isnan(found) else found) == (
                None if expected is None else pytest.approx(expected, abs=1e-9)
            ), one
    with pytest.raises(ValueError, match="no coefficient"):
        table_coefficients(np.ones((2, 2)), "guess")


def test_mcnemar_cochran_and_newcombe_are_statsmodels() -> None:
    chance = np.random.default_rng(7)
    for _ in range(400):
        gained, lost = (int(x) for x in chance.integers(0, 60, 2))
        found, table = mcnemar(gained, lost), [[5, gained], [lost, 9]]
        assert found.exact_p == pytest.approx(
            statsmodels_mcnemar(table, exact=True).pvalue if gained + lost else 1.0, abs=1e-12
        )
        if (
            gained + lost and gained != lost
        ):  # where they are equal statsmodels takes the correction below zero
            assert (found.statistic, found.chi2_p) == pytest.approx(
                (lambda r: (r.statistic, r.pvalue))(statsmodels_mcnemar(table, exact=False))
            )
        events = (chance.random((30, 4)) < chance.random()).astype(int)
        q = cochran_q(events)
        if q is not None:
            assert q == pytest.approx((lambda r: (r.statistic, r.pvalue))(cochrans_q(events)))
        n1, n2 = (int(x) for x in chance.integers(1, 80, 2))
        k1, k2 = int(chance.integers(0, n1 + 1)), int(chance.integers(0, n2 + 1))
        assert newcombe(k1, n1, k2, n2) == pytest.approx(
            confint_proportions_2indep(k1, n1, k2, n2, compare="diff", method="newcomb"), abs=1e-9
        )
    assert cochran_q([[1, 1], [0, 0]]) is None
    assert newcombe(0, 0, 1, 2) is None
    low, high = newcombe(0, 50, 0, 50) or (0, 0)
    assert low < 0 < high
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)


def test_permutation_and_adjusted_p_values() -> None:
    chance = np.random.default_rng(8)
    difference = chance.normal(0.4, 1, 12)
    expected = permutation_test(
        (difference, np.zeros(12)),
        lambda a, b: np.mean(a - b),
        permutation_type="samples",
        n_resamples=np.inf,
    ).pvalue
    assert paired_permutation(difference, 20000) == pytest.approx(expected, abs=0.012)
    assert paired_permutation(np.zeros(4)) == 1.0
    for _ in range(40):
        p = chance.random(int(chance.integers(1, 20)))
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
        assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1])
    assert len(benjamini_hochberg([])) == 0
