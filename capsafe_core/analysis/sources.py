"""Where the uncertainty of a claim comes from, and what to buy next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from capsafe_core.analysis.arms import Claim, arm_rates, claims, find_claim
from capsafe_core.analysis.columns import framed
from capsafe_core.analysis.conclusions import Conclusion, conclusion
from capsafe_core.analysis.curve import Kind, leading
from capsafe_core.analysis.matched import Matching, matching
from capsafe_core.analysis.number_words import hundredths, pts
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.analysis.view import View
from capsafe_core.scales import scales, threshold_words
from capsafe_core.specification import CHOICES
from capsafe_core.stats.seeds import ENOUGH_SEEDS, own_noise
from capsafe_core.stats.variance import Source, facet_variance, half_width, labelled_variance, with_more

WORDS = {
    "prompts": "prompts and test items",
    "seeds": "training seeds",
    "family": "judge",
    "benchmark": "benchmark",
    "condition": "condition",
    "policy": "treatment of incoherent outputs",
    "cutoff": "threshold",
    "coherence": "judge of coherence",
    "truncated": "truncated outputs",
    "correction": "correction by people",
}
"""source -> its words"""
SOURCES = ("source", "levels", "deviation", "share", "why_not")
BUYS = ("buy", "half_width", "half_width_then", "gain", "why_not")
LABELS = 200
"""labels whose worth is told"""


def sources_table(view: View) -> pd.DataFrame:
    """Where the uncertainty of a claim comes from: prompts, training seeds, and every choice of the analysis.

    The most contested claim where none is named.

    Returns:
        source, levels (how many of it there are), deviation (standard deviation that it gives the difference,
        a share of 1: of one seed on each side, of one choice against another with all others kept, of the
        prompts asked), share (of the variance of all that is known), why_not (why it is not known).
    """
    return source_rows(sources_of(view, *_claim(view)))


def buys_table(view: View) -> pd.DataFrame:
    """What to buy next for a claim, and the interval that it would give.

    Returns:
        buy (in words), half_width (of the 95 % interval that is to hold for other prompts, seeds, judges,
        benchmarks, conditions and treatments, as far as these are known), half_width_then (with what is
        bought), gain (the difference), why_not (why that is not known); the largest gain first.
    """
    found, at_goal = _claim(view)
    return buy_rows(sources_of(view, found, at_goal), found)


def _claim(view: View) -> tuple[Conclusion, Matching]:
    paths = path_table(view)
    at_goal, runs = matching(view, paths), matched_runs(view, paths)
    claim = find_claim(claims(view, arm_rates(view, runs)), view.selection.claim)
    return conclusion(view, claim, runs, at_goal), at_goal


def sources_of(view: View, found: Conclusion, at_goal: Matching) -> list[Source]:
    """The sources of a claim's difference, as far as its variants and runs tell them."""
    curve = found.curve
    mine = leading(curve)
    known = found.draws[~np.isnan(found.draws[:, mine]), mine]
    prompts = float(known.var()) if len(known) else float("nan")
    sources = [Source("prompts", prompts, int(curve["n"].iloc[mine]))]
    if found.claim.matched:
        sources.append(_seeds(at_goal, found.claim))
    kept = (curve["kind"] != Kind.BOUND) & ~_stated_twice(curve)
    rows, draws = curve[kept], found.draws[:, kept.to_numpy()]
    facets = ["family", *(name for name in CHOICES if name != "judge")]
    plain = [{name: str(row[name]) for name in facets} for row in rows.to_dict("records")]
    for facet in facets:
        levels = rows[facet].nunique()
        if levels > 1:
            variance = facet_variance(rows["estimate"], draws, plain, facet)
            sources.append(Source(facet, variance, int(levels)))
    return sources


def _stated_twice(curve: pd.DataFrame) -> pd.Series:
    """Which variants state a threshold that is the judge's own, so that they stand there as its own too."""
    own = {name: threshold_words(scale.cutoff) for name, scale in scales().items()}
    return curve["cutoff"] == curve["judge"].map(own)


def _seeds(found: Matching, claim: Claim) -> Source:
    """The variance that one seed on each trained side gives the difference, without that of its prompts."""
    variance, fewest = 0.0, 0
    for arm in (claim.a, claim.b):
        if arm.kind != "recipe":
            continue
        side = found.over_seeds.get(arm.name)
        spread = None if side is None else side.spread(found.recipe_rates)
        n = 0 if side is None else len(side.rates)
        fewest = min(fewest or n, n)
        if side is None or spread is None:
            return Source("seeds", float("nan"), fewest, max(fewest, 1))
        variance += max(spread.variance - own_noise(side.draws), 0.0)
    return Source("seeds", variance, fewest, max(fewest, 1))


