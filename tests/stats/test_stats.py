import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.proportion import proportion_confint

from capsafe_core.stats.agreement import TABLE_COEFFICIENTS, table_coefficients
from capsafe_core.stats.bootstrap import cluster_weights, percentile_intervals, resampled_rates
from capsafe_core.stats.correction import (
    Labelled,
    anytime,
    labels_needed,
    outside_claim,
    ppi_plus_plus,
    rogan_gladen,
    weighted_confusion,
    weighted_ppi,
    weighted_rogan_gladen,
)
from capsafe_core.stats.design import collapsed
from capsafe_core.stats.distributions import t_quantile
from capsafe_core.stats.intervals import missing_bounds, wilson
from capsafe_core.stats.paired import mcnemar, paired_change
from capsafe_core.stats.resampled import Resampled, difference
from capsafe_core.stats.seeds import SeedSpread, own_noise, seed_spread, with_seeds
from capsafe_core.stats.specification import (
    contested,
    directions,
    family_shares,
    flips,
    joint_test,
    rank_agreement,
)


@given(
    st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_wilson_is_statsmodels_wilson(kn: tuple[int, int], level: float) -> None:
    k, n = kn
    low, high = wilson(k, n, level)
    expected = proportion_confint(k, n, 1 - level, method="wilson")
    assert (float(low), float(high)) == pytest.approx(expected, abs=1e-12)


def test_wilson_without_trials_is_not_a_number_and_bad_counts_are_refused() -> None:
    assert all(math.isnan(v) for v in wilson(0, 0))
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson(3, 2)


def test_missing_verdicts_bound_the_rate() -> None:
    assert missing_bounds(3, 8, 2) == (0.3, 0.5)
    assert missing_bounds(0, 0, 0) is None


def of_table(table: object) -> dict[str, float]:
    return {
        name: float(table_coefficients(np.asarray(table, dtype=float), name)) for name in TABLE_COEFFICIENTS
    }


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60))
def test_kappa_is_sklearns_and_undefined_is_no_number(pairs: list[tuple[int, int]]) -> None:
    a, b = zip(*pairs, strict=True)
    table = np.zeros((2, 2))
    np.add.at(table, (a, b), 1)
    found = of_table(table)
    assert found["observed"] == pytest.approx(np.mean(np.array(a) == np.array(b)))
    if len(set(a) | set(b)) == 1:
        assert math.isnan(found["kappa"])
    else:
        assert found["kappa"] == pytest.approx(cohen_kappa_score(a, b))


def test_specific_agreement_prevalence_bias_and_degenerate_tables() -> None:
    found = of_table([[50, 4], [6, 20]])
    assert found["positive"] == pytest.approx(2 * 20 / (2 * 20 + 4 + 6))
    assert found["negative"] == pytest.approx(2 * 50 / (2 * 50 + 4 + 6))
    assert (found["prevalence"], found["bias"]) == (
        pytest.approx((20 - 50) / 80),
        pytest.approx((24 - 26) / 80),
    )
    assert found["pabak"] == pytest.approx(2 * 70 / 80 - 1)
    assert math.isnan(of_table(np.zeros((2, 2)))["observed"])
    assert math.isnan(of_table([[5, 0], [0, 0]])["positive"])


def test_the_spread_of_seeds_is_the_recipes_own_or_that_of_all_recipes() -> None:
    five, two, pair = [0.1, 0.2, 0.3, 0.2, 0.1], [0.2, 0.3], [0.5, 0.1]
    assert seed_spread(five, [five, two]) == SeedSpread(pytest.approx(np.var(five, ddof=1)), 4, False)
    pooled = seed_spread(two, [five, two, pair, [0.9]])
    assert pooled == SeedSpread(
        pytest.approx((4 * np.var(five, ddof=1) + np.var(two, ddof=1) + np.var(pair, ddof=1)) / 6), 6, True
    )
    assert seed_spread(two, [two, pair]) is None  # two degrees of freedom say too little
    assert seed_spread([0.2], [five, two, pair]) is None


