"""A study as Every Eval Ever 0.3.0 records: for each checkpoint, benchmark, condition and attack an aggregate
file and its samples."""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from pathlib import Path
from typing import Any

import pandas as pd

from capsafe_core import __version__, catalogue, specification
from capsafe_core.analysis.rates import every_rate, has_wilson
from capsafe_core.analysis.sample import RESAMPLES
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.records import digest_text
from capsafe_core.scales import scales
from capsafe_core.specification import Policy
from capsafe_core.store.frames import judgments_frame, outputs_frame

VERSION = "0.3.0"
_MEANS = {
    "safety": ("unsafe_rate", "unsafe", "share of responses that the judge calls unsafe"),
    "refusal": ("refusal_rate", "full", "share of responses that the judge calls a refusal, partial or full"),
    "coherence": ("incoherent_rate", "incoherent", "share of responses that are incoherent"),
    "correctness": ("accuracy", "correct", "share of right answers"),
}
"""dimension -> the metric, its positive label, and what it is"""
WITHHELD = "[withheld]"
WILSON = "Wilson (1927)"
BOOTSTRAP = "percentile bootstrap over behaviours"


def every_eval_ever_into(view: View, folder: Path, texts: bool = True) -> list[Path]:
    """Write a study's cells as records; a cell's samples stand beside its aggregate file.

    Args:
        texts: whether answers are written; else they are withheld, and everything else stays.

    Returns:
        The aggregate files.

    Raises:
        CapsafeError: the study has no outputs.
    """
    outputs = outputs_frame(view.store, view.study.name)
    if outputs.empty:
        raise CapsafeError(
            f"The study {view.study.name!r} has no outputs.", "The Runs page shows what is missing."
        )
    folder.mkdir(parents=True, exist_ok=True)
    judgments = judgments_frame(view.store, view.study.name)
    judgments = judgments[(judgments["status"] == "ok") & judgments["dimension"].isin(list(_MEANS))]
    by_output = {str(g): rows for g, rows in judgments.groupby("generation_id")}
    rates = every_rate(view)
    rates["method"] = has_wilson(rates).map({True: WILSON, False: BOOTSTRAP})
    now = str(int(time.time()))
    made = []
    first = outputs.drop_duplicates("generation_id")
    for cell, rows in first.groupby("cell_id", sort=False):
        mine = rates[
            (rates["cell_id"] == cell) & rates["dimension"].isin(list(_MEANS)) & rates["rate"].notna()
        ]
        if len(mine):
            made.append(_write(view, folder, rows, mine, by_output, now, texts))
    return made


def _write(
    view: View,
    folder: Path,
    rows: pd.DataFrame,
    rates: pd.DataFrame,
    judgments: dict[str, pd.DataFrame],
    now: str,
    texts: bool,
) -> Path:
    """A cell's aggregate file, beside its samples; the same cell has the same files each time."""
    one = rows.iloc[0]
    name = f"{one['recipe']}-s{one['seed']}-step{one['step']}" if one["step"] else str(one["start"])
    model = f"{view.study.name}/{name}"
    evaluation = _evaluation(view, one, rates)
    place = Path("data") / "capsafe" / view.study.name / _plain(name)
    stem = str(uuid.UUID(hex=digest_text(f"{model}/{evaluation}"), version=4))
    run = f"capsafe/{view.study.name}/{_plain(name)}/{_plain(evaluation)}/{now}"
    (folder / place).mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps(line, ensure_ascii=False) + "\n"
        for line in _samples(rows, judgments, run, model, evaluation, texts)
    ]
    samples = "".join(lines).encode("utf-8", "replace")
    (folder / place / f"{stem}_samples.jsonl").write_bytes(samples)
    record = {
        "schema_version": VERSION,
        "evaluation_id": run,
        "retrieved_timestamp": now,
        "source_metadata": {
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "capsafe", "version": __version__},
        "model_info": {"name": name, "id": model, "additional_details": _model_details(view, one)},
        "evaluation_results": [_result(view, row, evaluation, one) for _, row in rates.iterrows()],
    }
    if lines:
        record["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": str(place / f"{stem}_samples.jsonl"),
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(samples).hexdigest(),
            "total_rows": len(lines),
        }
    path = folder / place / f"{stem}.json"
    path.write_text(json.dumps(record, indent=1, allow_nan=False), encoding="utf-8")
    return path


def _evaluation(view: View, one: pd.Series, rates: pd.DataFrame) -> str:
    """What was evaluated: a benchmark, the attack on it, and what was chosen of its conditions."""
    under = str(rates["condition"].iloc[0])
    if f"{specification.VERSION}{one['benchmark']}" in view.alternatives:
        under = ", ".join(filter(None, [f"version {rates['version'].iloc[0]}", under]))
    attack = f"+{one['attack']}" if one["attack"] else ""
    return f"{one['benchmark']}{attack}{f' ({under})' if under else ''}"


def _model_details(view: View, one: pd.Series) -> dict[str, str]:
    """Where a checkpoint comes from; what is not known is left out."""
    details = {
        "deployment_type": "unknown",
        "model_availability": "unknown",
        "study": view.study.name,
        "recipe": one["recipe"],
        "seed": one["seed"],
        "step": one["step"],
        "base": one["start"],
        "data": one["dataset"],
    }
    return {key: str(value) for key, value in details.items() if value not in ("", None)}


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", name)


