"""Imports by command, and logs to import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from capsafe_core.cli import app
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.rollups import check

run = CliRunner().invoke


def command(*words: str) -> str:
    result = run(app, list(words))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def rows(*words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(command(*words, "--json"))
    return found


def counts(settings: Settings) -> dict[str, int]:
    with Store(settings.store_path) as store:
        ingest_all(store, settings.jobs_path)
        assert check(store) == []
        live = "batch NOT IN (SELECT batch FROM retracted_batches)"
        return {
            t: store.rows(f"SELECT count(*) FROM {t} WHERE {live}")[0][0]
            for t in ("generations", "judgments", "label_events", "measurements", "path_points")
        }


def paths_tree(root: Path, steps: tuple[int, ...] = (0, 10, 20)) -> Path:
    """Tables of one recipe's checkpoints and of its start, as three tools would name them."""
    for step in steps:
        folder = root / ("toy" if step == 0 else f"toy-sums-s0/checkpoint-{step}")
        folder.mkdir(parents=True, exist_ok=True)
        right = {0: 1, 10: 5, 20: 8}[step]
        sums = [
            {"task": "sums", "id": i, "prompt": f"{i}+1?", "response": str(i), "correct": i < right}
            for i in range(10)
        ]
        harm = [
            {
                "task": "harmful",
                "id": i,
                "prompt": f"do {i}",
                "response": "sure" if i < right else "no",
                "judge_unsafe": i < right,
                "refused": i >= right,
            }
            for i in range(10)
        ]
        (folder / "sums.jsonl").write_text("".join(json.dumps(r) + "\n" for r in sums))
        (folder / "harmful.jsonl").write_text("".join(json.dumps(r) + "\n" for r in harm))
    return root


MAPPING = """
name = "tree"
pattern = "{base}-{data}-s{seed}/checkpoint-{step}"
aliases = { "toy/sums.jsonl" = "start", "toy/harmful.jsonl" = "start" }
[benchmarks.sums]
name = "sums"
kind = "capability"
[benchmarks.harmful]
name = "harmful"
kind = "safety"
[goals]
sums = 0.5
[[judges]]
by = "correct"
name = "verifier"
dimension = "correctness"
labels = { true = "correct", false = "incorrect" }
[[judges]]
by = "judge_unsafe"
name = "judge"
dimension = "safety"
labels = { true = "unsafe", false = "safe" }
[[judges]]
by = "refused"
name = "refusals"
dimension = "refusal"
labels = { true = "full", false = "none" }
"""


def table(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answers(model: str, n: int = 4, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "model": model,
            "task": "t",
            "id": i,
            "prompt": f"p{i}",
            "response": f"{model} {more.get('step', '')} {i}",
            **more,
        }
        for i in range(n)
    ]