def source_rows(sources: Sequence[Source]) -> pd.DataFrame:
    """`sources_table` of some sources."""
    total = sum(s.part for s in sources if not np.isnan(s.variance))
    rows = [
        {
            "source": WORDS[s.name],
            "levels": s.levels,
            "deviation": float(np.sqrt(s.variance)),
            "share": None if np.isnan(s.variance) or not total else s.part / total,
            "why_not": _why_not(s),
        }
        for s in sources
    ]
    table = framed(rows, SOURCES)
    return table.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def _why_not(source: Source) -> str:
    if not np.isnan(source.variance):
        return ""
    if source.name == "seeds":
        return "too few training seeds were run to know how much another one would change"
    return "no two variants differ in this choice alone"


def buy_rows(sources: Sequence[Source], found: Conclusion) -> pd.DataFrame:
    """`buys_table` of some sources of a claim."""
    now = half_width(sources)
    rows = [
        {
            "buy": words,
            "half_width": now,
            "half_width_then": None if then is None else half_width(then),
            "gain": None if then is None else now - half_width(then),
            "why_not": why,
        }
        for words, then, why in _buys({s.name: s for s in sources}, found)
    ]
    table = framed(rows, BUYS)
    return table.sort_values("gain", ascending=False, kind="stable", ignore_index=True)


def _buys(sources: Mapping[str, Source], found: Conclusion) -> Iterator[tuple[str, list[Source] | None, str]]:
    every = list(sources.values())
    for times in (2, 4):
        yield f"{times} times as many prompts and test items", with_more(every, "prompts", times), ""
    seeds = sources.get("seeds")
    if seeds is not None and seeds.used < ENOUGH_SEEDS:
        words = f"{ENOUGH_SEEDS} training seeds of each recipe in place of {seeds.levels}"
        known = not np.isnan(seeds.variance)
        why = "" if known else f"{_why_not(seeds)}; they would tell it"
        yield words, with_more(every, "seeds", ENOUGH_SEEDS) if known else None, why
    for name, noun, which in (("family", "judge", " of another family"), ("benchmark", "benchmark", "")):
        source, words = sources.get(name), f"a second {noun}{which}, and the mean of both"
        if source is None:
            yield words, None, f"one {noun} tells nothing about others; it would"
        else:
            yield words, with_more(every, name, 2), ""
    judge = sources.get("family")
    if judge is None or np.isnan(judge.variance):
        yield f"{LABELS} human labels", None, "nothing tells yet how far judges are off; labels would"
        return
    curve = found.curve
    row = curve.iloc[leading(curve)]
    rate = max(float(row["a"]), float(row["b"]))
    variance = labelled_variance(judge.variance, min(rate, 0.5), 2, LABELS)
    then = [Source(s.name, variance, s.levels) if s.name == "family" else s for s in every]
    yield f"{LABELS} human labels around the goal and at its start, that correct the judge", then, ""


def sources_sentence(sources: pd.DataFrame, buys: pd.DataFrame) -> str:
    """The largest source, and what helps most, in one or two sentences.

    Args:
        sources: as `sources_table`, and `buys` as `buys_table`.
    """
    known = sources.dropna(subset=["share"])
    if known.empty:
        return "Nothing tells where the uncertainty of this difference comes from."
    first = known.iloc[0]
    told = (
        f"Most of what is uncertain comes from the choice of {first['source']}"
        if first["source"] not in (WORDS["prompts"], WORDS["seeds"])
        else f"Most of what is uncertain comes from {first['source']}"
    )
    told += f" ({first['share']:.0%} of the variance that is known)."
    useful = buys[buys["gain"].astype(float) > 0]
    if useful.empty:
        return told
    best = useful.iloc[0]
    return (
        f"{told} What helps most: {best['buy']}; the interval over all known sources would go from ± "
        f"{hundredths(best['half_width'])} to ± {pts(best['half_width_then'])}."
    )


def sources_words(sources: pd.DataFrame) -> pd.DataFrame:
    """The table as a person reads it.

    Args:
        sources: as `sources_table`.
    """
    known = sources["share"].notna()
    return pd.DataFrame(
        {
            "source": sources["source"],
            "how many": sources["levels"],
            "standard deviation, pts": [
                hundredths(value) if there else "not known"
                for value, there in zip(sources["deviation"], known, strict=True)
            ],
            "share of the variance": [
                f"{share:.0%}" if there else "—" for share, there in zip(sources["share"], known, strict=True)
            ],
            "why not": sources["why_not"],
        }
    )


def buys_words(buys: pd.DataFrame) -> pd.DataFrame:
    """The table as a person reads it.

    Args:
        buys: as `buys_table`.
    """
    known = buys["gain"].notna()
    return pd.DataFrame(
        {
            "what": buys["buy"],
            "interval now, pts": [f"± {hundredths(width)}" for width in buys["half_width"]],
            "interval then, pts": [
                f"± {hundredths(width)}" if there else "not known"
                for width, there in zip(buys["half_width_then"], known, strict=True)
            ],
            "why not": buys["why_not"],
        }
    )
