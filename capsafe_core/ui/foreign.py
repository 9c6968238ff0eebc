"""Studies that came from elsewhere: what they would use, and their adoption."""

from __future__ import annotations

from functools import partial

import streamlit as st

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.foreign import adopt, foreign_folders, foreign_studies
from capsafe_core.jobs.permission import foreign_uses
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.overlap import overlap
from capsafe_core.ui import screen
from capsafe_core.ui.acting import noted
from capsafe_core.ui.safe_text import plain_label, show_raw, visible


def show(store: Store, settings: Settings) -> None:
    """One card for each foreign study that nobody has adopted; nothing where there is none."""
    if said := st.session_state.pop("not-adopted", ""):
        st.warning(plain_label(said))
    for study in foreign_studies(settings.jobs_path):
        with st.container(border=True):
            st.text(
                visible(
                    f"The study {study} came from elsewhere. Its facts can be explored; nothing of it runs "
                    "until you adopt it."
                )
            )
            jobs = [folder.name for folder in foreign_folders(settings.jobs_path, study)]
            look = partial(foreign_uses, settings.jobs_path, study)
            try:
                uses = store.kept(f"uses {study} {jobs}", look)
            except CapsafeError as error:
                screen.show_error(error)
                continue
            show_raw("\n".join(uses.sentences))
            if words := store.kept(f"overlap {study} {jobs}", partial(overlap, store, jobs)).words:
                st.text(visible(words))
            seen = st.checkbox("I have read what it would use, and trust it.", key=f"seen-{study}")
            st.button(
                "Adopt this study",
                icon=":material/verified_user:",
                disabled=not seen,
                key=f"adopt-{study}",
                on_click=_adopt,
                args=(settings, study, uses.sentences),
            )


def _adopt(settings: Settings, study: str, shown: list[str]) -> None:
    """Adopt what was shown; where it has changed meanwhile, it is shown again first."""
    try:
        if foreign_uses(settings.jobs_path, study).sentences == shown:
            with noted("adopt", study=study) as person:
                adopt(settings.jobs_path, study, person.name)
    except CapsafeError as error:
        st.session_state["not-adopted"] = f"{error.message} {error.hint}"
