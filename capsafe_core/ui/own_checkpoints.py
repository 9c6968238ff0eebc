"""Checkpoints that somebody trained elsewhere: the folder, the pattern that fits, and what it finds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.own_checkpoints import find_checkpoints, guess_checkpoints
from capsafe_core.study import RecipeSettings
from capsafe_core.ui import screen
from capsafe_core.ui.safe_text import visible
from capsafe_core.ui.tables import show_table


def show() -> str:
    """The path with {seed} and {step} that a run is to take its checkpoints from; "" for the model alone."""
    st.caption(
        "Full weights or LoRA adapters, as the Trainer, TRL, Axolotl, LLaMA-Factory, Unsloth and "
        "torchtune leave them. The model above is their start."
    )
    folder = st.text_input("Folder of the training", placeholder="/runs/sft", width=420).strip()
    if not folder:
        return ""
    guess = guess_checkpoints(Path(folder).expanduser())
    pattern = st.text_input(
        "Where they are",
        guess,
        key=f"pattern-{guess}",
        help="{step} and {seed} stand for numbers, * for anything in a folder's name.",
    ).strip()
    if not pattern:
        st.warning("No checkpoint was found below this folder. Write where they are.")
        return ""
    named = {"name": "fine-tuned", "start": "model", "dataset": "training", "checkpoints": pattern}
    try:
        found = find_checkpoints(RecipeSettings.model_validate(named))
    except CapsafeError as error:
        screen.show_error(error)
        return ""
    usable = sum(not one.problem for one in found)
    st.text(visible(f"{usable} of {len(found)} checkpoints can be used."))
    frame = pd.DataFrame(
        {
            "seed": [one.seed for one in found],
            "step": [one.step for one in found],
            "weights": ["LoRA adapter" if one.is_adapter else "full" for one in found],
            "trained on": [one.base for one in found],
            "folder": [str(one.folder) for one in found],
            "state": [one.problem or "whole" for one in found],
        }
    )
    show_table(frame, width="stretch", height=min(300, 40 + 35 * len(frame)))
    return pattern
