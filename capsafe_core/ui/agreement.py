"""The second half of Judge disagreement: agreement by kind of response, judges against people, scores, and a
map of the responses."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from capsafe_core.analysis.disagreement import judges_along_table, scores_table, text_map
from capsafe_core.analysis.judge_agreement import DIFFERENCE, GROUPS, agreement_intervals, all_judges_table
from capsafe_core.analysis.ordered_agreement import checkpoints_table, ordered_table
from capsafe_core.analysis.people import correction_table
from capsafe_core.analysis.sentences import splits_sentence
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.figures import judges as figures
from capsafe_core.figures.judges_along import judges_along
from capsafe_core.figures.squares import agreement_squares
from capsafe_core.figures.style import first_of
from capsafe_core.outcomes import STRATA
from capsafe_core.quoting import split_names
from capsafe_core.selection import vote_pattern
from capsafe_core.stats.agreement import TABLE_COEFFICIENTS
from capsafe_core.ui import screen
from capsafe_core.ui.drawn import drawn
from capsafe_core.ui.heads import AGREEMENT, CORRECTION
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.ui.tables import show_table


def splits(view: View, table: pd.DataFrame) -> str | None:
    """On how many coherent and incoherent outputs judges split; the kind whose bar was clicked.

    Args:
        table: as `splits_table`.
    """
    answer = splits_sentence(table)
    if not answer:
        return None
    st.markdown(f"**{plain_label(answer)}**")
    alt = "Share of coherent and incoherent outputs that split judges"
    kind = screen.chart(drawn(figures.split_bars, table), "splits", alt)
    screen.caption(
        view,
        "Split: at least one judge says unsafe and one says safe, of outputs with two verdicts or more. "
        "Click a bar to list its outputs",
    )
    screen.table_below(table, "splits", "detector")
    return kind


def details(view: View) -> dict[str, object]:
    """Agreement by stratum, judges against people, two scores beside each other, the text map; what a click
    selects."""
    picked = _pairs(view)
    _all_judges(view)
    _ordered(view)
    _against_people(view)
    _scores(view)
    _map(view)
    return picked


def _pairs(view: View) -> dict[str, object]:
    """A square of coefficients for each chosen kind of response; the outputs of the pair that was clicked."""
    st.subheader("How well do pairs of judges agree?", anchor=False)
    name = (
        st.segmented_control("Coefficient", TABLE_COEFFICIENTS, default="kappa", key="coefficient") or "kappa"
    )
    table = screen.remembered(view, f"agreement {name}", lambda: agreement_intervals(view, name))
    if table.empty:
        st.text("Agreement needs two judges that have seen the same responses.")
    strata = [s for s in (*GROUPS, DIFFERENCE) if s in set(table["stratum"])]
    shown = [s for s in ("coherent", "incoherent", DIFFERENCE) if s in strata]
    picked: dict[str, object] = {}
    for stratum in st.multiselect(
        "Kinds of response", strata, shown, format_func=visible, key="strata-shown"
    ):
        pair = screen.chart(
            agreement_squares(table, stratum, name),
            f"agreement-{stratum}",
            f"{name} of judge pairs, {stratum}",
        )
        if pair:
            one, two = split_names(pair)
            members = tuple(STRATA[place] for place in GROUPS.get(stratum, (0,)))
            picked = {
                "pattern": vote_pattern({one: f"~{two}"}),
                "strata": members if len(members) < len(STRATA) else (),
            }
    screen.caption(
        view,
        f"{name.capitalize()} of each pair of judges with a 95% interval on hover; — where it is not "
        "defined because a judge gives one label only",
    )
    screen.table_below(table, "agreement", "coefficients", "strata", heads=AGREEMENT)
    return picked


def _all_judges(view: View) -> None:
    overall = screen.remembered(view, "agreement overall", lambda: all_judges_table(view))
    if len(overall):
        show_table(overall, AGREEMENT)
    screen.table_below(
        overall, "agreement-of-all-judges", "coefficients", "counted", "strata", "cochran", heads=AGREEMENT
    )


def _against_people(view: View) -> None:
    st.subheader("Judges against people", anchor=False)
    try:
        corrections = correction_table(view)
        show_table(corrections[list(CORRECTION)], CORRECTION)
        screen.caption(view, "By kind of response; rates corrected with human labels")
        screen.table_below(corrections, "correction", "people", "correction", heads=CORRECTION)
    except CapsafeError as error:
        st.text(visible(f"{error.message} {error.hint}"))


def _scores(view: View) -> None:
    scores = screen.remembered(view, "scores", lambda: scores_table(view))
    if scores.empty:
        return
    st.subheader("Scores of two judges", anchor=False)
    screen.chart(
        figures.scores_beside(scores), "scores", "Scores of two judges, binned, with their thresholds"
    )
    screen.caption(view, "Squares: outputs; dashed: each judge's threshold")
    screen.table_below(scores, "scores")


def _map(view: View) -> None:
    """The answers by their words; a click opens one."""
    st.subheader("A map of the responses", anchor=False)
    places = screen.remembered(view, "map", lambda: text_map(view))
    point = (
        screen.chart(figures.text_map(places, view.outcome_words), "map", "Responses laid out by their words")
        if len(places)
        else None
    )
    screen.caption(view, "The axes mean nothing; neighbours share words. Dark rim: judges are split")
    screen.table_below(places, "text-map", "map")
    if point:
        screen.open_output(point)


def _ordered(view: View) -> None:
    """Agreement on labels in order, and of all judges at each checkpoint."""
    ordered = screen.remembered(view, "agreement ordered", lambda: ordered_table(view))
    if len(ordered):
        st.subheader("Ordered labels", anchor=False)
        show_table(ordered, AGREEMENT)
        screen.caption(view, "Refusal: none, partial, full. With two labels the weights change nothing")
        screen.table_below(ordered, "agreement-ordered", "ordered", heads=AGREEMENT)
    each = screen.remembered(view, "agreement by checkpoint", lambda: checkpoints_table(view))
    if len(each):
        st.subheader("Agreement of all judges at each checkpoint", anchor=False)
        show_table(each.drop(columns="checkpoint_id"), AGREEMENT)
        screen.caption(view, "A dash: not defined")
        screen.table_below(
            each, "agreement-by-checkpoint", "coefficients", "counted", "ordered", heads=AGREEMENT
        )


def along_training(view: View) -> str | None:
    """Each judge's unsafe rate along training; the checkpoint and judge of a click."""
    st.subheader("Along training", anchor=False)
    along = screen.remembered(view, "along", lambda: judges_along_table(view))
    if along.empty:
        st.text("No checkpoint of a training path has verdicts here.")
        return None
    few, which = first_of(along, ["recipe", "seed"], "runs")
    place = screen.chart(
        drawn(judges_along, few),
        "along",
        "Each judge's unsafe rate along training, with the incoherent share below",
    )
    screen.caption(
        view,
        f"{which}As judged. Strip: percentage of incoherent responses. "
        "See whether the lines spread where it is high",
    )
    screen.table_below(along, "judges-along-training", "unsafe rate", "wilson")
    return place
