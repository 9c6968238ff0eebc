"""The heads of tables of agreement and correction: words with units, for columns that have names of data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Head:
    """How a column is shown: its head, by how much its numbers are multiplied, and their decimals."""

    words: str
    times: int = 1
    decimals: int | None = None


def _share(words: str) -> Head:
    return Head(f"{words}, %", 100, 0)


def _coefficient(words: str) -> Head:
    return Head(words, 1, 2)


AGREEMENT = {
    "dimension": Head("Question"),
    "judge_1": Head("Judge"),
    "judge_2": Head("Other judge"),
    "stratum": Head("Kind of output"),
    "checkpoint": Head("Checkpoint"),
    "attack": Head("Attack"),
    "judges": Head("Judges"),
    "n": Head("Outputs"),
    "complete": Head("With all verdicts"),
    "percent": _share("Observed agreement"),
    "observed": _share("Observed agreement"),
    "kappa": _coefficient("Cohen's kappa"),
    "kappa_linear": _coefficient("Kappa, linear weights"),
    "kappa_quadratic": _coefficient("Kappa, quadratic weights"),
    "fleiss": _coefficient("Fleiss' kappa"),
    "conger": _coefficient("Conger's kappa"),
    "alpha": _coefficient("Krippendorff's alpha"),
    "alpha_low": _coefficient("Alpha, 95% CI from"),
    "alpha_high": _coefficient("to"),
    "alpha_ordinal": _coefficient("Alpha, ordinal"),
    "alpha_interval": _coefficient("Alpha, interval"),
    "ac1": _coefficient("Gwet's AC1"),
    "brennan_prediger": _coefficient("Brennan–Prediger"),
    "pabak": _coefficient("PABAK"),
    "positive": _share("Positive agreement"),
    "negative": _share("Negative agreement"),
    "prevalence": _coefficient("Prevalence index"),
    "bias": _coefficient("Bias index"),
    "cochran_q": Head("Cochran's Q", 1, 1),
    "cochran_p": Head("p of Q", 1, 3),
    "people": Head("Annotators"),
    "person": Head("Annotator"),
    "cannot_tell": Head("“Cannot tell”"),
    "why_not": Head("Withheld because"),
    "same": _share("Same label"),
    "same_low": _share("95% CI from"),
    "same_high": _share("to"),
}
CORRECTION = {
    "judge": Head("Judge"),
    "stratum": Head("Kind of output"),
    "outputs": Head("Outputs"),
    "labels": Head("Human labels"),
    "unusable": Head("Cannot tell, or disputed"),
    "sensitivity": _share("Sensitivity"),
    "specificity": _share("Specificity"),
    "judge_rate": _share("Judge's rate"),
    "ppi": _share("Corrected rate (PPI++)"),
    "ppi_low": _share("95% CI from"),
    "ppi_high": _share("to"),
}
DISPUTES = {
    "dimension": Head("Question"),
    "said": Head("Labels"),
    "label": Head("Label"),
    "stratum": Head("Kind of output"),
    "person": Head("Who"),
    "note": Head("Note"),
    "when": Head("When"),
    "action": Head("What"),
    "reasons": Head("Reasons"),
    "repeat": Head("Second look"),
}
WORK = {
    "person": Head("Annotator"),
    "labels": Head("Labels"),
    "items": Head("Items"),
    "second_looks": Head("Second looks"),
    "skipped": Head("Skipped"),
    "taken_back": Head("Taken back"),
    "seconds": Head("Median time on screen, s", 1, 1),
    "practice": Head("Practice items right"),
}
