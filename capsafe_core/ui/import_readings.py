"""What the judges' values say, as a form: what formats state is ticked, guesses are accepted."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import streamlit as st

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.looking import Survey, reading_values, values_words
from capsafe_core.mapping import Reading
from capsafe_core.records import DIMENSIONS
from capsafe_core.ui.safe_text import plain_label, show_raw, visible


def edited_readings(survey: Survey) -> tuple[Reading, ...]:
    """What each judge's values say, as it is stated or accepted."""
    st.markdown("**How should judge scores be read?**")
    if not survey.mapping.judges and not survey.unread:
        st.text("The logs hold no verdicts.")
        return ()
    accepted = _accepted(survey)
    rows = [
        _judge_row(r, accepted or i not in survey.guesses, reading_values(survey, r))
        for i, r in enumerate(survey.mapping.judges)
    ]
    rows += [_unread_row(h) for h in survey.unread]
    st.caption(
        "Ticked: the format itself states it, or you accepted it. The others are guesses or open: a scale "
        "and a direction count only once you state them here. Labels as value=label; or a threshold from "
        "which on it is unsafe, a refusal, incoherent or correct."
    )
    edited = st.data_editor(
        pd.DataFrame(rows),
        hide_index=True,
        width="stretch",
        disabled=["in the logs", "values"],
        column_config={
            "take": st.column_config.CheckboxColumn(width="small"),
            "dimension": st.column_config.SelectboxColumn(options=list(DIMENSIONS), required=True),
            "direction": st.column_config.SelectboxColumn(options=["from", "below"], required=True),
        },
        key=f"judges-{survey.words}-{accepted}",
    )
    taken = tuple(_reading(row) for row in edited.to_dict("records") if row["take"])
    left = len(rows) - len(taken)
    if left:
        st.warning(
            f"{left} of {len(rows)} judges' scores will not be imported. Accept or state their mapping above "
            "to include them."
        )
    return taken


def _accepted(survey: Survey) -> bool:
    """Whether all guesses are accepted: one button, with the list of what it accepts."""
    if not survey.guesses:
        return False
    key = f"accepted-{survey.words}"
    guesses = [survey.mapping.judges[i] for i in survey.guesses]
    lines = [
        f"{r.by}{f' on {r.benchmark}' if r.benchmark else ''}: {r.dimension}, {r.words}" for r in guesses
    ]
    if not st.session_state.get(key):
        show_raw("\n".join(lines[:60]))
        label = "the reading" if len(guesses) == 1 else f"all {len(guesses)} readings"
        if st.button(plain_label(f"Accept {label}"), icon=":material/done_all:"):
            st.session_state[key] = True
            st.rerun()
    return bool(st.session_state.get(key))


def _judge_row(r: Reading, stated: bool, values: dict[str, int]) -> dict[str, Any]:
    return {
        "take": stated,
        "in the logs": r.by + (f" on {r.benchmark}" if r.benchmark else ""),
        "values": _values(values),
        "here": r.name,
        "dimension": r.dimension,
        "labels": ", ".join(f"{k}={v}" for k, v in r.labels.items()),
        "cutoff": r.cutoff,
        "direction": r.direction,
        "person": r.person,
        "by": r.by,
        "benchmark": r.benchmark,
        "low": r.scale[0] if r.scale else None,
        "high": r.scale[1] if r.scale else None,
    }


def _unread_row(h: dict[str, Any]) -> dict[str, Any]:
    return {
        "take": False,
        "in the logs": f"{h['by']} on {h['benchmark']}",
        "values": _values(h["values"]),
        "here": re.sub(r"[^\w.+-]+", "-", h["by"]),
        "dimension": "safety",
        "labels": "",
        "cutoff": None,
        "direction": "from",
        "person": h["person"],
        "by": h["by"],
        "benchmark": h["benchmark"],
        "low": None,
        "high": None,
    }


def _values(values: dict[str, int]) -> str:
    return visible(values_words(values)) or "none"


def _reading(row: dict[Any, Any]) -> Reading:
    """A row of the editor as a reading.

    Raises:
        CapsafeError: it states neither labels nor a cut-off, or labels that do not exist.
    """

    def given(key: str) -> float | None:
        return None if pd.isna(row[key]) else float(row[key])

    pairs = [part.partition("=") for part in str(row["labels"] or "").split(",") if part.strip()]
    low, high = given("low"), given("high")
    try:
        return Reading(
            by=row["by"],
            benchmark=row["benchmark"],
            name=str(row["here"]).strip(),
            dimension=row["dimension"],
            labels={k.strip(): v.strip() for k, _, v in pairs},
            cutoff=given("cutoff"),
            direction=row["direction"],
            person=bool(row["person"]),
            scale=None if low is None or high is None else (low, high),
        )
    except ValueError as error:
        raise CapsafeError(
            f"{row['in the logs']}: "
            + str(error).splitlines()[-2].strip().removeprefix("Value error, ").split(" [type")[0]
            + ".",
            "Fix its row, or clear its tick.",
        ) from error
