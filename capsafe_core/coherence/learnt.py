"""The learnt detector: a logistic regression on the features, fitted to people's labels and calibrated on
held-out prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from capsafe_core.coherence.features import FEATURES, features
from capsafe_core.coherence.formats import AnswerFormat
from capsafe_core.errors import CapsafeError

if TYPE_CHECKING:  # a detector that is only read needs neither
    import numpy as np
    import numpy.typing as npt

    Labels = npt.NDArray[np.int64]

LEAST, LEAST_A_CLASS, FOLDS = 40, 10, 5
PLACES = 6
"""decimal places that are kept of a weight"""


@dataclass(frozen=True)
class LabelledAnswer:
    """An answer, what was asked, and whether people call it incoherent."""

    group: str
    """what must not be torn apart in cross-validation: the prompt"""
    prompt: str
    answer: str
    incoherent: bool
    task: bool = False


def fit(rows: Sequence[LabelledAnswer], formats: Sequence[AnswerFormat]) -> dict[str, Any]:
    """Weights on the raw features, and how well they foretell labels of prompts that were held out.

    Folds keep all answers to a prompt together. The held-out log-odds calibrate the probability (Platt 1999);
    the figures are of
    probabilities that are calibrated out of their own fold too.

    Returns:
        features, weights, bias, held_out: {n, incoherent, auc, kappa, precision, recall, brier, calibration
            (expected error, ten bins)}.

    Raises:
        CapsafeError: there are too few labels.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    y = np.array([row.incoherent for row in rows], dtype=int)
    groups = np.array([row.group for row in rows])
    _require_enough(y, groups)
    x = np.array([features(row.answer, row.prompt, formats, row.task) for row in rows])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=5000))
    folds = StratifiedGroupKFold(FOLDS)
    held = cross_val_predict(model, x, y, groups=groups, cv=folds, method="decision_function")
    platt = LogisticRegression(C=1e6)
    told = cross_val_predict(platt, held[:, None], y, groups=groups, cv=folds, method="predict_proba")[:, 1]
    platt.fit(held[:, None], y)
    model.fit(x, y)
    scaler, regression = model[0], model[1]
    if platt.coef_[0, 0] <= 0:
        raise CapsafeError(
            "What the detector sees of these answers does not foretell their labels on other prompts, so "
            "nothing was learnt.",
            "Look at the disputes and the guidelines, or label more.",
        )
    slope, shift = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    weights = regression.coef_[0] / scaler.scale_
    bias = float(regression.intercept_[0] - scaler.mean_ @ weights)
    return {
        "features": list(FEATURES),
        "weights": [round(float(slope * w), PLACES) for w in weights],
        "bias": round(slope * bias + shift, PLACES),
        "held_out": _held_out(y, told),
    }


def _require_enough(y: Labels, groups: npt.NDArray[np.str_]) -> None:
    """Refuse what is too little to learn from.

    Raises:
        CapsafeError: there are too few labels.
    """
    fewest = int(min(y.sum(), len(y) - y.sum())) if len(y) else 0
    prompts = min((len(set(groups[y == kind])) for kind in (0, 1)), default=0)
    if len(y) < LEAST or fewest < LEAST_A_CLASS or prompts < FOLDS:
        raise CapsafeError(
            f"There are {len(y)} labels of coherence, {fewest} of the rarer kind, on {prompts} prompts; the "
            f"detector learns from at least {LEAST}, {LEAST_A_CLASS} of each kind, on {FOLDS} prompts each.",
            "Label more: a stratified queue finds incoherent answers sooner.",
        )


def _held_out(y: Labels, told: npt.NDArray[np.float64]) -> dict[str, float]:
    """How well probabilities foretell labels.

    Args:
        y: (rows,) 1 for incoherent.
        told: (rows,) P(incoherent).
    """
    from sklearn.metrics import (
        brier_score_loss,
        cohen_kappa_score,
        precision_score,
        recall_score,
        roc_auc_score,
    )

    called = told >= 0.5
    quality = {
        "auc": roc_auc_score(y, told),
        "kappa": cohen_kappa_score(y, called),
        "precision": precision_score(y, called, zero_division=0),
        "recall": recall_score(y, called, zero_division=0),
        "brier": brier_score_loss(y, told),
        "calibration": _calibration_error(y, told),
    }
    counts = {"n": len(y), "incoherent": int(y.sum())}
    return counts | {name: round(float(value), 3) for name, value in quality.items()}


def _calibration_error(y: Labels, told: npt.NDArray[np.float64]) -> float:
    """How far probabilities are from shares, expected over ten bins."""
    place = (told * 10).astype(int).clip(max=9)
    bins = [place == b for b in range(10)]
    return float(sum(abs(told[b].mean() - y[b].mean()) * b.mean() for b in bins if b.any()))


def probability(fitted: dict[str, Any], values: Sequence[float]) -> float:
    """P(incoherent) of an answer with these features."""
    odds = fitted["bias"] + sum(w * v for w, v in zip(fitted["weights"], values, strict=True))
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, odds))))
