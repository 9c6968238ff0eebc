"""Inspect's logs: `.eval` archives (deflate and Zstandard) and `.json`, as Inspect 0.3 writes them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capsafe_core.checkpoint_places import facts_in_path
from capsafe_core.errors import CapsafeError
from capsafe_core.importers.bounded import Archive, load_json
from capsafe_core.importers.log import Aggregate, Log, Problems, Row, Said, as_object, number, said
from capsafe_core.records import canonical_json, digest_text

_STATUS = {"grader_failed": "error", "scoring_failed": "error"}
"""why a score is not a verdict -> the status of the judgment. The other reasons (no_response,
invalid_response_format, refusal) speak of the model, whose answer the score's value judges."""
_FACTS = {
    "step": "step",
    "seed": "seed",
    "base": "base",
    "base_model": "base",
    "dataset": "data",
    "data": "data",
    "recipe": "recipe",
    "method": "method",
}
"""keys of the metadata and the tags that say which checkpoint was asked"""


def read(paths: tuple[Path, ...], problems: Problems) -> Iterator[Log]:
    """The log in a file: one row for each sample and epoch."""
    (path,) = paths
    if path.suffix == ".json":
        data = load_json(path)
        if not isinstance(data, dict) or not isinstance(data.get("eval"), dict):
            raise CapsafeError(f"{path.name} is not an Inspect log: it has no 'eval'.", "")
        samples = data.pop("samples", None) or []
        yield _log(
            data,
            path,
            problems,
            _rows(enumerate(samples if isinstance(samples, list) else []), path, problems),
        )
        return
    with Archive(path) as archive:
        header = (
            archive.json("header.json")
            if "header.json" in archive.names
            else {**archive.json("_journal/start.json"), "status": "started"}
        )
        if not isinstance(header, dict) or not isinstance(header.get("eval"), dict):
            raise CapsafeError(f"{path.name} is not an Inspect log: its header has no 'eval'.", "")
        names = sorted(n for n in archive.names if n.startswith("samples/") and n.endswith(".json"))
        yield _log(header, path, problems, _rows(_members(archive, names, problems), path, problems))


def _members(archive: Archive, names: list[str], problems: Problems) -> Iterator[tuple[str, Any]]:
    for name in names:
        try:
            yield name, archive.json(name)
        except CapsafeError as error:
            problems.add(error.message)


def _log(head: dict[str, Any], path: Path, problems: Problems, rows: Iterator[Row]) -> Log:
    """A log from everything but its samples."""
    about = head["eval"]
    status = str(head.get("status", ""))
    if status not in ("success", ""):
        problems.add(f"The run of {path.name} did not end well ({status}); what it has is taken.")
    if head.get("invalidated"):
        problems.add(f"{path.name} was marked as invalid by its owner; what it has is taken.")
    plan = head.get("plan") if isinstance(head.get("plan"), dict) else {}
    config = {
        **as_object(plan.get("config") if plan else None),
        **as_object(about.get("model_generate_config")),
    }
    arguments = as_object(about.get("model_args"))
    metadata = {**as_object(about.get("metadata")), **as_object(head.get("metadata"))}
    tags = [t for where in (about, head) for t in (where.get("tags") or []) if isinstance(t, str)]
    condition = {
        key: config[key]
        for key in ("temperature", "top_p", "max_tokens")
        if number(config.get(key)) is not None
    }
    condition |= {
        "system_prompt": str(config.get("system_message") or ""),
        "engine": "inspect_ai",
        "engine_version": str(as_object(about.get("packages")).get("inspect_ai", "")),
    }
    return Log(
        "inspect",
        str(about.get("task") or "task"),
        str(about.get("model") or ""),
        str(
            next(
                (
                    v
                    for v in (
                        arguments.get("peft"),
                        arguments.get("adapter"),
                        arguments.get("lora"),
                        metadata.get("adapter"),
                    )
                    if isinstance(v, str)
                ),
                "",
            )
        ),
        _version(about),
        condition=condition,
        facts=_facts(metadata, tags),
        rows=rows,
        aggregates=list(_aggregates(head, str(about.get("task") or "task"))),
    )


