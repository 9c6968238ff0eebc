"""Sections of the page Conclusions."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from capsafe_core.analysis.arms import ArmRates, Variant
from capsafe_core.analysis.conclusions import Conclusion, rank_table
from capsafe_core.analysis.matched import matching
from capsafe_core.analysis.sources import (
    buy_rows,
    buys_words,
    source_rows,
    sources_of,
    sources_sentence,
    sources_words,
)
from capsafe_core.analysis.view import View
from capsafe_core.figures.conclusions import rank_squares
from capsafe_core.quoting import split_names
from capsafe_core.ui import screen
from capsafe_core.ui.safe_text import visible, visible_frame


def families_and_flips(found: Conclusion) -> None:
    """Which way each judge family points, and which choices turn the sign."""
    left, right = st.columns(2)
    with left:
        st.subheader("By judge family", anchor=False)
        family = (
            found.counted.groupby("family")["direction"]
            .agg(
                less_safe=lambda d: (d == 1).mean(),
                safer=lambda d: (d == -1).mean(),
                open=lambda d: (d == 0).mean(),
                ways="size",
            )
            .reset_index()
        )
        percents = {
            c: st.column_config.NumberColumn(format="percent") for c in ("less_safe", "safer", "open")
        }
        st.dataframe(visible_frame(family), hide_index=True, column_config=percents)
    with right:
        st.subheader("What flips it?", anchor=False)
        flipping = pd.DataFrame(
            [
                {
                    "choice": f"{f.dimension}: {f.choice.replace('_', ' ')}",
                    "flips the sign": f"{f.flips} of {f.pairs}",
                }
                for f in found.flipping
            ]
        )
        if flipping.empty:
            st.text("There is only one analysis variant.")
        else:
            st.dataframe(visible_frame(flipping), hide_index=True)
        st.text("Compared with the same variant under the primary choice.")


def sources(view: View, found: Conclusion) -> None:
    """Where the uncertainty of the claim comes from, and what to buy next."""
    key = found.claim.key
    at_goal = screen.remembered(view, "matching", lambda: matching(view))
    known = screen.remembered(view, f"sources {key}", lambda: sources_of(view, found, at_goal))
    table, buys = source_rows(known), buy_rows(known, found)
    st.text(visible(sources_sentence(table, buys)))
    st.dataframe(visible_frame(sources_words(table)), hide_index=True)
    st.dataframe(visible_frame(buys_words(buys)), hide_index=True)
    screen.caption(
        view,
        "Above: what each source adds to the variance of the difference. Below: half of the 95% interval "
        "that is to hold over all sources that are known, now and with more",
    )
    screen.table_below(table, "sources", "sources", "seeds")
    screen.table_below(buys, "what-to-buy", "sources")


def ranks(view: View, rates: ArmRates) -> Variant | None:
    """How alike variants rank the arms; the first variant of a clicked pair."""
    ways, tau = rank_table(rates)
    names = [way.words for way in ways]
    pair = (
        screen.chart(rank_squares(names, tau), "ranks", "Kendall's tau between analysis variants")
        if len(names) > 1
        else None
    )
    if len(names) < 2:
        st.text("There is only one benchmark and judge.")
    screen.caption(
        view,
        "Kendall's tau of the order of the arms, incoherent answers as judged; — where fewer than two arms "
        "are known or all tie",
    )
    screen.table_below(
        pd.DataFrame(tau, index=names, columns=names).reset_index(names="way"),
        "kendall-tau",
        "kendall",
        "flips",
    )
    return ways[names.index(split_names(pair)[0])] if pair else None
