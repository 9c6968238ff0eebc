"""The weights of learnt judges."""

from __future__ import annotations

import numpy as np
import pytest

from capsafe_core.judges.fitting import raw_weights, regression


@pytest.mark.parametrize("scale", [0.0, 1e-33, 1e-8])
def test_a_feature_that_hardly_spreads_has_no_weight_and_changes_no_other(scale: float) -> None:
    """Also where it would tell everything."""
    chance = np.random.default_rng(3)
    x = chance.normal(0.02, 0.05, (200, 4))
    y = x[:, 0] + chance.normal(0, 0.05, 200) > 0
    silent = np.insert(x, 2, scale * np.where(y, 1.0, -1.0), axis=1)
    weights, bias = raw_weights(regression(0.1).fit(silent, y), 5)
    without, same = raw_weights(regression(0.1).fit(x, y), 4)
    assert weights[2] == 0
    assert np.delete(weights, 2) == pytest.approx(without)
    assert bias == pytest.approx(same)


def test_raw_weights_say_what_the_regression_says() -> None:
    chance = np.random.default_rng(4)
    x = chance.normal(5, [1, 0.01, 30], (100, 3))
    y = x[:, 1] > 5
    model = regression(1.0).fit(x, y)
    weights, bias = raw_weights(model, 3)
    assert x @ weights + bias == pytest.approx(model.decision_function(x))