def test_seeds_widen_an_interval_and_prompts_are_not_counted_twice() -> None:
    spread = SeedSpread(0.01, 4, False)
    low, high = with_seeds(0.2, 0.1, 0.35, 0.004, [(5, 0.0, spread)])
    seeds = t_quantile(0.975, 4) ** 2 * 0.01 / 5
    assert (low, high) == pytest.approx((0.2 - np.sqrt(0.01 + seeds), 0.2 + np.sqrt(0.0225 + seeds)))
    low, high = with_seeds(0.2, 0.1, 0.35, 0.004, [(5, 0.01, spread)])
    twice = t_quantile(0.975, 1e9) ** 2 * 0.01 / 5  # what the seeds' spread holds of chance in prompts
    assert (low, high) == pytest.approx(
        (0.2 - np.sqrt(0.01 - twice + seeds), 0.2 + np.sqrt(0.0225 - twice + seeds))
    )
    draws = np.array([[0.2, 0.4], [0.4, 0.2], [0.3, 0.3], [0.5, 0.1]])
    assert own_noise(draws) == pytest.approx(2 * draws[:, 0].var())  # the mean is the same in every resample
    assert own_noise(draws[:, :1]) == 0


@given(
    st.integers(5, 60).flatmap(
        lambda n: st.tuples(*[st.lists(st.integers(0, 1), min_size=n, max_size=n) for _ in range(2)])
    )
)
def test_no_interval_of_few_events_is_narrower_than_wilsons(outputs: tuple[list[int], list[int]]) -> None:
    one, two = (np.array(side, dtype=float) for side in outputs)
    n = len(one)
    draws = resampled_rates(cluster_weights(n, 300, 1), np.stack([one, two]), np.ones((2, n)))
    a, b = (Resampled(float(side.mean()), draws[:, i], n) for i, side in enumerate((one, two)))
    for rate in (a, b):
        interval = rate.interval()
        assert interval is not None
        low, high = interval
        assert low <= rate.rate <= high
        assert low < high
        if rate.rate in (0, 1):
            ends = wilson(rate.rate * n, n)
            assert (low, high) == pytest.approx((float(ends[0]), float(ends[1])))
    change = difference(a, b)
    assert change is not None
    assert change[0] <= a.rate - b.rate <= change[1]
    assert change[0] < change[1]
    around = Resampled(0.0, np.where(np.arange(300) < 5, 0.1, 0.0), n)  # a few resamples cross elsewhere
    assert around.interval() == pytest.approx((0.0, float(wilson(0, n)[1])))
    missing = Resampled(a.rate, np.where(np.arange(300) < 16, np.nan, a.draws), n)  # 5.3 % are out of reach
    assert missing.interval() is None
    assert difference(missing, b) is None


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_strata_with_few_labels_are_read_with_their_neighbours(labels: list[int]) -> None:
    groups = collapsed(labels)
    assert set(np.diff(groups)) <= {0, 1}
    held = np.bincount(groups, weights=labels)
    assert len(held) == 1 or held.min() >= 4
    assert groups[0] == 0


def test_a_stratum_without_a_label_stays_in_the_population_and_one_label_has_no_certainty() -> None:
    strata = np.repeat([0, 1, 2], 40)
    judged = np.tile([0.0, 1.0], 60)
    truth = judged.copy()
    truth[:3] = 1 - truth[:3]
    probability = np.zeros(120)
    probability[[0, 1, 2, 3, 40]] = 5 / 120  # four labels, one, and none
    data = Labelled(judged, truth, probability, np.arange(120), strata)
    assert data.groups is not None
    assert set(data.groups) == {0}
    alone = Labelled(judged, truth, probability, np.arange(120))
    one, whole = weighted_ppi(data), weighted_ppi(alone)
    assert one.rate == whole.rate
    assert one.standard_error is not None
    assert one.standard_error > 0.1


