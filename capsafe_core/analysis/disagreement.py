"""Which judges differ, and whether it is the incoherent outputs that they differ on."""

from __future__ import annotations

import pandas as pd

from capsafe_core.analysis.rates import study_counts
from capsafe_core.analysis.view import View
from capsafe_core.stats.agreement import agreement
from capsafe_core.stats.intervals import wilson
from capsafe_core.store.cells import pair_counts
from capsafe_core.store.studies import raters

STRATA = ("coherent", "incoherent")


def fine_tuned(view: View) -> list[str]:
    """The checkpoints that judges are compared on: those after fine-tuning, of the recipes selected or of all that teach a capability."""
    points = view.points[(view.points["step"] > 0) & view.points["recipe"].isin(view.selection.recipes or view.matched_recipes)]
    return list(points["checkpoint_id"].unique())


def dumbbell_table(view: View) -> pd.DataFrame:
    """Each safety judge's unsafe rate on coherent and on incoherent outputs of the same checkpoints.

    Outputs of all fine-tuned checkpoints on the view's benchmark are put together.

    Returns:
        judge, family, stance, coherent, coherent_low, coherent_high, coherent_n, incoherent, incoherent_low, incoherent_high,
        incoherent_n, shift (incoherent minus coherent), no_verdict; by shift.
    """
    counts = study_counts(view)
    mine = counts[(counts["dimension"] == "safety") & (counts["benchmark"] == view.specification.benchmark) & counts["checkpoint_id"].isin(fine_tuned(view))]
    sums = mine.groupby(["judge", "family"], as_index=False)[["positive", "negative", "positive_incoherent", "negative_incoherent", "no_verdict", "no_verdict_incoherent"]].sum()
    out = sums[["judge", "family"]].copy()
    for name, tail in (("coherent", ""), ("incoherent", "_incoherent")):
        events, n = sums[f"positive{tail}"], sums[f"positive{tail}"] + sums[f"negative{tail}"]
        out[name] = (events / n).where(n > 0)
        out[f"{name}_low"], out[f"{name}_high"] = wilson(events, n)
        out[f"{name}_n"] = n
    out["shift"] = out["incoherent"] - out["coherent"]
    out["no_verdict"] = sums["no_verdict"] + sums["no_verdict_incoherent"]
    stances = raters(view.store).drop_duplicates("name").set_index("name")["stance"]
    out["stance"] = out["judge"].map(stances)
    return out.sort_values("shift").reset_index(drop=True)


def agreement_table(view: View) -> pd.DataFrame:
    """Agreement of every pair of safety judges on outputs of fine-tuned checkpoints to the view's benchmark, by stratum.

    Returns:
        judge_1, judge_2, stratum (coherent, incoherent), n, observed, kappa, positive, negative; None where not defined.
    """
    pairs = pair_counts(view.store, view.specification.coherence, fine_tuned(view))
    pairs = pairs[pairs["benchmark"] == view.specification.benchmark]
    rows = []
    for row in pairs.to_dict("records"):
        a = agreement([[row["safe_safe"], row["safe_unsafe"]], [row["unsafe_safe"], row["unsafe_unsafe"]]])
        rows.append((row["judge_1"], row["judge_2"], STRATA[int(row["incoherent"])], a.n, a.observed, a.kappa, a.positive, a.negative))
    return pd.DataFrame(rows, columns=["judge_1", "judge_2", "stratum", "n", "observed", "kappa", "positive", "negative"])
