"""What logs are about, as a form: checkpoints and their places, benchmarks, columns of tables, conflicts."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from capsafe_core.checkpoint_places import path_facts
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.importing import slug
from capsafe_core.jobs.looking import Survey, conflict_words, unknown_words
from capsafe_core.mapping import ImportMapping, parse_mapping
from capsafe_core.records import KINDS, UNKNOWN_KIND
from capsafe_core.ui import screen
from capsafe_core.ui.safe_text import plain_label
from capsafe_core.ui.tables import show_table

PATHS = 200
"""paths in the preview of the pattern"""
RULES = {"": "neither", "first": "what was read first", "last": "what was read last"}


def edited_mapping(survey: Survey) -> ImportMapping:
    """Where checkpoint, step and seed stand in the paths; other names of checkpoints; benchmarks; columns of
    tables; what counts where files differ."""
    mapping = survey.mapping
    st.markdown("**Which checkpoint is each log about?**")
    changed = _pattern(survey, mapping)
    left, right = st.columns(2)
    with left:
        aliases = _aliases(survey, changed)
        places = _places(survey, changed)
    with right:
        benchmarks = _benchmarks(survey, changed)
    return ImportMapping.model_validate(
        {
            **changed.model_dump(),
            "aliases": aliases,
            "places": places,
            "benchmarks": {**changed.model_dump()["benchmarks"], **benchmarks},
            "columns": _columns(survey, changed),
            "conflicts": _conflicts(survey),
        }
    )


def _pattern(survey: Survey, mapping: ImportMapping) -> ImportMapping:
    with st.container(horizontal=True):
        name = slug(st.text_input("Study", mapping.name, width=240, key=f"study-{mapping.name}"))
        pattern = st.text_input(
            "Pattern of the paths",
            mapping.pattern,
            placeholder="{base}-{data}-s{seed}/checkpoint-{step}",
            help="Names stand for a part of the path: base, data, method, recipe, seed, step, model, "
            "benchmark, attack, judge. * stands for anything. Empty: the model's name in the file counts.",
            width=520,
            key=f"pattern-{mapping.pattern}",
        )
    try:
        changed = parse_mapping(
            mapping.model_copy(update={"pattern": pattern, "name": name}).to_toml(), "The pattern"
        )
    except CapsafeError as error:
        screen.show_error(error)
        changed = mapping
    if changed.pattern:
        rows = [
            {"path": f["relative"], **path_facts(changed.pattern, f["relative"])}
            for f in survey.files[:PATHS]
        ]
        fits = sum(len(row) > 1 for row in rows)
        st.caption(plain_label(f"{fits} of {len(rows)} paths fit this pattern."))
        show_table(pd.DataFrame(rows), width="stretch", height=min(220, 40 + 35 * len(rows)))
    return changed


def _aliases(survey: Survey, changed: ImportMapping) -> dict[str, str]:
    names = sorted({log["model"] or log["first"] for log in survey.logs if log["outputs"]})
    title = "Names of checkpoints: give two names the same one where they mean the same weights"
    with st.expander(title, expanded=bool(changed.aliases)):
        frame = pd.DataFrame({"in the logs": names, "here": [changed.aliases.get(n, n) for n in names]})
        edited = st.data_editor(
            frame, hide_index=True, disabled=["in the logs"], key=f"aliases-{survey.words}"
        )
    return {
        str(a): str(b).strip()
        for a, b in zip(edited["in the logs"], edited["here"], strict=True)
        if str(b).strip() and a != b
    }


def _places(survey: Survey, changed: ImportMapping) -> dict[str, int]:
    """Words that stand where a step is expected; those without a step are asked once."""
    labels = list(dict.fromkeys([*changed.places, *survey.unplaced_steps]))
    if not labels:
        return dict(changed.places)
    with st.expander("Places on a path: which step is each?", expanded=True):
        if survey.unplaced_steps:
            st.warning(plain_label(f"Without a step, and left out: {', '.join(survey.unplaced_steps[:20])}."))
        frame = pd.DataFrame(
            {"in the logs": labels, "step": pd.array([changed.places.get(x) for x in labels], dtype="Int64")}
        )
        edited = st.data_editor(
            frame, hide_index=True, disabled=["in the logs"], key=f"places-{survey.words}"
        )
    return {
        str(label): int(step)
        for label, step in zip(edited["in the logs"], edited["step"], strict=True)
        if not pd.isna(step)
    }


def _benchmarks(survey: Survey, changed: ImportMapping) -> dict[str, dict[str, Any]]:
    used = {log["benchmark"] for log in survey.logs}
    benchmarks = {name: reading for name, reading in changed.benchmarks.items() if name in used}
    with st.expander("Benchmarks: what each measures", expanded=True):
        unknown = unknown_words(survey)
        if unknown:
            st.warning(plain_label(unknown))
        frame = pd.DataFrame(
            {
                "in the logs": list(benchmarks),
                "here": [b.name for b in benchmarks.values()],
                "measures": [b.kind for b in benchmarks.values()],
            }
        )
        options = [*KINDS, UNKNOWN_KIND]
        edited = st.data_editor(
            frame,
            hide_index=True,
            disabled=["in the logs"],
            column_config={"measures": st.column_config.SelectboxColumn(options=options, required=True)},
            key=f"benchmarks-{survey.words}",
        )
    return {
        str(n): {"name": str(h).strip() or str(n), "kind": k} for n, h, k in edited.itertuples(index=False)
    }


def _columns(survey: Survey, changed: ImportMapping) -> dict[str, str]:
    """What every column of the tables became, and where that is wrong."""
    columns = dict(changed.columns)
    if not any(f["tool"] == "table" for f in survey.files):
        return columns
    with st.expander("Columns of tables: what each is taken to be", expanded=True):
        if survey.columns:
            shown = pd.DataFrame(survey.columns)[["column", "use", "files", "first"]]
            shown = shown.rename(columns={"use": "is taken to be", "first": "first in"})
            show_table(shown, width="stretch", height=min(300, 40 + 35 * len(shown)))
        st.caption("Where that is wrong, state the column of a field here.")
        frame = pd.DataFrame({"field": list(columns), "column": list(columns.values())}, dtype=object)
        edited = st.data_editor(frame, hide_index=True, num_rows="dynamic", key=f"columns-{survey.words}")
    return {str(f).strip(): str(c).strip() for f, c in edited.dropna().itertuples(index=False)}


def _conflicts(survey: Survey) -> str:
    """What counts where files say different things."""
    rule = survey.mapping.conflicts
    if not survey.conflicts:
        return rule
    st.markdown("**Which of two conflicting statements counts?**")
    chosen = st.radio(
        "Where logs disagree about an output or number",
        list(RULES),
        index=list(RULES).index(rule),
        format_func=RULES.__getitem__,
        horizontal=True,
        key=f"conflicts-{survey.words}",
    )
    st.warning(plain_label(conflict_words(survey, str(chosen or ""))))
    return str(chosen or "")
