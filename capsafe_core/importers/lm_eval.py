"""lm-eval's output folders: results_*.json with the samples_*.jsonl beside it, as versions 0.4 write them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capsafe_core.importers.bounded import json_lines, load_json
from capsafe_core.importers.log import Aggregate, Log, Problems, Row, Said, as_object, messages, number, said

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


_NO_METRIC = frozenset({"alias", "name", "sample_len", "samples"})


def read(paths: tuple[Path, ...], problems: Problems) -> Iterator[Log]:
    """The tasks of a run: one row for each document and repeat, however many filters looked at it; the
    results' metrics as aggregates."""
    results = load_json(paths[0]) if paths[0].suffix == ".json" else {}
    if not isinstance(results, dict):
        problems.add(f"{paths[0].name} is not an object.")
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
        found = number(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        if not by and (key in _NO_METRIC or f"{key}_stderr" not in row):
            continue  # version 0.3 names no filter; what has no standard error there is no metric
        if not metric.endswith("_stderr") and found is not None:
            stderr = row.get(f"{metric}_stderr,{by}" if by else f"{metric}_stderr")
            # a missing standard error is the text "N/A"
            yield Aggregate(
                task,
                metric if by in ("none", "") else f"{metric}/{by}",
                found,
                number(stderr) if isinstance(stderr, int | float) else None,
                n if isinstance(n, int) else None,
            )


def _rows(path: Path, problems: Problems) -> Iterator[Row]:
    """Two passes: what every filter said of a document, then the documents.

    A file that was appended to holds a document twice under one filter: the last run counts. Rows of before
    2024 name no filter; there, nobody knows whether two rows are two filters or two runs, and both are told.
    """
    last: dict[tuple[str, str], int] = {}
    verdicts: dict[tuple[str, str], list[Said]] = {}
    for line, row in json_lines(path, Problems()):
        if _is_document(row.get("doc_id")):
            name, by = str(row["doc_id"]), row.get("filter")
            key = name, str(by) if by else f"none {line}" if (name, "none") in last else "none"
            if key in last:
                problems.add(
                    f"Line {last[key]} of {path.name}: document {key[0]} stands there twice; the last is "
                    "taken."
                )
            last[key], verdicts[key] = line, list(_metrics(row, str(by) if by else "none"))
    spoken: dict[str, list[Said]] = {}
    speaks: dict[str, int] = {}
    unfiltered: dict[int, list[Said]] = {}
    for (name, by), line in last.items():
        if by.startswith("none ") and name in speaks:
            unfiltered[line] = verdicts[name, by]
            continue
        speaks.setdefault(name, line)  # of the filters, the first
        spoken.setdefault(name, []).extend(verdicts[name, by])
    twice = f"{len(unfiltered):,} rows of {path.name} name a document again, and no filter"
    if unfiltered:
        problems.add(
            f"{twice}: whether they are filters or runs is not said. What they say differently is a conflict."
        )
    for line, row in json_lines(path, problems):
        doc = row.get("doc_id")
        if not _is_document(doc):
            problems.add(f"Line {line} of {path.name} has no doc_id.")
            continue
        if speaks[str(doc)] == line:
            yield from _document(row, line, spoken.get(str(doc), []), path, problems)
        elif line in unfiltered:
            yield from _document(row, line, unfiltered[line], path, problems)


def _document(
    row: dict[str, Any], line: int, spoken: list[Said], path: Path, problems: Problems
) -> Iterator[Row]:
    """The repeats of one document."""
    prompt, choices = _arguments(row.get("arguments"))
    answers = _answers(row.get("resps"), choices)
    if prompt is None:
        problems.add(f"Line {line} of {path.name} has no prompt in its arguments.")
        return
    target, digest = row.get("target"), row.get("doc_hash")
    for sample, answer in enumerate(answers or [None]):
        yield Row(
            str(row["doc_id"]),
            prompt,
            answer,
            sample,
            reference="" if target is None else str(target),
            said=tuple(spoken) if sample == 0 else (),
            same=digest if isinstance(digest, str) else "",
        )


def _likelihood(group: Any) -> float | None:
    """The logarithm of a continuation's likelihood: of [[-1.5, false]], or since May 2024 of
    [["-1.5", "False"]]."""
    while isinstance(group, list) and group and isinstance(group[0], list):
        group = group[0]
    return number(group[0]) if isinstance(group, list) and group else None


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
            value = number(row[name]) if isinstance(row[name], str) else None
            yield said(
                name if by == "none" else f"{name}/{by}",
                row[name] if value is None else value,
                str(row.get("filtered_resps", ""))[:2000],
            )


def _arguments(value: Any) -> tuple[str | tuple[dict[str, str], ...] | None, list[str]]:
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
    return (_asked(pairs[0][0]) if pairs else None), [q for _, q in pairs if isinstance(q, str)]


def _asked(value: Any) -> str | tuple[dict[str, str], ...] | None:
    """A prompt: a text, or the messages of a chat, also where they are written as JSON in a text."""
    found = value
    if isinstance(value, str) and value.lstrip().startswith('[{"role"'):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return value
    if isinstance(found, list):
        turns = messages(found)
        return turns or str(value)
    return found if isinstance(found, str) else str(found) if isinstance(found, dict) else None


def _answers(resps: Any, choices: list[str]) -> list[str]:
    """The texts that came; of a task that compares likelihoods, the continuation with the highest."""
    groups = resps if isinstance(resps, list) else []
    if choices and len(choices) == len(groups):
        scores = [_likelihood(group) for group in groups]
        known = [s for s in scores if s is not None]
        return [choices[scores.index(max(known))]] if known else []
    return [
        t for group in groups for t in (group if isinstance(group, list) else [group]) if isinstance(t, str)
    ]
