"""Sections of the page Conclusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from capsafe_core.analysis.arms import ArmRates, Variant
from capsafe_core.analysis.conclusions import Conclusion, rank_table
from capsafe_core.analysis.narrowed import CHOICE_WORDS, Chosen, chosen_variants, open_choices, read_choices
from capsafe_core.analysis.sources import (
    buy_rows,
    buys_words,
    source_rows,
    sources_of,
    sources_sentence,
    sources_words,
)
from capsafe_core.analysis.variants import asked_cutoff
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.figures.conclusions import rank_squares, specification_curve
from capsafe_core.quoting import split_names
from capsafe_core.ui import overview_parts, screen
from capsafe_core.ui.drawn import drawn
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.ui.tables import show_table

VARIANT_WORDS = {"own": "judge's own", "kept": "kept", "left out": "left out"}
DIRECTIONS = {"less safe, %": 1, "safer, %": -1, "interval includes zero, %": 0}
"""head of a column -> sign of the difference"""


@st.fragment
def playground(view: View, found: Conclusion) -> None:
    """Headline and curve over the variants that are chosen; a switch reruns this part alone.

    What is chosen stands in the address.
    """
    same, total = found.agreement
    with screen.told():
        chosen = _narrowed(view, found)
        part, claim = chosen.conclusion, found.claim
        st.markdown(f"**{plain_label(chosen.first)}**")
        with st.container(horizontal=True, vertical_alignment="center"):
            if found.state is not None:
                overview_parts.state_badge(f"same direction in {same} of {total} variants", found.state)
            st.text(visible(chosen.counts))
        clicked = screen.chart(
            drawn(specification_curve, part.curve, claim.a.words, claim.b.words),
            "curve",
            "Specification curve: the difference in every analysis variant, with the choices below",
        )
        if clicked:
            _open(view, found, part.curve.iloc[int(clicked)])


def _narrowed(view: View, found: Conclusion) -> Chosen:
    """The variants that the address and the chips choose; where they cannot be, a button takes all again.

    Raises:
        CapsafeError: no variant has what is chosen.
    """
    try:
        choices = read_choices(screen.selection().variants)
        _chips(found, choices)
        return chosen_variants(view, found, choices)
    except CapsafeError:
        st.button("Show all analysis variants", on_click=screen.select, kwargs={"variants": ()})
        raise


def _chips(found: Conclusion, now: Mapping[str, Sequence[str]]) -> None:
    """A row of chips for each choice in which variants differ.

    Args:
        now: the chosen values of each.
    """
    rows = open_choices(found)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for choice, values in rows.items():
            key = f"variants-{choice}"
            st.session_state[key] = [value for value in values if value in now.get(choice, ())]
            st.pills(
                CHOICE_WORDS[choice],
                values,
                selection_mode="multi",
                format_func=lambda value: plain_label(VARIANT_WORDS.get(value, value.replace("_", " "))),
                key=key,
                on_change=_note_variants,
                args=(tuple(rows),),
                width="content",
            )


def _note_variants(choices: tuple[str, ...]) -> None:
    """Keep in the address which variants are chosen."""
    kept = [f"{choice}={value}" for choice in choices for value in st.session_state[f"variants-{choice}"]]
    screen.select(variants=tuple(kept))


def _open(view: View, found: Conclusion, way: pd.Series) -> None:
    """The outputs behind a variant."""
    arms = [a for a in (found.claim.a, found.claim.b) if a.kind in ("recipe", "last")]
    screen.open_outputs(
        benchmarks=(str(way["benchmark"]),),
        judges=(str(way["judge"]),),
        cutoff=asked_cutoff(view, str(way["judge"]), str(way["cutoff"])),
        recipes=tuple(dict.fromkeys(a.name for a in arms)),
        condition=found.conditions[str(way["condition"])],
        variants=(),
    )


def family_table(counted: pd.DataFrame) -> pd.DataFrame:
    """A row for each judge family: per cent of its variants that point each way, and their number.

    Args:
        counted: variants with columns family and direction (1 less safe, -1 safer, 0 open).
    """
    families = counted["family"]
    parts = {
        words: 100 * (counted["direction"] == sign).groupby(families).mean()
        for words, sign in DIRECTIONS.items()
    }
    parts["variants"] = families.groupby(families).size()
    return pd.DataFrame(parts).rename_axis("judge family").reset_index()


def families_and_flips(found: Conclusion) -> None:
    """Which way each judge family points, and which choices turn the sign."""
    left, right = st.columns(2)
    with left:
        st.subheader("By judge family", anchor=False)
        percents = {words: st.column_config.NumberColumn(format="%.0f") for words in DIRECTIONS}
        family = family_table(found.counted)
        show_table(family, column_config=percents)
    with right:
        st.subheader("What flips it?", anchor=False)
        flipping = pd.DataFrame(
            [
                {
                    "choice": f"{CHOICE_WORDS[f.dimension]}: "
                    f"{VARIANT_WORDS.get(f.choice, f.choice.replace('_', ' '))}",
                    "flips the sign": f"{f.flips} of {f.pairs}",
                }
                for f in found.flipping
            ]
        )
        if flipping.empty:
            st.text("There is only one analysis variant.")
        else:
            show_table(flipping)
        st.text("Compared with the same variant under the primary choice.")


def sources(view: View, found: Conclusion) -> None:
    """Where the uncertainty of the claim comes from, and what to buy next."""
    key = found.claim.key
    at_goal = screen.matched(view)
    known = screen.remembered(view, f"sources {key}", lambda: sources_of(view, found, at_goal))
    table, buys = source_rows(known), buy_rows(known, found)
    st.text(visible(sources_sentence(table, buys)))
    show_table(sources_words(table))
    show_table(buys_words(buys))
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
        "Kendall's tau of the order of the arms, incoherent responses as judged; — where fewer than two arms "
        "are known or all tie",
    )
    screen.table_below(
        pd.DataFrame(tau, index=names, columns=names).reset_index(names="way"),
        "kendall-tau",
        "kendall",
        "flips",
    )
    return ways[names.index(split_names(pair)[0])] if pair else None
