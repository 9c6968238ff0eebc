"""Prompts from this project's files, a user's file, or a reasoning-gym task."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capsafe_core.benchmarks.reasoning import Pair, reasoning_pairs
from capsafe_core.errors import CapsafeError
from capsafe_core.records import KINDS, BenchmarkRecord, Prompt, canonical_json, digest_text

DATA = Path(__file__).resolve().parent.parent.parent / "data"


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's record and its prompts in order."""

    record: BenchmarkRecord
    prompts: tuple[Prompt, ...]


def load_benchmark(settings: dict[str, Any]) -> Benchmark:
    """The benchmark that a study's `[[benchmarks]]` table names.

    `source` is "project:NAME" for one of this project's, "file:PATH" for a JSONL file of
    {id, prompt, ...} lines (its kind in `config`), or "reasoning_gym:TASK".

    Raises:
        CapsafeError: it is not there, a line is broken, or an id occurs twice.
    """
    where, _, name = settings["source"].partition(":")
    if where == "reasoning_gym":
        pairs = reasoning_pairs(name, settings["config"], settings["seed"], settings["size"] or 200, settings["answer"])
        rows = [{"id": f"{settings['seed']}-{i}", "prompt": p.prompt, "reference": p.answer} for i, p in enumerate(pairs)]
        return _benchmark(settings["name"], "1", "capability", rows, licence="Apache-2.0", source=settings["source"])
    if where == "project":
        index = tomllib.loads((DATA / "benchmarks" / "index.toml").read_text())
        if name not in index:
            raise CapsafeError(f"There is no benchmark {name!r} in this project.", f"There are: {', '.join(sorted(index))}.")
        entry = index[name]
        rows = read_lines(DATA / "benchmarks" / entry["file"])
        version, kind, licence = entry["version"], entry["kind"], entry["licence"]
    elif where == "file":
        rows = read_lines(Path(name))
        config = settings["config"]
        version, kind, licence = str(config.get("version", "1")), str(config.get("kind", "safety")), str(config.get("licence", ""))
    else:
        raise CapsafeError(f"The benchmark {settings['name']!r} has the unknown source {settings['source']!r}.", "Use project:NAME, file:PATH or reasoning_gym:TASK.")
    return _benchmark(settings["name"], version, kind, rows[: settings["size"]], licence, settings["source"])


def load_training_pairs(settings: dict[str, Any]) -> list[Pair]:
    """Prompts and target answers of a fine-tuning data set.

    Raises:
        CapsafeError: the source is unknown, missing or broken.
    """
    where, _, name = settings["source"].partition(":")
    if where == "reasoning_gym":
        return reasoning_pairs(name, settings["config"], settings["seed"], settings["size"], settings["answer"])
    if where not in ("project", "file"):
        raise CapsafeError(f"The data set {settings['name']!r} has the unknown source {settings['source']!r}.", "Use project:NAME, file:PATH or reasoning_gym:TASK.")
    path = DATA / "training" / f"{name}.jsonl" if where == "project" else Path(name)
    rows = read_lines(path)
    for i, row in enumerate(rows, 1):
        if not isinstance(row.get("prompt"), str) or not isinstance(row.get("response"), str):
            raise CapsafeError(f"Line {i} of {path} has no text under 'prompt' or 'response'.", "Every line needs both.")
    return [Pair(row["prompt"], row["response"], row["response"]) for row in rows]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file.

    Raises:
        CapsafeError: the file cannot be read, or a line is no JSON object.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CapsafeError(f"The file {path} cannot be read: {error}.", "Check the path; the file must be UTF-8.") from error
    rows = []
    for i, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise CapsafeError(f"Line {i} of {path} is not JSON: {error.msg}.", "Mend that line.") from error
        if not isinstance(row, dict):
            raise CapsafeError(f"Line {i} of {path} is not a JSON object.", 'Every line must look like {"id": ..., "prompt": ...}.')
        rows.append(row)
    return rows


def _benchmark(name: str, version: str, kind: str, rows: list[dict[str, Any]], licence: str, source: str) -> Benchmark:
    if kind not in KINDS:
        raise CapsafeError(f"The benchmark {name!r} has the unknown kind {kind!r}.", f"Use one of {', '.join(KINDS)}.")
    for i, row in enumerate(rows, 1):
        if "id" not in row or not isinstance(row.get("prompt"), str):
            raise CapsafeError(f"Prompt {i} of benchmark {name!r} has no 'id' or no 'prompt'.", "Every prompt needs both.")
    for i, row in enumerate(rows, 1):
        if any("\ud800" <= c <= "\udfff" for c in row["prompt"]):
            raise CapsafeError(f"Prompt {i} of benchmark {name!r} holds half of a character (a lone surrogate).", "Save the file as whole UTF-8 text.")
    twice = [item for item, count in Counter(str(row["id"]) for row in rows).items() if count > 1]
    if twice:
        raise CapsafeError(f"The benchmark {name!r} uses these ids twice: {', '.join(twice[:5])}.", "Give every prompt an id of its own.")
    if not rows:
        raise CapsafeError(f"The benchmark {name!r} has no prompts.", "Check its file.")
    record = BenchmarkRecord(name, version, kind, digest_text(canonical_json(rows)), len(rows), licence, source)
    return Benchmark(record, tuple(_prompt(record.id, i, row) for i, row in enumerate(rows)))


def _prompt(benchmark_id: str, position: int, row: dict[str, Any]) -> Prompt:
    text = {key: str(row.get(key, "")) for key in ("category", "behaviour", "behaviour_text", "context", "reference")}
    text["behaviour"] = text["behaviour"] or str(row["id"])
    return Prompt(benchmark_id, str(row["id"]), position, ({"role": "user", "content": row["prompt"]},), **text)
