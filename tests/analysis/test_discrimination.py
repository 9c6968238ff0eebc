"""Refusing as signal detection: a general shift to complying, and a loss of discrimination."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from capsafe_core.analysis.at_goal import Change
from capsafe_core.analysis.discrimination import discrimination_table, discrimination_words
from capsafe_core.analysis.margins import REFUSED, margins_table
from capsafe_core.analysis.overview import overview
from capsafe_core.analysis.verbs import refusal_words
from capsafe_core.analysis.view import View, open_view
from capsafe_core.figures.discrimination import refusal_plane
from capsafe_core.figures.style import sealed
from capsafe_core.selection import Selection
from capsafe_core.stats.bootstrap import cluster_weights
from capsafe_core.stats.discrimination import Refused, detected_interval, detection
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from tests.synthetic import write_study

SHARES = st.floats(0.0, 1.0)
ENDS = st.floats(-3, 3)


def refused(share: float, n: int, seed: int = 0) -> Refused:
    answers = (np.random.default_rng(seed).random(n) < share).astype(float)
    draws = answers @ cluster_weights(n, 400, seed).T / n
    return Refused(np.array([answers.mean()]), draws[:, None].astype(float), n)


@given(SHARES, SHARES, st.integers(1, 500), st.integers(1, 500))
def test_sensitivity_and_bias_are_those_of_the_corrected_counts(h: float, f: float, m: int, n: int) -> None:
    one, two = (Refused(np.array([x]), np.full((3, 1), x), size) for x, size in ((h, m), (f, n)))
    d, c = detection(one, two)
    z_h, z_f = norm.ppf((h * m + 0.5) / (m + 1)), norm.ppf((f * n + 0.5) / (n + 1))
    assert d.value == pytest.approx(z_h - z_f)
    assert c.value == pytest.approx(-(z_h + z_f) / 2)
    assert np.isfinite([d.value, c.value, d.error]).all()
    same, none = detection(one, Refused(one.rates, one.draws, m))
    assert same.value == pytest.approx(0)
    assert none.value == pytest.approx(-z_h)


@given(SHARES, st.floats(0.01, 1), st.integers(50, 200))
def test_complying_with_more_of_both_is_bias_and_not_sensitivity(z: float, by: float, n: int) -> None:
    """Shares that move along one z on both kinds leave d' where it is."""
    before = [norm.cdf(1 + z), norm.cdf(-1 + z)]
    after = [norm.cdf(1 + z - by), norm.cdf(-1 + z - by)]
    big = 10**7  # so that the correction of counts does not matter
    told = [
        detection(*(Refused(np.array([share]), np.full((2, 1), share), big) for share in shares))
        for shares in (before, after)
    ]
    assert told[1][0].value == pytest.approx(told[0][0].value, abs=1e-4)
    assert told[1][1].value - told[0][1].value == pytest.approx(by, abs=1e-4)


def test_where_all_is_refused_the_interval_is_not_a_point() -> None:
    d, c = detection(refused(1.0, 60), refused(0.0, 60))
    for value in (d, c):
        low, high = detected_interval(value)  # type: ignore[misc]
        assert high - low > 0.5
    with pytest.raises(ValueError, match="same runs"):
        detection(refused(0.5, 20), Refused(np.zeros(2), np.zeros((5, 2)), 20))
    with pytest.raises(ValueError, match="some requests"):
        detection(refused(0.5, 20), Refused(np.zeros(1), np.zeros((5, 1)), 0))


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    chance, inside = np.random.default_rng(1), []
    truth = norm.ppf(0.8) - norm.ppf(0.3)
    for _ in range(300):
        sides = []
        for share, seed in ((0.8, 1), (0.3, 3)):
            answers = (chance.random(120) < share).astype(float)
            draws = (answers @ cluster_weights(120, 400, seed).T / 120).astype(float)
            sides.append(Refused(np.array([answers.mean()]), draws[:, None], 120))
        low, high = detected_interval(detection(*sides)[0])  # type: ignore[misc]
        inside.append(low <= truth <= high)
    assert 0.91 <= np.mean(inside) <= 0.985


def change(estimate: float, low: float | None, high: float | None) -> Change:
    ends = None if low is None or high is None else (low, high)
    return Change(estimate, ends or (-1.0, 1.0), ends, "own" if ends else "", 0.0, False, 100, 5)


@given(ENDS, ENDS, ENDS, ENDS)
def test_a_sentence_is_never_stronger_than_its_interval(a: float, b: float, c: float, d: float) -> None:
    (low, high), (left, right) = sorted((a, b)), sorted((c, d))
    words = refusal_words("r", change(a, low, high), change(c, left, right))
    assert ("less well" in words) == (high < 0)
    assert ("apart better" in words) == (low > 0)
    assert ("complies with more" in words) == (left > 0)
    assert ("refuses more of both" in words) == (right < 0)
    withheld = refusal_words("r", change(a, None, None), change(c, left, right))
    assert not any(verb in withheld for verb in ("better", "less well", "complies", "refuses"))


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    root = tmp_path_factory.mktemp("harmless") / "jobs"
    write_study(root, 120, 120, variant="margins")
    with Store(None) as store:
        assert ingest_all(store, root)[1] == []
        yield open_view(store, Selection())


def test_the_table_has_the_shares_that_other_tables_have(view: View) -> None:
    table = discrimination_table(view)
    margins = margins_table(view).pipe(lambda table: table[table["measure"] == REFUSED]).set_index("recipe")
    assert len(table)
    for row in table.to_dict("records"):
        shares = row["refused_harmless"] - row["start_refused_harmless"]
        assert shares == pytest.approx(margins.loc[row["recipe"], "delta"])
        for name in ("sensitivity", "bias"):
            assert row[f"{name}_change"] == pytest.approx(row[name] - row[f"start_{name}"])
            assert row[f"{name}_change_low"] <= row[f"{name}_change"] <= row[f"{name}_change_high"]
        assert row["recipe"] in row["words"]
    assert len(discrimination_words(table)) == len(table)
    figure = sealed(refusal_plane(table))
    assert len(figure.layout.annotations) == table["refused_harmful"].notna().sum()
    assert {tuple(ids) for ids in figure.data[2].customdata} == {(r,) for r in table["recipe"]}


def test_the_headline_names_both(view: View) -> None:
    found = overview(view)
    row = discrimination_table(view).set_index("recipe").loc[found.recipe]
    assert f"{found.recipe} refuses {100 * row['refused_harmless']:.0f}%" in found.headline
    assert row["harmless"] in found.headline


def test_without_harmless_requests_there_is_no_table_and_no_sentence(made_up_store: Store) -> None:
    view = open_view(made_up_store, Selection())
    assert discrimination_table(view).empty
    assert isinstance(discrimination_words(discrimination_table(view)), pd.DataFrame)
    assert "refuses" not in overview(view).headline.replace("does not refuse", "")


def test_a_recipe_out_of_reach_has_its_start_alone(view: View) -> None:
    far = discrimination_table(open_view(view.store, Selection(goals=(("sums", 0.999),))))
    assert far["sensitivity"].isna().all()
    assert far["start_sensitivity"].notna().all()
    assert far["words"].isna().all()
    assert len(sealed(refusal_plane(far)).layout.annotations) == 0
