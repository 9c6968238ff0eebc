"""Which files are logs, of which tool, and which of them belong together."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from capsafe_core.errors import CapsafeError
from capsafe_core.folders import regular_files
from capsafe_core.importers import (
    events,
    every_eval_ever,
    helm,
    inspect_ai,
    joining,
    lm_eval,
    safety_sets,
    table_rows,
    tables,
)
from capsafe_core.importers.bounded import (
    HEAD,
    LIMITS,
    head_of,
    holds_lines,
    load_json,
    plain_suffix,
)
from capsafe_core.importers.csv_text import csv_header
from capsafe_core.importers.json_forms import looks_like_rows
from capsafe_core.importers.log import Log, Problems, Row, attack_name, prompt_text
from capsafe_core.reasoning_part import Parts, split_reasoning

MOST_FILES = 100_000
MOST_JOINED = 200
"""tables in a folder of which those that belong together are looked for"""
READERS: dict[str, Callable[[tuple[Path, ...], Problems], Iterator[Log]]] = {
    "inspect": inspect_ai.read,
    "lm-eval": lm_eval.read,
    "harmbench": safety_sets.read_harmbench,
    "jailbreakbench": safety_sets.read_jailbreakbench,
    "xstest": safety_sets.read_xstest,
    "strongreject": safety_sets.read_strongreject,
    "aisafetylab": safety_sets.read_aisafetylab,
    "helm": helm.read,
    "every-eval-ever": every_eval_ever.read,
    "prompts": safety_sets.read_prompts,
    "openai-evals": events.read_openai_evals,
    "trainer-state": events.read_trainer_state,
}
HELM_FILES = ("run_spec.json", "scenario_state.json", "stats.json", "per_instance_stats.json")
_AGAIN = ("evaluation.json", "submission.json", "attack-info.json")
"""JailbreakBench's files that hold the outputs of the artifacts beside them once more"""


_DATE = re.compile(r"\d{4}-\d\d-\d\dT[\d.-]+$")
"""by which the results of lm-eval's run and its samples belong together"""


@dataclass(frozen=True)
class Source:
    """One log: the files that belong together, the first of which names it."""

    tool: str
    paths: tuple[Path, ...]
    relative: str
    """below the folder that was given"""


def find_sources(roots: Sequence[Path]) -> tuple[list[Source], list[str]]:
    """The logs in files and folders.

    Returns:
        They, in the order of their paths; and a sentence for each file that is left out although it looks
        like data.
    """
    files: list[tuple[Path, str]] = []
    left_out: list[str] = []
    for root in roots:
        if not root.is_dir() and not root.is_file():
            left_out.append(f"{root.name} is neither a file nor a folder.")
            continue
        if root.is_file():
            files.append((root, root.name))
            continue
        below = regular_files(root)
        left_out += below.sentences
        files += [(p, str(p.relative_to(root))) for p in below.paths]
    if len(files) > MOST_FILES:
        left_out.append(
            f"There are {len(files):,} files; the first {MOST_FILES:,} were looked at. Import the rest "
            "folder by folder."
        )
        files = files[:MOST_FILES]
    tools = [(path, relative, recognise(path)) for path, relative in files]
    left_out += [
        f"{path.name} is a file of a kind that is not read. Save it as CSV, JSON, JSON lines or Parquet."
        for path, _, tool in tools
        if not tool and (path in roots or len(files) == 1)
    ]
    return list(_grouped(tools, left_out)), left_out