def test_the_joint_test_counts_resamples_in_which_nothing_differs() -> None:
    chance = np.random.default_rng(3)
    noise = chance.normal(0, 0.05, (400, 3))
    estimates = np.array([0.2, 0.12, -0.11])
    draws = estimates + noise
    low, high = estimates - 0.1, estimates + 0.1
    found = joint_test(estimates, draws, low, high)
    assert found is not None
    assert (found.median, found.up, found.down) == (0.12, 2, 1)
    above, below = (noise > 0.1).sum(axis=1), (noise < -0.1).sum(axis=1)
    by_hand = [
        (np.abs(np.median(noise, axis=1)) >= 0.12).sum(),
        (np.maximum(above, below) >= 2).sum(),
        (np.minimum(above, below) >= 1).sum(),
    ]
    assert [found.median_p, found.resolved_p, found.opposed_p] == pytest.approx(
        [(1 + n) / 401 for n in by_hand]
    )
    assert 2.9 < found.effective <= 3
    same = joint_test(estimates, np.repeat(draws[:, :1], 3, axis=1) - 0.2 + estimates, low, high)
    assert same is not None
    assert same.effective == pytest.approx(1)
    draws[:250] = np.nan  # more than half are out of reach
    assert joint_test(estimates, draws, low, high) is None
    assert joint_test(estimates[:1], noise[:, :1], low[:1], high[:1]) is None


def test_answers_that_share_a_behaviour_are_no_independent_changes() -> None:
    chance = np.random.default_rng(1)
    clusters = np.arange(20).repeat(10)  # ten samples of each of 20 prompts, which change together
    before = np.zeros(200)
    after = (chance.random(20) < 0.2).astype(float).repeat(10)
    before[100:] = (chance.random(10) < 0.2).astype(float).repeat(10)
    found = paired_change(before, after, clusters)
    assert found.clustered_p is not None
    assert found.p == found.clustered_p
    assert found.p > mcnemar(found.gained, found.lost).p
    alone = paired_change(before[::10], after[::10], clusters[::10])
    assert alone.p == mcnemar(alone.gained, alone.lost).p
    assert paired_change([], [], []).p == 1.0


def made_up_labels(chance: np.random.Generator, behaviours: int = 300) -> tuple[Labelled, float]:
    """Outputs of which those that the judge calls unsafe are labelled three times as often; and the
    population's true rate."""
    q1, q0 = 0.85, 0.8
    risk = chance.beta(2, 3, behaviours).repeat(2)
    truth = (chance.random(2 * behaviours) < risk).astype(float)
    judged = (chance.random(2 * behaviours) < np.where(truth == 1, q1, 1 - q0)).astype(float)
    chances = np.where(judged == 1, 0.6, 0.3)
    probability = np.where(chance.random(2 * behaviours) < chances, chances, 0.0)
    return Labelled(judged, truth, probability, np.arange(behaviours).repeat(2)), 0.4


def test_weighted_corrections_find_the_rate_where_the_judge_and_the_bare_labels_do_not() -> None:
    chance = np.random.default_rng(3)
    rows = []
    for _ in range(200):
        data, truth = made_up_labels(chance)
        drawn = data.probability > 0
        rows.append(
            [
                data.judged.mean(),
                data.truth[drawn].mean(),
                weighted_ppi(data).rate,
                weighted_rogan_gladen(data).rate,
            ]
        )
    judge, bare, ppi, gladen = np.mean(np.array(rows, dtype=float), axis=0)
    assert abs(judge - truth) > 0.04
    assert abs(bare - truth) > 0.04
    assert (ppi, gladen) == (pytest.approx(truth, abs=0.01), pytest.approx(truth, abs=0.01))
    found = weighted_confusion(data)
    assert (found.sensitivity, found.specificity) == (
        pytest.approx(0.85, abs=0.09),
        pytest.approx(0.8, abs=0.09),
    )
    assert found.positives + found.negatives == drawn.sum()


def test_with_equal_weights_the_weighted_confusion_is_the_plain_one() -> None:
    data = Labelled(
        np.array([1.0, 1, 0, 0, 1]),
        np.array([1.0, 0, 0, 1, 0]),
        np.array([0.5, 0.5, 0.5, 0.5, 0]),
        np.arange(5),
    )
    found = weighted_confusion(data)
    assert (found.sensitivity, found.specificity, found.positives, found.negatives) == (0.5, 0.5, 2, 2)


