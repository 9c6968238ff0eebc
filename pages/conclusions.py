"""Does the conclusion survive another benchmark, judge, threshold or policy?"""

import streamlit as st

from capsafe_core.analysis.arms import arm_rates, claims, find_claim
from capsafe_core.analysis.conclusions import conclusion
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.ui import conclusion_parts, screen, unchecked
from capsafe_core.ui.safe_text import visible
from capsafe_core.ui.sections import section

with screen.question("Does the conclusion survive another benchmark, judge, threshold or policy?") as view:
    unchecked.note(view)
    runs = screen.remembered(view, "runs", lambda: matched_runs(view, path_table(view)))
    rates = screen.remembered(view, "arms", lambda: arm_rates(view, runs))
    listed = claims(view, rates)
    claim = find_claim(listed, view.selection.claim)
    chosen = st.selectbox(
        "Claim, most contested first",
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
    curve = found.curve
    conclusion_parts.playground(view, found)
    tested = int(curve["p"].notna().sum())
    extra = f"; {tested} paired tests, adjusted for their number" if tested else ""
    screen.caption(
        view,
        f"{len(found.counted)} analysis variants, 95% intervals{extra}. {claim.a.words} minus "
        f"{claim.b.words}. Click a mark to read the responses behind it",
    )
    st.text(visible(found.in_all))
    screen.table_below(
        curve,
        "specification-curve",
        "curve",
        "joint",
        "bootstrap",
        "newcombe",
        "policy",
        "crossing",
        *(("mcnemar", "benjamini") if tested else ()),
    )
    section(
        "Which judges and choices reverse it?", "flips", lambda: conclusion_parts.families_and_flips(found)
    )
    section(
        "Where does the uncertainty come from, and what to buy next?",
        "sources",
        lambda: conclusion_parts.sources(view, found),
    )
    across = section("Do analysis variants rank alike?", "ranks", lambda: conclusion_parts.ranks(view, rates))
    if across:
        screen.open_outputs(benchmarks=(across.benchmark,), judges=(across.judge,))
