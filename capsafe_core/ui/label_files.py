"""Labels as files: taking them out, and bringing in those made elsewhere."""

from __future__ import annotations

import streamlit as st

from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.labelling.formats import FORMATS, write_labels
from capsafe_core.store.label_rows import label_rows
from capsafe_core.ui.acting import noted
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.workspace.owner import Owner

FORMAT_WORDS = {"jsonl": "JSONL", "csv": "CSV", "label-studio": "Label Studio", "argilla": "Argilla"}
ENDINGS = {"jsonl": "jsonl", "csv": "csv", "label-studio": "json", "argilla": "json"}


def show(view: View, owner: Owner) -> None:
    """Export and import."""
    left, right = st.columns(2)
    with left:
        st.markdown("**Export labels**")
        queues = {"": "Every label", **{q.queue: q.name for q in owner.desk.queues()}}
        queue = st.selectbox(
            "What",
            list(queues),
            format_func=lambda q: (
                visible(queues[q]) if not q else f"{visible(queues[q])}, with what is not labelled yet"
            ),
        )
        form = (
            st.segmented_control("Format", FORMATS, default="jsonl", format_func=FORMAT_WORDS.__getitem__)
            or "jsonl"
        )
        if st.button("Prepare the file"):
            with noted("take labels out", queue=queue, form=form):
                rows = label_rows(view.store, queue)
            st.download_button(
                f"Download {len(rows)} rows",
                write_labels(rows, form).encode("utf-8", "replace"),
                f"labels-{form}.{ENDINGS[form]}",
                key="take-out",
            )
        st.caption(
            "Label Studio and Argilla: the file holds prompt, answer and the chance of each output, so that "
            "labels made there count when they come back."
        )
    with right:
        st.markdown("**Import labels**")
        file = st.file_uploader(
            "JSONL, CSV, or an export of Label Studio or Argilla", type=["jsonl", "json", "csv"]
        )
        if file is not None and st.button("Import these labels"):
            try:
                text = file.getvalue().decode("utf-8")
            except UnicodeDecodeError as error:
                raise CapsafeError(
                    f"{visible(file.name)} is not UTF-8.", "Save it as UTF-8 and try again."
                ) from error
            with noted("bring labels in", name=file.name) as person:
                found = owner.desk.bring_in(person, text, file.name)
            st.success(plain_label(found.words))
            for problem in found.problems[:20]:
                st.text(visible(problem))
            if len(found.problems) > 20:
                st.text(f"and {len(found.problems) - 20} more that could not be used")
