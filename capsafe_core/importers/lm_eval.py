"""lm-eval's output folders: results_*.json with the samples_*.jsonl beside it, as versions 0.4 write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capsafe_core.importers.bounded import json_lines, load_json
from capsafe_core.importers.log import Aggregate, Log, Problems, Row, Said, as_object, number, said

_OWN = frozenset(
    {
        "doc_id",
        "doc",
        "target",
        "arguments",
        "resps",
        "filtered_resps",
        "filter",
        "metrics",
        "doc_hash",
        "prompt_hash",
        "target_hash",
    }
)


def read(paths: tuple[Path, ...], problems: Problems) -> Iterator[Log]:
    """The tasks of a run: one row for each document and repeat, however many filters looked at it; the
    results' metrics as aggregates."""
    results = load_json(paths[0]) if paths[0].suffix == ".json" else {}
    if not isinstance(results, dict):
        problems.add(f"{paths[0].name} is no object.")
        results = {}
    config = as_object(results.get("config"))
    arguments = model_arguments(config.get("model_args"))
    model = arguments.get("pretrained") or arguments.get("model") or str(results.get("model_name") or "")
    samples = {_task(p): p for p in paths if p.suffix == ".jsonl"}
    tasks = [
        *as_object(results.get("results")),
        *(t for t in samples if t not in as_object(results.get("results"))),
    ]
    for task in tasks:
        yield Log(
            "lm-eval",
            task,
            model,
            arguments.get("peft", "") or arguments.get("lora_local_path", ""),
            str(as_object(results.get("versions")).get(task, "")),
            condition=_condition(results, config, task),
            kind="capability",
            directions=_directions(results, task),
            rows=_rows(samples[task], problems) if task in samples else iter(()),
            aggregates=list(_aggregates(results, task)),
        )


def _task(path: Path) -> str:
    """The task in a name such as samples_gsm8k_2026-11-21T19-48-56.863660.jsonl."""
    return re.sub(r"_\d{4}-\d\d-\d\dT[\d.-]+$", "", path.stem.removeprefix("samples_"))


def model_arguments(value: Any) -> dict[str, str]:
    """`model_args`, which older versions keep as "pretrained=a,peft=b"."""
    if isinstance(value, dict):
        return {str(k): str(v) for k, v in value.items()}
    return {
        k.strip(): v.strip()
        for k, _, v in (part.partition("=") for part in str(value or "").split(","))
        if k and v
    }


def _condition(results: dict[str, Any], config: dict[str, Any], task: str) -> dict[str, Any]:
    asked = {
        **as_object(as_object(as_object(results.get("configs")).get(task)).get("generation_kwargs")),
        **as_object(config.get("gen_kwargs")),
    }
    shots = as_object(results.get("n-shot")).get(task)
    found: dict[str, Any] = {
        "engine": "lm-eval",
        "engine_version": str(results.get("lm_eval_version") or ""),
        "few_shot": shots if isinstance(shots, int) else 0,
    }
    found |= {
        "system_prompt": str(results.get("system_instruction") or ""),
        "template_digest": str(results.get("chat_template_sha") or ""),
    }
    for key, name in (("temperature", "temperature"), ("top_p", "top_p"), ("max_gen_toks", "max_tokens")):
        if number(asked.get(key)) is not None:
            found[name] = asked[key]
    return found


def _directions(results: dict[str, Any], task: str) -> dict[str, bool]:
    """Which way each metric goes, for every filter of the task."""
    told = {
        m: b
        for m, b in as_object(as_object(results.get("higher_is_better")).get(task)).items()
        if isinstance(b, bool)
    }
    filters = [
        f.get("name")
        for f in as_object(as_object(results.get("configs")).get(task)).get("filter_list") or []
        if isinstance(f, dict)
    ]
    return {**told, **{f"{m}/{f}": b for m, b in told.items() for f in filters}}


