"""Whether a conclusion survives other analyses, as a finding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from capsafe_core.analysis.arms import Claim, find_claim
from capsafe_core.analysis.conclusions import Conclusion, conclusion
from capsafe_core.analysis.overview import agreement_with_primary, chip
from capsafe_core.analysis.runs import Run
from capsafe_core.analysis.view import View
from capsafe_core.figures.conclusions import specification_curve
from capsafe_core.report.basis import basis
from capsafe_core.report.finding import Finding
from capsafe_core.report.slide_charts import curve_chart


def conclusion_finding(view: View, key: str, known: Sequence[Claim], runs: Sequence[Run]) -> Finding:
    """A claim under every analysis variant.

    Args:
        key: of the claim; "" for the view's, or the first.
        known: the claims that can be made, and the runs that they are made of.

    Raises:
        CapsafeError: there is no such claim, or no judge has seen both its sides.
    """
    claim = find_claim(known, key or view.selection.claim)
    found = conclusion(view, claim, runs)
    same, total, flips = agreement_with_primary(found)
    curve = found.curve
    settled = bool((curve[curve["primary"]]["direction"] != 0).any())
    if not curve["primary"].any():
        big = ("–", "the primary variant cannot be computed here")
    else:
        big = (
            (f"{same} of {total}", "analysis variants whose estimate points the same way as the primary one")
            if settled
            else (
                f"{int((found.counted['direction'] == 0).sum())} of {total}",
                "analysis variants, the primary one among them, leave it open",
            )
        )
    return Finding(
        "conclusion",
        "Does the conclusion survive another benchmark, judge, threshold or policy?",
        _headline(found, same, total),
        found.sentence,
        big,
        [_survives(found, same, total, flips)],
        [
            "Analysis variants are not independent of each other, and their shares are not probabilities.",
            *([] if claim.matched else ["The two sides are compared as given, not at the same capability."]),
        ],
        specification_curve(curve, claim.a.words, claim.b.words),
        "Specification curve: the difference in every analysis variant, with 95% intervals",
        curve,
        ("curve", "joint", "bootstrap", "policy", "crossing"),
        curve_chart(curve, claim.a.words),
        basis=basis(
            view,
            f"n = {_n_words(curve)} a variant",
            f"{found.state.capitalize() if found.state else 'Not known'}: {chip(found)}",
            sorted(set(curve["judge"].astype(str))),
        ),
    )


def _headline(found: Conclusion, same: int, total: int) -> str:
    if found.state is None:
        return "Only one analysis variant is possible, so nothing is known of others"
    which = f"{same} of {total} analysis variants"
    return f"{found.state.capitalize()}: {which} agree in direction with the primary one"


def _n_words(curve: pd.DataFrame) -> str:
    known = curve["n"].dropna()
    low, high = (int(known.min()), int(known.max())) if len(known) else (0, 0)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _survives(found: Conclusion, same: int, total: int, flips: str) -> str:
    if not found.curve["primary"].any():
        return "The primary variant cannot be computed here, so others cannot be compared with it."
    if total < 2:
        return "There is only one analysis variant, so nothing is known of others."
    curve = found.counted
    resolved = curve["direction"] != 0
    if same == total:
        return (
            f"Every analysis variant points the same way. In {int(resolved.sum())} of {total} the interval "
            "excludes zero."
        )
    main = np.sign(float(curve.loc[curve["primary"], "estimate"].iloc[0]))
    against = int((resolved & (curve["direction"] != main)).sum())
    return (
        f"It depends on the analysis: {total - same} of {total} variants point the other way or "
        f"nowhere{', mostly under ' + flips.replace('_', ' ') if flips else ''}. In {against} of these "
        f"{total - same} the interval excludes zero."
    )
