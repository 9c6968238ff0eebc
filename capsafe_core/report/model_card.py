"""What to put beside published weights on a model hub: a section of the model card for each recipe, and for
each checkpoint entries of `.eval_results`, in the form that `huggingface_hub` 2.4 writes.

An entry belongs to a benchmark that is a data set of the hub, so there is one only where the study says
`source = "hub:OWNER/NAME"`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from capsafe_core import __version__
from capsafe_core.analysis.columns import records
from capsafe_core.analysis.methods import METHODS
from capsafe_core.analysis.number_words import hundredths, interval_words
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.rates import every_rate
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.records import digest_text
from capsafe_core.report.basis import basis, outputs_words, overview_of, state_words
from capsafe_core.text import markdown_text, visible

HUB = "hub:"
TASK = "default"
"""the task of an entry: which ones a benchmark has, its own `eval.yaml` on the hub says"""
_METRICS = {"safety": "unsafe rate", "refusal": "refusal rate", "correctness": "accuracy"}
"""dimension -> what its rate is"""


def model_cards_into(view: View, folder: Path) -> list[Path]:
    """Write RECIPE/model-card-section.md, and RECIPE/seed-S-step-N/.eval_results/*.yaml.

    Returns:
        The files.

    Raises:
        CapsafeError: the study has no checkpoint that was fine-tuned.
    """
    paths = path_table(view)
    tuned = paths[paths["step"] > 0]
    if tuned.empty:
        raise CapsafeError(
            "The study has no fine-tuned checkpoint with outputs.", "The Runs page shows what is missing."
        )
    rates = every_rate(view)
    made = []
    for recipe, rows in tuned.groupby("recipe", sort=False):
        place = folder / _plain(str(recipe))
        made.append(_written(place / "model-card-section.md", _section(view, str(recipe), paths)))
        for row in records(rows):
            where = place / f"seed-{row['seed']}-step-{row['step']}" / ".eval_results"
            mine = rates[rates["checkpoint_id"] == row["checkpoint_id"]]
            made += [_written(where / name, text) for name, text in _entries(view, mine)]
    return made


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "replace"))
    return path


def _plain(name: str) -> str:
    """A name as one part of a path; another name is another part."""
    plain = re.sub(r"[^A-Za-z0-9_+-]+|^-+", "_", name)[:80]
    return plain if plain == name else f"{plain}-{digest_text(name)[:6]}"


def _section(view: View, recipe: str, paths: pd.DataFrame) -> str:
    """The section of a recipe's model card."""
    mine = paths[paths["recipe"] == recipe].sort_values(["seed", "step"])
    try:
        headline = overview_of(view, recipe).headline
    except CapsafeError as error:
        headline = error.message
    rests_on = basis(
        view, outputs_words(mine["unsafe_n"], view.specification.benchmark), state_words(view, recipe)
    )
    lines = [
        "## Safety at the capability goal",
        "",
        markdown_text(headline),
        "",
        "| | |",
        "|---|---|",
        *(f"| {label} | {markdown_text(words)} |" for label, words in rests_on),
        f"| Specification | {markdown_text(view.specification_words())} |",
        "",
        "| seed | step | accuracy, % (95% CI) | unsafe rate, % (95% CI) | n | incoherent, % |",
        "|---|---|---|---|---|---|",
        *(_row(row) for row in records(mine)),
        "",
        *(line for name in ("crossing", "wilson") for line in (markdown_text(METHODS[name]), "")),
        f"Made with capsafe {__version__}. Seeds and checkpoints beside these can differ.",
        "",
    ]
    return "\n".join(lines)


def _row(row: dict[str, Any]) -> str:
    parts = [
        _share(row["capability"], row["capability_low"], row["capability_high"]),
        _share(row["unsafe"], row["unsafe_low"], row["unsafe_high"]),
        "–" if pd.isna(row["unsafe_n"]) else f"{int(row['unsafe_n']):,}",
        _share(row["incoherent"]),
    ]
    step = "start" if row["step"] == 0 else row["step"]
    return f"| {row['seed']} | {step} | {' | '.join(parts)} |"


def _share(rate: float, low: float | None = None, high: float | None = None) -> str:
    if pd.isna(rate):
        return "–"
    span = ""
    if low is not None and high is not None and not (pd.isna(low) or pd.isna(high)):
        span = f" ({hundredths(low)}–{hundredths(high)})"
    return f"{100 * rate:.1f}{span}"


def _entries(view: View, rates: pd.DataFrame) -> list[tuple[str, str]]:
    """A file for each benchmark of the hub and judge: scores of one benchmark that differ in how they came
    about stand in files of their own."""
    hub = {b.name: b.source.removeprefix(HUB) for b in view.study.benchmarks if b.source.startswith(HUB)}
    known = rates[
        rates["benchmark"].isin(list(hub)) & rates["dimension"].isin(list(_METRICS)) & rates["n"].gt(0)
    ]
    revisions = {b.name: str(b.config.get("revision", "")) for b in view.study.benchmarks}
    return [
        (
            "-".join(_plain(str(part)) for part in (*row[["benchmark", "judge", "dimension"]], i)) + ".yaml",
            eval_result(
                hub[row["benchmark"]],
                revisions[row["benchmark"]],
                float(row["rate"]),
                _notes(view, row),
            ),
        )
        for i, (_, row) in enumerate(known.iterrows())
    ]


def _notes(view: View, row: pd.Series) -> str:
    spec = view.specification
    counted = (
        f"; incoherent responses {spec.policy.words} (by {spec.coherence})"
        if row["dimension"] == "safety"
        else ""
    )
    span = "" if pd.isna(row["low"]) else f", 95% CI {interval_words(row['low'], row['high'])}"
    under = f"; {row['condition']}" if row["condition"] else ""
    measured = f"{_METRICS[row['dimension']]} (a share of 1) by {row['judge']}"
    return f"{measured}{counted}; n = {int(row['n']):,}{span}{under}"


def eval_result(dataset: str, revision: str, value: float, notes: str) -> str:
    """One entry as YAML; texts are quoted as JSON does, which YAML reads."""
    lines: Sequence[str] = [
        "- dataset:",
        f"    id: {_quoted(dataset)}",
        f"    task_id: {_quoted(TASK)}",
        *([f"    revision: {_quoted(revision)}"] if revision else []),
        f"  value: {value:.6f}",  # an exponent without a point would be a text
        f"  notes: {_quoted(notes)}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(visible(text), ensure_ascii=False)
