"""Every Eval Ever 0.3: an aggregate file, and the samples that it names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.importers.bounded import json_lines, load_json
from capsafe_core.importers.log import Aggregate, Log, Problems, Row, Said, as_object, number, said


def read(paths: tuple[Path, ...], problems: Problems) -> Iterator[Log]:
    """A run: for each evaluation its samples, where the file has them, and its scores as aggregates."""
    data = load_json(paths[0])
    if not isinstance(data, dict) or not isinstance(data.get("evaluation_results"), list):
        raise CapsafeError(
            f"{paths[0].name} is not an Every Eval Ever record: it has no evaluation_results.", ""
        )
    model = as_object(data.get("model_info"))
    library = as_object(data.get("eval_library"))
    names = dict.fromkeys(
        str(as_object(r).get("evaluation_name") or "evaluation") for r in data["evaluation_results"]
    )
    for name in names:
        results = [
            r
            for r in data["evaluation_results"]
            if isinstance(r, dict) and str(r.get("evaluation_name") or "evaluation") == name
        ]
        arguments = as_object(
            as_object(results[0].get("generation_config") if results else None).get("generation_args")
        )
        condition: dict[str, Any] = {
            "engine": str(library.get("name") or ""),
            "engine_version": str(library.get("version") or ""),
        }
        condition |= {
            key: arguments[key]
            for key in ("temperature", "top_p", "max_tokens")
            if number(arguments.get(key)) is not None
        }
        rows = _rows(paths[1], name, len(names) == 1, problems) if len(paths) > 1 else iter(())
        facts = {
            k: v
            for k, v in as_object(model.get("additional_details")).items()
            if k in ("base", "data", "recipe", "seed", "step") and isinstance(v, str)
        }
        yield Log(
            "every-eval-ever",
            name,
            str(model.get("id") or model.get("name") or ""),
            condition=condition,
            facts=facts,
            rows=rows,
            aggregates=list(_aggregates(results, name)),
        )


def _aggregates(results: list[dict[str, Any]], name: str) -> Iterator[Aggregate]:
    for result in results:
        details = as_object(result.get("score_details"))
        score = number(details.get("score"))
        if score is None:
            continue
        uncertainty = as_object(details.get("uncertainty"))
        metric = as_object(result.get("metric_config"))
        n = uncertainty.get("num_samples")
        stderr = number(as_object(uncertainty.get("standard_error")).get("value"))
        yield Aggregate(
            name,
            str(metric.get("metric_id") or metric.get("metric_name") or "score"),
            score,
            stderr,
            n if isinstance(n, int) else None,
        )


def _rows(path: Path, name: str, only: bool, problems: Problems) -> Iterator[Row]:
    """The samples of one evaluation; several results of one sample are one output."""
    spoken: dict[str, dict[str, Said]] = {}
    for _, row in json_lines(path, Problems()):
        if _mine(row, name, only):
            spoken.setdefault(str(row.get("sample_id")), {}).update((v.by, v) for v in _verdicts(row))
    seen: set[str] = set()
    for i, row in json_lines(path, problems):
        if not _mine(row, name, only):
            continue
        item, asked = row.get("sample_id"), as_object(row.get("input"))
        if not isinstance(item, str) or not isinstance(asked.get("raw"), str) or not asked["raw"]:
            problems.add(f"Line {i} of {path.name} has no sample_id or no input.")
            continue
        if item in seen:
            continue
        seen.add(item)
        for sample, answer in enumerate(_answers(row) or [None]):
            formatted, used = asked.get("formatted"), as_object(row.get("token_usage")).get("output_tokens")
            yield Row(
                item,
                asked["raw"],
                answer,
                sample,
                asked=formatted if isinstance(formatted, str) and formatted != asked["raw"] else "",
                category=str(
                    as_object(row.get("metadata")).get("category")
                    or as_object(row.get("metadata")).get("subject")
                    or ""
                ),
                reference="\n".join(str(r) for r in asked.get("reference") or [])
                if isinstance(asked.get("reference"), list)
                else "",
                tokens=used if isinstance(used, int) and 0 <= used < 1 << 31 else 0,
                said=tuple(spoken.get(item, {}).values()) if sample == 0 else (),
            )


def _mine(row: dict[str, Any], name: str, only: bool) -> bool:
    return only or row.get("evaluation_name") == name


def _verdicts(row: dict[str, Any]) -> Iterator[Said]:
    evaluation = as_object(row.get("evaluation"))
    by = str(row.get("evaluation_result_id") or row.get("evaluation_name") or "evaluation")
    if isinstance(evaluation.get("is_correct"), bool):
        yield said(f"{by}/is_correct", evaluation["is_correct"])
    if number(evaluation.get("score")) is not None:
        yield said(f"{by}/score", number(evaluation["score"]))


def _answers(row: dict[str, Any]) -> list[str]:
    """The complete answers; of a conversation, what the model said last."""
    raw = as_object(row.get("output")).get("raw")
    if isinstance(raw, list):
        return [t for t in raw if isinstance(t, str)]
    turns = (
        [
            m
            for m in row.get("messages") or []
            if isinstance(m, dict) and m.get("role") == "assistant" and isinstance(m.get("content"), str)
        ]
        if isinstance(row.get("messages"), list)
        else []
    )
    return [turns[-1]["content"]] if turns else []
