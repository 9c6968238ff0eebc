"""The detector that learns incoherence from people's labels: how good it is, and training it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from capsafe_core.analysis.people import correction_table
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.new_run import train_detector
from capsafe_core.jobs.record_job import recorded_study
from capsafe_core.jobs.supervisor import Queue
from capsafe_core.store.labels import labelled_answers, newest_rater
from capsafe_core.ui import screen
from capsafe_core.ui.acting import noted
from capsafe_core.ui.heads import CORRECTION
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.ui.tables import show_table
from capsafe_core.workspace.owner import Owner

NAME = "coherence-learnt"


def show(view: View, owner: Owner) -> None:
    """What was learnt, how well it foretells people on prompts it has not seen, and the rules beside it."""
    known = newest_rater(view.store, NAME)
    if known is None:
        _describe_need(view)
    else:
        _describe(known)
    if st.button(
        "Train on the current labels" if known is None else "Retrain on all labels",
        icon=":material/model_training:",
    ):
        _train(view, owner)
    _against_people(view)


def _describe_need(view: View) -> None:
    """How many labels it takes, and how many there are."""
    labelled = screen.remembered(
        view, "labelled answers", lambda: len(labelled_answers(view.store, view.study.name))
    )
    st.info(
        plain_label(
            f"The detector has not been trained yet. It takes 40 responses on whose coherence people "
            f"agree, ten of each kind; {labelled} have such a label."
        )
    )


def _describe(known: Mapping[str, Any]) -> None:
    """What the newest version is worth.

    Args:
        known: as `newest_rater`.
    """
    held = known["settings"]["fitted"]["held_out"]
    st.markdown(
        f"**Version {plain_label(known['version'])}: on prompts it had not seen it finds "
        f"{held['recall']:.0%} of the incoherent responses, and {held['precision']:.0%} of what it calls "
        "incoherent is.**"
    )
    st.text(
        visible(
            f"Learnt from {held['n']} labels, {held['incoherent']} incoherent. Cross-validated by "
            f"prompt: AUC {held['auc']:.2f}, kappa {held['kappa']:.2f}, Brier {held['brier']:.3f}, "
            f"calibration error {held['calibration']:.3f}. It {known['stance']}. Choose it as the "
            "source of coherence in a study's primary specification, or compare it below."
        )
    )


def _train(view: View, owner: Owner) -> None:
    with noted("train detector", study=view.study.name), st.spinner("Training …"):
        study, text = recorded_study(owner.settings.jobs_path, view.study.name)
        job = train_detector(
            owner.settings.jobs_path,
            study,
            text,
            labelled_answers(view.store, view.study.name),
            owner.settings,
        )
        Queue(owner.settings).add(job)
    st.success("Learnt. It is looking at every output of the study now; the Runs page shows how far it is.")


def _against_people(view: View) -> None:
    """Every detector against people; nothing where nobody labelled at random."""
    try:
        table = screen.remembered(view, "correct coherence", lambda: correction_table(view, "coherence"))
    except CapsafeError:
        return
    st.markdown("**Detectors against people, on labels drawn at random**")
    st.caption(
        "Labels that taught the learnt one are among them, so its figures here are too good; those above "
        "are of held-out prompts."
    )
    show_table(table[list(CORRECTION)], CORRECTION, width="stretch")
    screen.table_below(
        table, "detectors-against-people", "people", "correction", "detector", heads=CORRECTION
    )
