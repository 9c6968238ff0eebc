"""A conclusion in sentences: the primary difference, and what all analysis variants say together."""

from __future__ import annotations

import pandas as pd

from capsafe_core.analysis.arms import Claim
from capsafe_core.analysis.at_goal import Change
from capsafe_core.analysis.curve import Kind, contradicted, leading
from capsafe_core.analysis.harm import harm_words
from capsafe_core.analysis.number_words import differs, pts, share_of_chance, share_words
from capsafe_core.analysis.verbs import comparison, conditional
from capsafe_core.analysis.view import View
from capsafe_core.specification import BOUNDS, Correction
from capsafe_core.stats.resampled import UNREACHED_LIMIT
from capsafe_core.stats.specification import Joint, Shares


def first_sentence(view: View, claim: Claim, curve: pd.DataFrame, change: Change | None) -> str:
    """The primary difference with its uncertainty, never stronger than the interval."""
    main = curve[curve["primary"]]
    if main.empty and view.is_corrected:
        return f"{claim.words}: human labels are too few to correct this difference."
    row = curve.iloc[leading(curve)]
    why = (
        "the capability is known without a standard error"
        if claim.matched and pd.isna(row["unreached"])
        else f"more than {UNREACHED_LIMIT:.0%} of resamples are out of reach"
    )
    told = change or _as_it_is(claim, row)
    n = int(row["n"])
    a, b = ((f"{row[side]:.0%}" if claim.matched else share_words(row[side], n)) for side in ("a", "b"))
    answers = harm_words(str(row["judge"])).answers
    words = comparison(claim.a.words, claim.b.words, told, (a, b), answers, why)
    run = "in this run, " if "last" in (claim.a.kind, claim.b.kind) else ""
    people = ", corrected by people," if row["correction"] == Correction.BY_PEOPLE else ""
    return f"By {row['judge']}{people} on {row['benchmark']} (n = {n:,}), {run}{words}."


def _as_it_is(claim: Claim, row: pd.Series) -> Change:
    """A variant's difference as a change: of what is given, or of recipes of which no seeds are known."""
    interval = None if pd.isna(row["low"]) else (float(row["low"]), float(row["high"]))
    trained = claim.matched
    return Change(
        float(row["estimate"]),
        interval,
        None if trained else interval,
        "" if trained else "none",
        0.0,
        False,
        int(row["n"]),
        1,
    )


def in_all(
    view: View,
    claim: Claim,
    curve: pd.DataFrame,
    shares: Shares | None,
    change: Change | None,
    joint: Joint | None,
) -> str:
    """What all analysis variants say together."""
    main, counted = curve[curve["primary"]], curve[curve["kind"] == Kind.CHOICE]
    seeds = "" if change is None or change.seeds == "own" else f", {conditional(change.runs)}"
    worth = f" (worth about {joint.effective:.0f} independent ones)" if joint else ""
    counts = f"Of {len(counted)} analysis variants{worth}, {directions_words(counted)}{seeds}"
    weighted = (
        f"; with each judge family counted alike {shares.up:.0%}, {shares.down:.0%} and "
        f"{shares.unresolved:.0%}"
        if shares
        else ""
    )
    which = (
        f"This is {view.standing}."
        if len(main)
        else "This is not the primary specification, which cannot be computed for both sides."
    )
    given = "" if claim.matched else " The two are compared as given, not at one capability."
    if len(counted) == 1:
        return f"There is only one analysis variant. {which}{given}"
    return (
        f"{counts}{weighted} (shares of analysis variants, not a probability).{_apart(curve)}"
        f"{_together(joint)}{contradiction(counted, joint)} {which}{given}"
    )


def directions_words(counted: pd.DataFrame) -> str:
    """How many variants point where."""
    up, down, open_ = (int((counted["direction"] == d).sum()) for d in (1, -1, 0))
    return f"{up} say less safe, {down} safer, and {open_} leave it open"


def _apart(curve: pd.DataFrame) -> str:
    """Which variants stand apart; "" where none does."""
    bounds, repeats = (int((curve["kind"] == kind).sum()) for kind in (Kind.BOUND, Kind.REPEAT))
    told = [
        *([f"{bounds} that count every incoherent response as {_whole(curve)}"] if bounds else []),
        *([f"{repeats} that cannot differ from one of these"] if repeats else []),
    ]
    return f" Not counted: {', and '.join(told)}." if told else ""


def _whole(curve: pd.DataFrame) -> str:
    """What bounds count incoherent responses as."""
    policies = set(curve.loc[curve["kind"] == Kind.BOUND, "policy"])
    return " or as ".join(str(p).removeprefix("counted_") for p in BOUNDS if p.value in policies)


def _together(joint: Joint | None) -> str:
    """Whether all of them are more than chance; "" where it cannot be tested."""
    if joint is None:
        return ""
    side = "less safe" if joint.up >= joint.down else "safer"
    far = f"a median as far from zero ({pts(joint.median, '+')})"
    median, agreeing = share_of_chance(joint.median_p), max(joint.up, joint.down)
    if not agreeing:
        return f" If nothing differed, {far} would come up in {median} of studies."
    return (
        f" If nothing differed, {agreeing} or more that agree on “{side}” would come up in "
        f"{share_of_chance(joint.resolved_p)} of studies, and {far} in {median}."
    )


def contradiction(curve: pd.DataFrame, joint: Joint | None) -> str:
    """The two variants that differ most, and whether they contradict each other; "" where they do not differ
    by a point."""
    if not differs(curve["estimate"].min(), curve["estimate"].max()):
        return ""
    contradict = contradicted(curve, joint)
    shown = curve[curve["direction"] != 0] if contradict else curve
    ends = [shown.sort_values("estimate").iloc[place] for place in (0, -1)]
    words = [
        f"{pts(end['estimate'], '+')} ({end['judge']} on {end['benchmark']}: {end['a']:.0%} "
        f"against {end['b']:.0%})"
        for end in ends
    ]
    said = "They contradict each other, from" if contradict else "Their estimates run from"
    return f" {said} {words[0]} to {words[1]}."