def _version(about: dict[str, Any]) -> str:
    """The task's version, and a hash of its arguments: with others it is another set of prompts."""
    arguments = as_object(about.get("task_args"))
    return str(about.get("task_version") or "") + (
        f"+{digest_text(canonical_json(arguments))[:6]}" if arguments else ""
    )


def _facts(metadata: dict[str, Any], tags: list[str]) -> dict[str, str]:
    """What metadata and tags such as "checkpoint:100" say of the checkpoint."""
    pairs = [(m.group(1), m.group(2)) for m in (re.fullmatch(r"(\w+)[:=](.+)", tag) for tag in tags) if m]
    found: dict[str, str] = {}
    for key, value in [*pairs, *metadata.items()]:
        if key == "checkpoint" and isinstance(
            value, str | int
        ):  # a step, a folder that ends with one, or a name
            found |= _checkpoint(str(value))
        elif key in _FACTS and isinstance(value, str | int) and not isinstance(value, bool):
            found[_FACTS[key]] = str(value)
    return found


def _checkpoint(text: str) -> dict[str, str]:
    """What a checkpoint's path or number says: out/math-s0/checkpoint-100 is step 100 of the recipe math."""
    named = facts_in_path(text)
    if named:
        return named
    step = re.search(r"(?:^|[-_/])(\d+)$", text)
    return {"step": step.group(1)} if step else {"model": text}


def _aggregates(head: dict[str, Any], benchmark: str) -> Iterator[Aggregate]:
    for score in as_object(head.get("results")).get("scores") or []:
        if not isinstance(score, dict):
            continue
        metrics = as_object(score.get("metrics"))
        stderr = number(as_object(metrics.get("stderr")).get("value"))
        for name, metric in metrics.items():
            value = number(as_object(metric).get("value"))
            if name != "stderr" and value is not None:
                n = score.get("scored_samples")
                reducer = str(score.get("reducer") or "mean")  # of several epochs
                yield Aggregate(
                    benchmark,
                    f"{score.get('name')}/{name}" + (f"/{reducer}" if reducer != "mean" else ""),
                    value,
                    stderr if name in ("mean", "accuracy") else None,
                    n if isinstance(n, int) else None,
                )


def _rows(samples: Iterator[tuple[Any, Any]], path: Path, problems: Problems) -> Iterator[Row]:
    for where, sample in samples:
        try:
            row = _row(sample, f"Sample {where} of {path.name}", problems)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            problems.add(
                f"Sample {where} of {path.name} is not as Inspect writes it ({type(error).__name__}: "
                f"{str(error)[:80]})."
            )
            continue
        if row is not None:
            yield row


def _row(sample: Any, where: str, problems: Problems) -> Row | None:
    if not isinstance(sample, dict) or not isinstance(sample.get("id"), str | int):
        problems.add(f"{where} has no id.")
        return None
    kept = as_object(sample.get("attachments"))
    output = as_object(sample.get("output"))
    choices = [c for c in output.get("choices") or [] if isinstance(c, dict)]
    failed = as_object(sample.get("error")).get("message") or output.get("error")
    if not choices and failed:
        problems.add(f"{where} failed: {str(failed)[:150]}.")
        return None
    prompt = _prompt(sample.get("input"), kept)
    if prompt is None:
        problems.add(f"{where} has no question that can be read.")
        return None
    metadata = as_object(sample.get("metadata"))
    target = sample.get("target")
    epoch = sample.get("epoch")
    return Row(
        str(sample["id"]),
        prompt,
        _text(as_object(choices[0].get("message")).get("content"), kept) if choices else None,
        sample=epoch - 1
        if isinstance(epoch, int) and not isinstance(epoch, bool) and 1 <= epoch < 1 << 20
        else 0,
        category=str(metadata.get("category") or metadata.get("subset") or ""),
        behaviour=str(metadata.get("behavior") or metadata.get("behaviour") or ""),
        reference=target if isinstance(target, str) else "\n".join(str(t) for t in target or []),
        finish={"max_tokens": "length", "model_length": "length"}.get(
            str(choices[0].get("stop_reason")), str(choices[0].get("stop_reason") or "")
        )
        if choices
        else "",
        tokens=_tokens(output),
        reasoning=_reasoning(as_object(choices[0].get("message")), kept) if choices else "",
        said=tuple(_scores(as_object(sample.get("scores")), kept)),
    )