def _grouped(tools: list[tuple[Path, str, str]], left_out: list[str]) -> Iterator[Source]:
    samples = [path for path, _, tool in tools if tool == "lm-eval samples"]
    instances = {path.name: path for path, _, tool in tools if tool == "every-eval-ever samples"}
    behaviours = [path for path, _, tool in tools if tool == "prompts" and "behaviors" in path.name]
    states = {(path.parent, path.name): path for path, _, tool in tools if tool == "helm"}
    artifacts = {path.parent.parent for path, _, tool in tools if tool == "jailbreakbench"}
    joined = _joined([path for path, _, tool in tools if tool == "table"])
    beside = {other for others in joined.values() for other in others}
    taken: set[Path] = set()
    for path, relative, tool in tools:
        if tool == "lm-eval":
            date = _DATE.search(path.stem)
            end = date.group() if date else path.stem.removeprefix("results_")
            mine = tuple(s for s in samples if s.parent == path.parent and s.stem.endswith(end))
            taken.update(mine)
            yield Source(tool, (path, *mine), relative)
        elif tool == "every-eval-ever":
            named = instances.get(f"{path.stem}_samples.jsonl")
            taken.update([named] if named else [])
            yield Source(tool, (path, named) if named else (path,), relative)
        elif tool == "helm":
            if path.name == "scenario_state.json":
                yield Source(
                    tool,
                    tuple(states[path.parent, n] for n in HELM_FILES if (path.parent, n) in states),
                    relative,
                )
        elif tool == "harmbench":
            yield Source(tool, (path, *behaviours[:1]), relative)
        elif "test-artifact" in path.parts or (path.name in _AGAIN and path.parent in artifacts):
            left_out.append(f"{relative} holds no outputs of its own, or those of the files beside it.")
        elif path in beside:
            continue
        elif tool in READERS or tool == "table":
            yield Source(tool, (path, *joined.get(path, [])), relative)
        elif tool.startswith("?"):
            left_out.append(f"{relative}: {tool[1:]}")
    for path, relative, tool in tools:
        if tool == "lm-eval samples" and path not in taken:
            yield Source("lm-eval", (path,), relative)
        elif tool == "every-eval-ever samples" and path not in taken:
            left_out.append(f"{relative}: the record that belongs to these samples is missing.")


def _joined(paths: list[Path]) -> dict[Path, list[Path]]:
    """Tables of answers, with those of their folder that hold their prompts and verdicts."""
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    found: dict[Path, list[Path]] = {}
    for near in folders.values():
        if 1 < len(near) <= MOST_JOINED:
            found |= joining.groups([(path, table_rows.names_of(path)) for path in near])
    return found


def recognise(path: Path) -> str:
    """The tool of a file: a key of READERS, "table", "lm-eval samples", "every-eval-ever samples"; "" for
    what is not a data, "?why" for data that nobody knows."""
    ending = plain_suffix(path)[1]
    if ending in (".eval", ".parquet"):
        return "inspect" if ending == ".eval" else "table"
    if ending not in (".json", ".jsonl", ".ndjson", ".csv", ".tsv"):
        return ""
    try:
        if ending in (".csv", ".tsv"):
            return _of_columns(set(csv_header(path)))
        text = head_of(path, HEAD).decode("utf-8-sig", "replace")
    except OSError as error:
        return f"?it cannot be read ({error.strerror})."
    except CapsafeError:
        return "table"  # its reader says what is wrong
    return _of_json(path, text) if ending == ".json" else _of_lines(text)


def _of_lines(text: str) -> str:
    """By the keys of the first line."""
    try:
        row = json.loads(text.split("\n", 1)[0])
    except (ValueError, RecursionError):
        return "table"  # its reader says which lines are broken
    keys = set(row) if isinstance(row, dict) else set()
    if {"doc_id", "resps"} <= keys:
        return "lm-eval samples"
    if {"evaluation_id", "sample_id"} <= keys:
        return "every-eval-ever samples"
    if keys == {"spec"} or {"run_id", "event_id", "data"} <= keys:
        return "openai-evals"
    return "strongreject" if {"forbidden_prompt", "response"} <= keys else "table"


def _of_columns(names: set[str]) -> str:
    if {"id", "type", "prompt", "completion"} <= names:
        return "xstest"
    if {"forbidden_prompt", "response"} <= names:
        return "strongreject"
    return "prompts" if safety_sets.prompt_form(names) and "completion" not in names else "table"