def _aggregates(results: dict[str, Any], task: str) -> Iterator[Aggregate]:
    row = as_object(as_object(results.get("results")).get(task))
    n = as_object(as_object(results.get("n-samples")).get(task)).get("effective")
    for key, value in row.items():
        metric, _, by = key.partition(",")
        found = number(value) if isinstance(value, int | float) else None
        if by and not metric.endswith("_stderr") and found is not None:
            stderr = row.get(f"{metric}_stderr,{by}")
            # a missing standard error is the text "N/A"
            yield Aggregate(
                task,
                metric if by == "none" else f"{metric}/{by}",
                found,
                number(stderr) if isinstance(stderr, int | float) else None,
                n if isinstance(n, int) else None,
            )


def _rows(path: Path, problems: Problems) -> Iterator[Row]:
    """Two passes: what every filter said of a document, then the documents.

    A file that was appended to holds a document twice: the last run counts.
    """
    last: dict[tuple[str, str], int] = {}
    verdicts: dict[tuple[str, str], list[Said]] = {}
    for line, row in json_lines(path, Problems()):
        if _is_document(row.get("doc_id")):
            key = str(row["doc_id"]), str(row.get("filter") or "none")
            if key in last:
                problems.add(
                    f"Line {last[key]} of {path.name}: document {key[0]} stands there twice; the last is "
                    "taken."
                )
            last[key], verdicts[key] = line, list(_metrics(row, key[1]))
    spoken: dict[str, list[Said]] = {}
    speaks: dict[str, int] = {}
    for (name, _), line in last.items():
        speaks.setdefault(name, line)  # of the filters, the first
    for (name, _), found in verdicts.items():
        spoken.setdefault(name, []).extend(found)
    for line, row in json_lines(path, problems):
        doc = row.get("doc_id")
        if not _is_document(doc):
            problems.add(f"Line {line} of {path.name} has no doc_id.")
            continue
        if speaks[str(doc)] != line:
            continue
        prompt, choices = _arguments(row.get("arguments"))
        answers = _answers(row.get("resps"), choices)
        if prompt is None:
            problems.add(f"Line {line} of {path.name} has no prompt in its arguments.")
            continue
        target = row.get("target")
        for sample, answer in enumerate(answers or [None]):
            yield Row(
                str(doc),
                prompt,
                answer,
                sample,
                reference="" if target is None else str(target),
                said=tuple(spoken.get(str(doc), ())) if sample == 0 else (),
            )


def _is_document(doc: Any) -> bool:
    return isinstance(doc, int | str) and not isinstance(doc, bool)


def _metrics(row: dict[str, Any], by: str) -> Iterator[Said]:
    named = row.get("metrics")
    names = (
        [m for m in named if isinstance(m, str)]
        if isinstance(named, list)
        else [k for k in row if k not in _OWN]
    )
    for name in names:
        if name in row and not isinstance(row[name], list | dict):
            yield said(
                name if by == "none" else f"{name}/{by}", row[name], str(row.get("filtered_resps", ""))[:2000]
            )


def _arguments(value: Any) -> tuple[str | None, list[str]]:
    """The prompt, and the continuations of a task that compares likelihoods."""
    calls = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    pairs = [
        (c.get("arg_0"), c.get("arg_1"))
        if isinstance(c, dict)
        else (*c, None, None)[:2]
        if isinstance(c, list | tuple)
        else (None, None)
        for c in calls
    ]
    texts = [
        (p if isinstance(p, str) else str(p) if isinstance(p, list | dict) else None, q) for p, q in pairs
    ]
    return (texts[0][0] if texts else None), [q for _, q in texts if isinstance(q, str)]


def _answers(resps: Any, choices: list[str]) -> list[str]:
    """The texts that came; of a task that compares likelihoods, the continuation with the highest."""
    groups = resps if isinstance(resps, list) else []
    if choices and len(choices) == len(groups):
        scores = []
        for group in groups:
            while isinstance(group, list) and group and not isinstance(group[0], int | float):
                group = group[0]
            scores.append(number(group[0]) if isinstance(group, list) and group else None)
        known = [s for s in scores if s is not None]
        return [choices[scores.index(max(known))]] if known else []
    return [
        t for group in groups for t in (group if isinstance(group, list) else [group]) if isinstance(t, str)
    ]