def _result(view: View, row: pd.Series, evaluation: str, condition: pd.Series) -> dict[str, Any]:
    metric, _, words = _MEANS[row["dimension"]]
    over_refusal = row["kind"] == "over_refusal"
    better_low = row["dimension"] in ("safety", "coherence") or (
        row["dimension"] == "refusal" and over_refusal
    )
    details = {
        "no_verdict": str(int(row["no_verdict"])),
        "outputs": str(int(row["total"])),
        "events": str(int(row["events"])),
    }
    found: dict[str, Any] = {
        "evaluation_result_id": _result_id(evaluation, str(row["judge"]), str(row["dimension"])),
        "evaluation_name": evaluation,
        "source_data": {"dataset_name": row["benchmark"], "source_type": "other"},
        "metric_config": {
            "evaluation_description": f"{words}; judge {row['judge']}",
            "metric_id": metric,
            "metric_name": metric,
            "metric_kind": metric,
            "metric_unit": "proportion",
            "lower_is_better": bool(better_low),
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
            "additional_details": _counting(view, row),
            **_llm_scoring(view, str(row["judge"])),
        },
        "score_details": {"score": float(row["rate"]), "details": details},
    }
    if not pd.isna(row["low"]):
        interval = {
            "lower": float(row["low"]),
            "upper": float(row["high"]),
            "confidence_level": 0.95,
            "method": row["method"],
        }
        resamples = {} if row["method"] == WILSON else {"num_bootstrap_samples": RESAMPLES}
        found["score_details"]["uncertainty"] = {
            "confidence_interval": interval,
            "num_samples": int(row["n"]),
            **resamples,
        }
    known = {"temperature": float(condition["temperature"]), "top_p": float(condition["top_p"])}
    arguments: dict[str, Any] = {name: value for name, value in known.items() if value >= 0}
    if condition["max_tokens"] >= 1:
        arguments["max_tokens"] = int(condition["max_tokens"])
    if arguments:
        found["generation_config"] = {"generation_args": arguments}
    return found


def _counting(view: View, row: pd.Series) -> dict[str, str]:
    """What the rate counts: whose verdicts, from which score on, and how incoherent responses count."""
    spec, judge = view.specification, str(row["judge"])
    is_safety = row["dimension"] == "safety"
    found = {
        "judge": judge,
        "dimension": str(row["dimension"]),
        "incoherent_answers": (spec.policy if is_safety else Policy.AS_JUDGED).words,
        "coherence_by": spec.coherence,
        "truncated_answers": "counted" if spec.truncated else "left out",
    }
    scale = scales().get(judge)
    if scale and is_safety:
        found["threshold"] = scale.words(spec.cutoff if judge == spec.judge else None)
    return found


def _llm_scoring(view: View, judge: str) -> dict[str, Any]:
    """The model and the template of a judge that is a language model; nothing for other judges."""
    entry = catalogue.judges().get(judge, {})
    if entry.get("type") != "language_model":
        return {}
    settings = next((j for j in view.study.judges if j.name == judge), None)
    recorded = settings is None or settings.recorded  # somebody else's log does not say which weights
    model = "" if recorded else str((settings.model if settings else None) or entry.get("model", ""))
    about = {
        "deployment_type": "unknown",
        "model_availability": "open_weights" if model and model == entry.get("model") else "unknown",
    }
    details = {"judge": judge, "template_source": str(entry["source"]), "stance": str(entry["stance"])}
    return {
        "llm_scoring": {
            "judges": [
                {
                    "model_info": {
                        "name": model or judge,
                        "id": model or "unknown",
                        "additional_details": about,
                    },
                    "additional_details": details,
                }
            ],
            "input_prompt": str(entry.get("template") or "the model's own chat template"),
        }
    }


def _result_id(evaluation: str, judge: str, dimension: str) -> str:
    return f"{evaluation}/{judge}/{dimension}"


def _samples(
    rows: pd.DataFrame, judgments: dict[str, pd.DataFrame], run: str, model: str, evaluation: str, texts: bool
) -> list[dict[str, Any]]:
    found = []
    for row in rows.to_dict("records"):
        given = judgments.get(str(row["generation_id"]))
        for judgment in given.to_dict("records") if given is not None else []:
            positive = judgment["label"] == _MEANS[judgment["dimension"]][1] or (
                judgment["dimension"] == "refusal" and judgment["label"] == "partial"
            )
            right = positive == (
                judgment["dimension"] == "correctness"
                or (judgment["dimension"] == "refusal" and row["kind"] == "safety")
            )
            found.append(
                {
                    "schema_version": VERSION,
                    "evaluation_id": run,
                    "model_id": model,
                    "evaluation_name": evaluation,
                    "evaluation_result_id": _result_id(evaluation, judgment["judge"], judgment["dimension"]),
                    "sample_id": str(row["item"]) + (f"#{row['sample']}" if row["sample"] else ""),
                    "interaction_type": "single_turn",
                    "input": {"raw": row["prompt"], "formatted": row["asked"] or None, "reference": []},
                    "output": {"raw": [row["answer"] if texts else WITHHELD]},
                    "answer_attribution": [],
                    "evaluation": {"score": float(positive), "is_correct": bool(right)},
                    "metadata": {
                        "category": str(row["category"]),
                        "label": str(judgment["label"]),
                        "finish_reason": str(row["finish_reason"]),
                    },
                }
            )
    return found