def _of_json(path: Path, text: str) -> str:
    """By the keys that stand near the beginning."""
    start = text.lstrip()[:1]
    if path.name in HELM_FILES:
        return "helm"

    def has(*keys: str) -> bool:
        return all(f'"{key}"' in text for key in keys)

    if start == "[":
        attacked = has("query") and any(has(name) for name in safety_sets.ATTACKED)
        return "aisafetylab" if attacked or has("final_response") or has("final_query") else "table"
    if start != "{":
        return "?it is not a JSON object or list."
    if has("$schema"):
        top = _top(path)
        if top & {"$id", "properties", "definitions", "$defs"}:
            return ""  # a description of other files
        if "$schema" in top:
            return "" if _why_no_table(path) else "table"
    if has("eval", "run_id") or has("eval", "task"):
        return "inspect"
    if has("schema_version", "evaluation_id"):
        return "every-eval-ever"
    if has("parameters", "jailbreaks") or (has("parameters", "method") and has("attack_type")):
        return "jailbreakbench"
    if has("test_case", "generation"):
        return "harmbench"
    if path.name.startswith("results") and has("results"):
        return "lm-eval"
    if has("results", "versions") and (has("config") or has("configs")):
        return "lm-eval"
    if has("log_history", "global_step") or path.name == "trainer_state.json":
        return "trainer-state"
    if path.name in _AGAIN:
        return "again"
    why = _why_no_table(path)
    return f"?{why}" if why else "table"


def _top(path: Path) -> set[str]:
    """The keys of the object in a file."""
    try:
        data = load_json(path)
    except CapsafeError:
        return set()
    return set(data) if isinstance(data, dict) else set()


def _why_no_table(path: Path) -> str:
    """Why a JSON object holds no rows, in a sentence; "" where it does, or one object a line."""
    try:
        data = load_json(path)
    except CapsafeError:
        return "" if holds_lines(path) else "no tool is known that writes such a file."
    return looks_like_rows(data, path.name)


def read_source(source: Source, columns: Mapping[str, str], problems: Problems) -> Iterator[Log]:
    """The logs in a source.

    Args:
        columns: of a table, field -> column.

    Raises:
        CapsafeError: the file as a whole cannot be used.
    """
    logs = (
        tables.read(source.paths, columns, problems)
        if source.tool == "table"
        else READERS[source.tool](source.paths, problems)
    )
    for log in logs:
        log.attack = attack_name(log.attack)
        log.rows = _split(_of_bearable_length(log.rows, source, problems), source, problems)
        yield log


def _split(rows: Iterator[Row], source: Source, problems: Problems) -> Iterator[Row]:
    """Rows whose answer is what follows the model's reasoning."""
    unclear = 0
    for row in rows:
        parts = None if row.reasoning or row.answer is None else split_reasoning(row.answer)
        unclear += parts is not None and parts.unclear
        yield _answered(row, parts)
    if unclear:
        problems.note(
            f"{unclear:,} {'answer' if unclear == 1 else 'answers'} of {source.relative} hold marks of a "
            "reasoning that do not stand at the beginning, and were left whole."
        )


def _answered(row: Row, parts: Parts | None) -> Row:
    """A row in its parts. Where the output ends within the reasoning, and the file does not say why, it was
    cut off."""
    if parts is None:
        cut = row.reasoning and row.answer is None
        return replace(row, answer="", finish=row.finish or "length") if cut else row
    if not parts.reasoning:
        return row
    finish = row.finish or ("" if parts.begun else "length")
    return replace(row, answer=parts.answer, reasoning=parts.reasoning, finish=finish)


def _of_bearable_length(rows: Iterator[Row], source: Source, problems: Problems) -> Iterator[Row]:
    for row in rows:
        length = len(row.answer or "") + len(row.reasoning) + len(row.asked) + len(prompt_text(row.prompt))
        if length > LIMITS.text:
            problems.add(
                f"{row.item[:60]!r} of {source.relative} has {length:,} characters, more than any model says."
            )
        else:
            yield row
