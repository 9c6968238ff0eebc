"""What a study's fine-tuning learns, conversation by conversation, before it starts."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from capsafe_core import catalogue
from capsafe_core.analysis.view import View
from capsafe_core.jobs.folder.rewrites import Rewrite, rewrites_words
from capsafe_core.jobs.folder.work import FinetuneWork
from capsafe_core.jobs.foreign import foreign_studies
from capsafe_core.jobs.new_run import planned
from capsafe_core.jobs.previewing import Learnt, last_preview, learnt_of, preview_job, rewrites_of
from capsafe_core.jobs.supervisor import Queue
from capsafe_core.settings import Settings
from capsafe_core.ui import screen
from capsafe_core.ui.acting import noted
from capsafe_core.ui.safe_text import plain_label, show_answer, visible

SHOWN = 10
"""rewritten answers of each training, spread over it"""
ENDED = ("failed", "lost", "partial", "stopped")
"""states of a look that brings nothing more"""


def is_trained_here(view: View, settings: Settings) -> bool:
    """Whether a study learns from data here, so that there is something to look at."""
    trains = any(recipe.is_trained for recipe in view.study.recipes) and not view.study.is_imported
    return trains and view.study.name not in foreign_studies(settings.jobs_path)


def show(view: View, settings: Settings) -> None:
    """The data sets that a study learns from."""
    st.caption(
        "Ten conversations of each data set, spread over it, as the model's chat template writes them. "
        "Marked: what carries loss. The rest is read and not learnt."
    )
    if st.button("Show what is learnt", icon=":material/school:"):
        with screen.told(), noted("show what is learnt", study=view.study.name):
            graph = planned(settings.jobs_path, view.study)
            Queue(settings).add(preview_job(settings.jobs_path, view.study.name, graph))
    methods = catalogue.mitigations()
    names = [
        r.name for r in view.study.recipes if methods.get(r.mitigation or "", {}).get("when") == "before"
    ]
    if names:
        st.caption(
            f"For {plain_label(', '.join(names))} the start rewrites the answers before training; what it "
            "made of them is shown here as soon as that has begun."
        )
    job = last_preview(settings.jobs_path, view.study.name)
    waits = job is not None and learnt_of(job) is None and job.status().state not in ENDED
    st.fragment(_seen, run_every=2.0 if waits else None)(view.study.name, settings)


def _seen(study: str, settings: Settings) -> None:
    """What the last look saw, as soon as it has, and what starts rewrote."""
    job = last_preview(settings.jobs_path, study)
    found = None if job is None else learnt_of(job)
    if job is not None and found is None:
        status = job.status()
        failed = status.state in ENDED
        waits = "Waiting for its turn to look …" if status.state == "waiting" else "Looking …"
        st.text(visible(f"Not looked at: {status.message} {status.hint}".strip()) if failed else waits)
    rewritten = list(rewrites_of(settings.jobs_path, study))
    if found is None and not rewritten:
        return
    shown = screen.texts_shown()
    for learnt in found or ():
        _looked_at(learnt, shown)
    for by, rewrites in rewritten:
        path = by.manifest.asks(FinetuneWork).path
        st.text(visible(f"{path.recipe}, seed {path.seed}. {rewrites_words(rewrites)}"))
        _rewritten(rewrites[:: max(1, len(rewrites) // SHOWN)][:SHOWN], shown)


def _looked_at(learnt: Learnt, shown: bool) -> None:
    if learnt.can_be_learnt:
        st.text(visible(learnt.words))
    else:
        st.warning(plain_label(learnt.words))
    for tab, example in zip(_tabs(learnt), learnt.examples, strict=True):
        with tab:
            show_answer(*_marked(example["pieces"]), blurred=not shown)
            if example["was_cut"]:
                st.caption(f"Truncated at {learnt.max_length:,} tokens.")


def _rewritten(rewrites: Sequence[Rewrite], shown: bool) -> None:
    """Rewritten answers beside their originals."""
    for tab, one in zip(st.tabs([str(one.conversation + 1) for one in rewrites]), rewrites, strict=True):
        with tab:
            for heading, text in (("Original", one.original), ("Rewritten", one.text)):
                st.caption(heading)
                show_answer(text, blurred=not shown)
            if one.why_not:
                st.caption(plain_label(f"The original is learnt: {one.why_not}."))


def _tabs(learnt: Learnt) -> list[st.delta_generator.DeltaGenerator]:
    """A tab for each example; none where there are none."""
    names = [str(example["place"]) for example in learnt.examples]
    return list(st.tabs(names)) if names else []


def _marked(pieces: list[tuple[str, bool]]) -> tuple[str, list[dict[str, object]]]:
    """The text of an example, and the spans of what is learnt."""
    text, spans = "", list[dict[str, object]]()
    for piece, learnt in pieces:
        if learnt:
            spans.append({"reason": "learnt", "start": len(text), "end": len(text) + len(piece)})
        text += piece
    return text, spans
