"""Which files are logs, of which tool, and which of them belong together."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from capsafe_core.folders import regular_files
from capsafe_core.importers import every_eval_ever, helm, inspect_ai, lm_eval, safety_sets, tables
from capsafe_core.importers.bounded import LIMITS
from capsafe_core.importers.log import Log, Problems, Row, prompt_text

HEAD = 1 << 16
"""bytes at the beginning of a file by which it is recognised"""
MOST_FILES = 100_000
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
}
HELM_FILES = ("run_spec.json", "scenario_state.json", "stats.json", "per_instance_stats.json")
_AGAIN = ("evaluation.json", "submission.json", "attack-info.json")
"""JailbreakBench's files that hold the outputs of the artifacts beside them once more"""


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
    return list(_grouped(tools, left_out)), left_out


def _grouped(tools: list[tuple[Path, str, str]], left_out: list[str]) -> Iterator[Source]:
    samples = [path for path, _, tool in tools if tool == "lm-eval samples"]
    instances = {path.name: path for path, _, tool in tools if tool == "every-eval-ever samples"}
    behaviours = [path for path, _, tool in tools if tool == "prompts" and "behaviors" in path.name]
    states = {(path.parent, path.name): path for path, _, tool in tools if tool == "helm"}
    artifacts = {path.parent.parent for path, _, tool in tools if tool == "jailbreakbench"}
    taken: set[Path] = set()
    for path, relative, tool in tools:
        if tool == "lm-eval":
            date = path.stem.removeprefix("results_")
            mine = tuple(s for s in samples if s.parent == path.parent and s.stem.endswith(date))
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
        elif tool in READERS or tool == "table":
            yield Source(tool, (path,), relative)
        elif tool.startswith("?"):
            left_out.append(f"{relative}: {tool[1:]}")
    for path, relative, tool in tools:
        if tool == "lm-eval samples" and path not in taken:
            yield Source("lm-eval", (path,), relative)
        elif tool == "every-eval-ever samples" and path not in taken:
            left_out.append(f"{relative}: the record that belongs to these samples is missing.")


def recognise(path: Path) -> str:
    """The tool of a file: a key of READERS, "table", "lm-eval samples", "every-eval-ever samples"; "" for
    what is no data, "?why" for data that nobody knows."""
    ending = path.suffix.lower()
    if ending in (".eval", ".parquet"):
        return "inspect" if ending == ".eval" else "table"
    if ending not in (".json", ".jsonl", ".ndjson", ".csv", ".tsv"):
        return ""
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError as error:
        return f"?it cannot be read ({error.strerror})."
    text = head.decode("utf-8-sig", "replace")
    if ending in (".csv", ".tsv"):
        return _of_columns(_header(text, "\t" if ending == ".tsv" else ","))
    if ending == ".json":
        return _of_json(path, text)
    try:
        row = json.loads(text.split("\n", 1)[0])
    except (ValueError, RecursionError):
        return "table"  # its reader says which lines are broken
    keys = set(row) if isinstance(row, dict) else set()
    if {"doc_id", "resps"} <= keys:
        return "lm-eval samples"
    if {"evaluation_id", "sample_id"} <= keys:
        return "every-eval-ever samples"
    return "strongreject" if {"forbidden_prompt", "response"} <= keys else "table"


def _header(text: str, delimiter: str) -> set[str]:
    try:
        return set(next(csv.reader(text.splitlines()[:1], delimiter=delimiter), []))
    except csv.Error:
        return set()


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
        return "aisafetylab" if has("final_response") or has("final_query") else "table"
    if start != "{":
        return "?it is no JSON object or list."
    if has("$schema"):
        return ""
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
    return "?no tool is known that writes such a file." if path.name not in _AGAIN else "again"


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
        log.rows = _of_bearable_length(log.rows, source, problems)
        yield log


def _of_bearable_length(rows: Iterator[Row], source: Source, problems: Problems) -> Iterator[Row]:
    for row in rows:
        length = len(row.answer or "") + len(row.asked) + len(prompt_text(row.prompt))
        if length > LIMITS.text:
            problems.add(
                f"{row.item[:60]!r} of {source.relative} has {length:,} characters, more than any model says."
            )
        else:
            yield row