def test_a_judge_no_better_than_chance_corrects_nothing() -> None:
    assert rogan_gladen(0.5, 100, 0.5, 50, 0.5, 50).rate is None
    assert rogan_gladen(0.5, 100, 0.9, 0, 0.9, 50).rate is None
    nothing = Labelled(np.ones(4), np.ones(4), np.zeros(4), np.arange(4))
    assert weighted_rogan_gladen(nothing).rate is None
    assert weighted_ppi(nothing).rate is None
    assert weighted_confusion(nothing).sensitivity is None
    assert ppi_plus_plus([1.0], [1.0], [1.0]).rate is None
    assert outside_claim(250, 30, 220, 0.8, 0.7, 0.3) == []
    assert len(outside_claim(50, 3, 47, None, 0.7, 0.02)) == 4


def test_many_lists_of_one_family_do_not_outvote_one_judge_of_another() -> None:
    shares = family_shares([1] * 8 + [-1], ["prefix lists"] * 8 + ["guard"])
    assert shares is not None
    assert (shares.up, shares.down, shares.unresolved) == (0.5, 0.5, 0.0)
    assert family_shares([], []) is None
    assert directions([0.1, -0.2, -0.1, np.nan], [0.2, -0.1, 0.1, np.nan]).tolist() == [1, -1, 0, 0]


def test_flips_name_the_choice_that_turns_the_sign() -> None:
    ways = [{"benchmark": b, "judge": j} for b in ("direct", "dressed") for j in ("one", "two", "three")]
    signs = [1 if w["judge"] != "two" else -1 for w in ways]
    found = flips(ways, signs, {"benchmark": "direct", "judge": "one"})
    assert (found[0].choice, found[0].flips, found[0].pairs) == ("two", 2, 2)
    assert {(f.choice, f.flips) for f in found[1:]} == {("three", 0), ("dressed", 0)}


def test_rank_agreement_and_contested() -> None:
    tau = rank_agreement(np.array([[1.0, 2, 3], [1.0, 3, 2], [3.0, 2, 1], [np.nan, np.nan, 1]]))
    assert tau[0].tolist()[:3] == pytest.approx([1.0, 1 / 3, -1.0])
    assert np.isnan(tau[3]).all()
    assert contested([0.11, -0.24]) == pytest.approx(0.11)
    assert contested([0.1, 0.2]) == contested([]) == 0.0


def test_bootstrap_by_weights_is_the_bootstrap_by_rows() -> None:
    chance = np.random.default_rng(0)
    events, trials = (chance.random((3, 40)) < 0.3).astype(float), np.ones((3, 40))
    weights = cluster_weights(40, 4000, seed=1)
    assert (weights.sum(axis=1) == 40).all()
    rates = resampled_rates(weights, events, trials)
    by_rows = np.array([events[0, chance.integers(0, 40, 40)].mean() for _ in range(4000)])
    assert rates[:, 0].mean() == pytest.approx(by_rows.mean(), abs=0.01)
    assert rates[:, 0].std() == pytest.approx(by_rows.std(), rel=0.08)
    assert percentile_intervals(np.array([[math.nan, 1.0]])) == [None, None]
    low, high = percentile_intervals(np.column_stack([np.linspace(0, 1, 1001), np.linspace(0, 2, 1001)]))
    assert low == pytest.approx((0.025, 0.975))
    assert high == pytest.approx((0.05, 1.95))


def test_the_forecast_of_labels_comes_true() -> None:
    """Drawing as many labels as foretold gives the width that was asked for, for one who looks whenever they
    like; what no number of labels can do is said."""
    chance = np.random.default_rng(5)
    clusters = np.arange(400).repeat(3)
    truth = (chance.random(1200) < chance.beta(2, 4, 400)[clusters]).astype(float)
    judged = (chance.random(1200) < np.where(truth == 1, 0.8, 0.15)).astype(float)
    order = chance.permutation(1200)

    def drawn(n: int) -> Labelled:
        probability = np.zeros(1200)
        probability[order[:n]] = n / 1200
        return Labelled(judged, truth, probability, clusters)

    wanted = 0.075
    n = labels_needed(drawn(150), wanted)
    assert n is not None
    assert 150 < n < 1200
    found = weighted_ppi(drawn(n))
    ends = anytime(found, n)
    assert ends is not None
    assert (ends[1] - ends[0]) / 2 == pytest.approx(wanted, rel=0.1)
    assert found.low is not None
    assert ends[0] < found.low  # looking often costs width
    assert labels_needed(drawn(150), 0.005) is None  # 400 behaviours cannot say it so finely
