"""Agreement of annotators: what is withheld, and the interval of what is shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from capsafe_core.analysis.annotators import _agreement, agreement_words
from capsafe_core.stats.fallible import ENOUGH_DOUBLES


def said(labels: np.ndarray, prompts_per_behaviour: int = 1) -> pd.DataFrame:
    """Answers of people (columns) about outputs (rows); 0 for none."""
    rows = [
        {
            "generation_id": f"g{i}",
            "behaviour": f"b{i // prompts_per_behaviour}",
            "person": f"p{j}",
            "code": c,
        }
        for (i, j), c in np.ndenumerate(labels)
        if c
    ]
    return pd.DataFrame(rows, columns=["generation_id", "behaviour", "person", "code"])


@pytest.mark.parametrize("seed", range(25))
def test_a_coefficient_is_never_shown_without_an_interval_that_has_a_width(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, people = int(rng.integers(2, 60)), int(rng.integers(2, 4))
    truth = np.where(rng.random(n) < rng.choice([0.0, 0.05, 0.5]), 2, 1)
    labels = np.repeat(truth[:, None], people, axis=1)
    labels = np.where(rng.random(labels.shape) < rng.choice([0.0, 0.05, 0.3]), 3 - labels, labels)
    row = _agreement(said(labels, int(rng.integers(1, 4))), 2)
    assert row is not None
    shown, words = row.get("alpha"), agreement_words(row)
    assert (shown is None) == bool(row["why_not"]) == (words[0] == "—")
    assert f"n = {n}" in words[1]
    if shown is not None:
        assert n >= ENOUGH_DOUBLES
        assert row["alpha_low"] < row["alpha_high"] <= 1
        assert row["alpha_low"] <= shown <= row["alpha_high"]
        assert row["ac1"] is not None
    else:
        assert row.get("ac1") is None


def test_ten_pairs_that_agree_are_no_alpha_of_one() -> None:
    row = _agreement(said(np.repeat([[1], [2]], 5, axis=0).repeat(2, axis=1)), 2)
    assert row is not None
    assert (row["n"], row["observed"], row.get("alpha")) == (10, 1.0, None)
    assert agreement_words(row) == ("—", "n = 10")
    assert agreement_words(None) == ("—", "n = 0")


def test_the_interval_of_full_agreement_by_hand() -> None:
    """40 outputs of 40 behaviours, half of each label: the upper end of Wilson's interval of 0 of 40 is
    3.8416/43.8416 = 0.08762, the expected disagreement 1 − 2 · 40 · 39/(80 · 79) = 0.50633."""
    row = _agreement(said(np.repeat([[1], [2]], 20, axis=0).repeat(2, axis=1)), 2)
    assert row is not None
    assert row["alpha"] == row["alpha_high"] == 1
    assert row["alpha_low"] == pytest.approx(1 - 0.08762 / 0.50633, abs=1e-4)
    assert agreement_words(row) == ("1.00", "0.83 to 1.00, n = 40")
