"""Does the conclusion survive another benchmark, judge, cut-off or policy?"""

import pandas as pd
import streamlit as st

from capsafe_core.analysis.arms import arm_rates, claims, find_claim
from capsafe_core.analysis.conclusions import conclusion, rank_table
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.figures.conclusions import rank_squares, specification_curve
from capsafe_core.quoting import split_names
from capsafe_core.ui import screen
from capsafe_core.ui.safe_text import plain_label, visible, visible_frame

with screen.question("Does the conclusion survive another benchmark, judge, cut-off or policy?") as view:
    runs = screen.remembered(view, "runs", lambda: matched_runs(view, path_table(view)))
    rates = screen.remembered(view, "arms", lambda: arm_rates(view, runs))
    listed = claims(view, rates)
    claim = find_claim(listed, view.selection.claim)
    chosen = st.selectbox(
        "Claim, the most contested first",
        listed,
        listed.index(claim),
        format_func=lambda c: visible(c.words),
        key=f"claim-{claim.key}",
        width=720,
    )
    if chosen != claim:
        screen.select(claim=chosen.key)
        st.rerun()
    found = screen.remembered(view, f"conclusion {claim.key}", lambda: conclusion(view, claim, runs))
    st.markdown(f"**{plain_label(found.sentence)}**")
    curve = found.curve
    clicked = screen.chart(
        specification_curve(curve, claim.a.words, claim.b.words),
        "curve",
        "Specification curve: the difference in every way of asking, with the choices below",
    )
    tested = int(curve["p"].notna().sum())
    extra = f"; {tested} paired tests, adjusted for their number" if tested else ""
    screen.caption(
        view,
        f"{len(curve)} ways of asking, 95 % intervals{extra}. {claim.a.words} minus {claim.b.words}. Click "
        "a mark to read the answers behind it",
    )
    screen.table_below(
        curve,
        "specification-curve",
        "curve",
        "bootstrap",
        "newcombe",
        "policy",
        "crossing",
        *(("mcnemar", "benjamini") if tested else ()),
    )
    left, right = st.columns(2)
    with left:
        st.subheader("By judge family", anchor=False)
        family = (
            curve.groupby("family")["direction"]
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
            st.text("There is only one way of asking.")
        else:
            st.dataframe(visible_frame(flipping), hide_index=True)
        st.text("Against the same way of asking with the primary choice.")
    st.subheader("Do ways of asking rank alike?", anchor=False)
    ways, tau = rank_table(rates)
    names = [way.words for way in ways]
    pair = (
        screen.chart(rank_squares(names, tau), "ranks", "Kendall's tau between ways of asking")
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
    if clicked:
        way = curve.iloc[int(clicked)]
        arms = [a for a in (claim.a, claim.b) if a.kind in ("recipe", "last")]
        screen.open_outputs(
            benchmarks=(str(way["benchmark"]),),
            judges=(str(way["judge"]),),
            recipes=tuple(dict.fromkeys(a.name for a in arms)),
        )
    if pair:
        across = ways[names.index(split_names(pair)[0])]
        screen.open_outputs(benchmarks=(across.benchmark,), judges=(across.judge,))
