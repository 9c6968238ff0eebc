"""Taking data out: the store, its tables, a study."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

import streamlit as st

from capsafe_core.analysis.view import list_studies
from capsafe_core.errors import CapsafeError
from capsafe_core.folders import regular_files
from capsafe_core.ui import screen
from capsafe_core.ui.acting import actor
from capsafe_core.ui.safe_text import visible
from capsafe_core.workspace.actions import act
from capsafe_core.workspace.owner import Owner

WORDS = {
    "bundle": "A study that another machine opens: data, study file and versions",
    "every-eval-ever": "A study as Every Eval Ever 0.3.0 records, with its samples",
    "model-card": "A section for each recipe's model card, and .eval_results for its checkpoints",
    "parquet": "Every table as Parquet",
    "csv": "Every table as CSV",
    "snapshot": "The whole store as a DuckDB file, for notebooks",
}
LARGEST = 200 << 20
"""bytes that are offered for download; what is larger stays in the exports folder"""


def show(owner: Owner) -> None:
    """What can be taken out, and what was."""
    studies = list_studies(owner.store)
    if not studies:
        st.info("There is nothing to export yet.")
        return
    form = st.radio("What", list(WORDS), format_func=lambda f: WORDS[f])
    study = (
        st.selectbox("Study", studies, format_func=visible, width=320)
        if form in ("bundle", "every-eval-ever", "model-card")
        else ""
    )
    texts = (
        st.toggle("With the models' responses", True, help="Responses to harmful requests are among them.")
        if form == "every-eval-ever"
        else True
    )
    if st.button("Prepare the export", type="primary", icon=":material/output:"):
        try:
            ending = {"bundle": ".zip", "snapshot": ".duckdb"}.get(form, "")
            name = f"{study or 'store'}-{form}-{time.strftime('%Y%m%d-%H%M%S')}{ending}"
            st.session_state["exported"] = act(
                owner.desk, "export", actor(), {"form": form, "name": name, "study": study, "texts": texts}
            )["path"]
        except CapsafeError as error:
            screen.show_error(error)
    path = Path(st.session_state["exported"]) if "exported" in st.session_state else None
    if path is not None and path.exists():
        files = regular_files(path).paths if path.is_dir() else [path]
        size = sum(f.stat().st_size for f in files)
        st.text(visible(f"{path}: {len(files)} files, {size / 1e6:.1f} MB"))
        if size <= LARGEST:
            name = path.name + (".zip" if path.is_dir() else "")
            st.download_button(
                "Download", lambda: _bytes(path, files), name, icon=":material/download:", on_click="ignore"
            )
        else:
            st.caption("It is too large to be sent through the browser; it lies in the exports folder.")


def _bytes(path: Path, files: list[Path]) -> bytes:
    if not path.is_dir():
        return path.read_bytes()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(path.parent))
    return stream.getvalue()
