"""Rebuild the toxicity measure of alt-profanity-check as a parameter file.

    python -m capsafe_core.judges.rebuilding PACKAGE LABELS

PACKAGE is `profanity_check/data` of the unpacked wheel alt-profanity-check 1.9.1 (MIT), whose pickles are
loaded: run this where you trust them. LABELS is `pyrit/datasets/scorer_evals` of the pyrit wheel (MIT), on
which it is measured. Only the fitted numbers are kept.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.metrics import roc_auc_score

from capsafe_core.judges.fitting import read_labels
from capsafe_core.judges.words import PARAMETERS, probability
from capsafe_core.records import digest_text

SOURCE = (
    "alt-profanity-check 1.9.1 (MIT, Copyright (c) 2018 Victor Zhou, 2021 Menelaos Kotoglou, and Dimitrios "
    "Mistriotis)"
)


def rebuilt(vectorizer: Any, model: Any) -> dict[str, Any]:
    """The words' weights of a TfidfVectorizer under a calibrated linear model, rounded to four digits."""
    folds = [(fold.calibrators[0], fold.estimator) for fold in model.calibrated_classifiers_]
    weights = np.array([-platt.a_ * linear.coef_[0] for platt, linear in folds])
    biases = [-(platt.a_ * linear.intercept_[0] + platt.b_) for platt, linear in folds]
    table = np.vstack([vectorizer.idf_, weights]).T
    values = {
        "biases": [float(f"{bias:.4g}") for bias in biases],
        "words": {
            word: [float(f"{value:.4g}") for value in table[place]]
            for word, place in sorted(vectorizer.vocabulary_.items())
        },
    }
    return {"digest": digest_text(json.dumps(values))[:12], **values}


def measured(parameters: dict[str, Any], vectorizer: Any, model: Any, folder: Path) -> dict[str, Any]:
    """How it ranks answers by people's mean harm scores, and how far it is from the package itself."""
    found: dict[str, Any] = {"auc": {}, "furthest_from_the_package": 0.0}
    for path in sorted(folder.glob("*.csv")):
        if path.name.startswith("mini_"):
            continue
        rows = read_labels(path)
        texts, harmful = [row[1] for row in rows], [row[2] >= 0.5 for row in rows]
        mine = np.array([probability(parameters, text) for text in texts])
        theirs = model.predict_proba(vectorizer.transform(texts))[:, 1]
        auc = round(float(roc_auc_score(harmful, mine)), 3)
        found["auc"][path.stem] = {"n": len(rows), "auc": auc}
        apart = max(found["furthest_from_the_package"], float(np.abs(mine - theirs).max()))
        found["furthest_from_the_package"] = apart
    return found


def main(package: Path, labels: Path) -> None:
    """Write the parameter file."""
    vectorizer, model = (joblib.load(package / f"{name}.joblib") for name in ("vectorizer", "model"))
    parameters = rebuilt(vectorizer, model)
    quality = measured(parameters, vectorizer, model, labels / "harm")
    source = f"{SOURCE}; fitted by its authors to comments that people labelled"
    text = json.dumps({"source": source, "measured": quality, **parameters}, ensure_ascii=False)
    (PARAMETERS / "toxic_words.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    print(json.dumps(quality, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
