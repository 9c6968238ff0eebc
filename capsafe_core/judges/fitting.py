"""Fit learnt judges to people's labels and write their parameters.

    python -m capsafe_core.judges.fitting FOLDER JUDGE...

with files of `parameters` by name, such as `learnt_harm`. FOLDER is `pyrit/datasets/scorer_evals` of the
pyrit wheel (MIT). Only the fitted numbers are kept. Quality is cross-validated with all rows of a prompt in
the same fold.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from capsafe_core.engines.embedding import ENGLISH, MULTILINGUAL, open_embedder
from capsafe_core.judges.learnt import features
from capsafe_core.records import digest_text

Row = tuple[str, str, float]
Floats = npt.NDArray[np.float64]
LEAST_SPREAD = 1e-6
"""standard deviation of a feature up to which it has no weight.

Three dimensions of the embeddings are all but silent (deviations of 1e-33, 1e-33 and 1e-8, where 0.05 is
usual): standardised they count like others, and their weights on raw features are about 1e31 and 1e7. The
shipped learnt_harm.json was fitted so, and stays: without the three a tenth of its verdicts on the shipped
study would change, and every judgment on record is of that version.
"""


def read_labels(path: Path) -> list[Row]:
    """(prompt, answer, mean human score) rows of one of pyrit's files."""
    text = path.read_text(encoding="utf-8")
    body = "\n".join(line for line in text.splitlines() if not line.startswith(("#", '"#')))
    rows = list(csv.DictReader(io.StringIO(body)))
    scores = [name for name in rows[0] if name.startswith("human_score")]
    prompt = "objective" if "objective" in rows[0] else "prompt"
    return [
        (r[prompt] or "", r["assistant_response"], float(np.mean([float(r[s]) for s in scores])))
        for r in rows
        if r["assistant_response"]
    ]


def fit(target: str, embedder: str, rows: list[Row], regularisation: float) -> dict[str, Any]:
    """Weights on the raw features, with how well they predict held-out prompts."""
    prompts, answers, scores = zip(*rows, strict=True)
    x = features(target, prompts, answers, open_embedder(embedder))
    y = np.array(scores) >= 0.5
    model = regression(regularisation)
    held_out = cross_val_predict(model, x, y, groups=prompts, cv=GroupKFold(5), method="predict_proba")[:, 1]
    weights, bias = raw_weights(model.fit(x, y), x.shape[1])
    values = {
        "target": target,
        **({"embedder": embedder} if embedder != ENGLISH else {}),  # as the digests on record have it
        "weights": [round(float(w), 6) for w in weights],
        "bias": round(bias, 6),
    }
    quality = {
        "n": len(rows),
        "positive": int(y.sum()),
        "auc": round(float(roc_auc_score(y, held_out)), 3),
        "kappa": round(float(cohen_kappa_score(y, held_out >= 0.5)), 3),
    }
    return {
        **values,
        "digest": digest_text(json.dumps(values))[:12],
        "held_out": quality,
        "data": "people's labels in pyrit 1.1.0 (MIT), five folds by prompt",
    }


def regression(regularisation: float) -> Pipeline:
    """A logistic regression on standardised features; those that hardly spread have no part in it."""
    logistic = LogisticRegression(C=regularisation, max_iter=5000)
    return make_pipeline(VarianceThreshold(LEAST_SPREAD**2), StandardScaler(), logistic)


def raw_weights(model: Pipeline, size: int) -> tuple[Floats, float]:
    """(size,) the weights of a fitted `regression` on raw features, and its bias."""
    spread, scaler, logistic = model
    weights = np.zeros(size)
    weights[spread.get_support()] = logistic.coef_[0] / scaler.scale_
    return weights, float(logistic.intercept_[0] - scaler.mean_ @ weights[spread.get_support()])


JUDGES = {
    "learnt_refusal": ("refusal", ENGLISH, "refusal_scorer", 1.0),
    "learnt_refusal_multilingual": ("refusal", MULTILINGUAL, "refusal_scorer", 1.0),
    "learnt_harm": ("harm", ENGLISH, "harm", 0.003),
}
"""what each is to tell, by which embeddings, the folder of its labels, and its regularisation"""


def main(folder: Path, names: Sequence[str]) -> None:
    """Fit judges and write their parameter files."""
    for name in names:
        target, embedder, labels, regularisation = JUDGES[name]
        files = [
            path for path in sorted((folder / labels).glob("*.csv")) if not path.name.startswith("mini_")
        ]
        rows = [row for path in files for row in read_labels(path)]
        result = fit(target, embedder, rows, regularisation)
        file = Path(__file__).parent / "parameters" / f"{name}.json"
        file.write_text(json.dumps(result, indent=1) + "\n")
        print(name, result["held_out"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