def _tokens(output: dict[str, Any]) -> int:
    found = as_object(output.get("usage")).get("output_tokens")
    return found if isinstance(found, int) and 0 <= found < 1 << 31 else 0


def _prompt(value: Any, kept: dict[str, Any]) -> str | tuple[dict[str, str], ...] | None:
    """The question: a text, or a history that is cut after the last turn of the user."""
    if isinstance(value, str):
        return _whole(value, kept) or None
    turns = [
        {"role": str(m.get("role")), "content": _text(m.get("content"), kept)}
        for m in value or []
        if isinstance(m, dict)
    ]
    while turns and turns[-1]["role"] != "user":
        turns.pop()
    if not turns:
        return None
    return turns[0]["content"] if len(turns) == 1 else tuple(turns)


def _text(content: Any, kept: dict[str, Any]) -> str:
    """The text of a message: a text, or parts of which those that are text count."""
    if isinstance(content, list):
        return "\n".join(
            _whole(str(part.get("text") or ""), kept)
            for part in content
            if isinstance(part, dict) and part.get("type") == "text"
        )
    return _whole(content, kept) if isinstance(content, str) else ""


def _reasoning(message: dict[str, Any], kept: dict[str, Any]) -> str:
    """What the model wrote before its answer, where the log has it apart: in the content, or in earlier logs
    beside it."""
    content = message.get("content")
    parts = [as_object(part) for part in content] if isinstance(content, list) else []
    told = [part.get("reasoning") for part in parts if part.get("type") == "reasoning"]
    return "\n".join(_whole(t, kept) for t in [*told, message.get("reasoning")] if isinstance(t, str))


def _whole(text: str, kept: dict[str, Any]) -> str:
    """A text, or the long one that stands elsewhere in the sample."""
    if text.startswith("attachment://"):
        found = kept.get(text.removeprefix("attachment://"))
        return found if isinstance(found, str) else text
    return text


def _scores(scores: dict[str, Any], kept: dict[str, Any]) -> Iterator[Said]:
    """What each scorer said, and what people made of it afterwards."""
    for name, score in scores.items():
        if not isinstance(score, dict):
            continue
        history = [h for h in score.get("history") or [] if isinstance(h, dict)]
        edits = [h for h in history if isinstance(h.get("provenance"), dict)]
        first = (
            next((h for h in history if h.get("provenance") is None and "value" in h), None)
            if edits
            else None
        )
        source = first or score
        raw = _whole(str(source.get("explanation") or ""), kept)
        yield from _parts(name, source.get("value"), raw, _STATUS.get(str(score.get("reason")), "ok"))
        for edit in edits:
            if edit.get("value") not in (None, "UNCHANGED"):
                origin = edit["provenance"]
                yield from _parts(
                    name,
                    edit["value"],
                    str(origin.get("reason") or ""),
                    "ok",
                    str(origin.get("author") or "somebody"),
                    _seconds(origin.get("timestamp")),
                )


def _parts(
    name: str, value: Any, raw: str, status: str, person: str = "", created: float = 0.0
) -> Iterator[Said]:
    """A score of several parts is several things said."""
    if isinstance(value, dict):
        for part, one in value.items():
            yield said(f"{name}/{part}", one, raw, status, person, created)
    else:
        yield said(name, value, raw, status, person, created)


def _seconds(stamp: Any) -> float:
    try:
        return datetime.datetime.fromisoformat(str(stamp)).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
