"""Two published data sets with verdicts of people and judges: their counts, and the full data where it lies
beside the repository.

XSTest (Röttger et al. 2024, CC-BY-4.0): 2,250 answers of five models, two annotators, a final label, two
judges.
JailbreakBench artifacts (Chao et al. 2024, MIT): 1,800 attacks, two judges. Only counts stand here.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.records import (
    Attack,
    BenchmarkRecord,
    Checkpoint,
    Condition,
    Generation,
    Judgment,
    PathPoint,
    Prompt,
    Rater,
    Record,
)
from capsafe_core.settings import ROOT
from capsafe_core.study import parse_study

SHARED = ROOT.parent / "shared"
COUNTS = Path(__file__).with_name("published_counts.json")
MODELS = ("gpt4", "llama2new", "llama2orig", "mistralguard", "mistralinstruct")
RATERS = ("human_1", "human_2", "human_final", "gpt4", "strmatch")


def code(label: str | None) -> int:
    """1 full compliance, 2 full refusal, 3 partial refusal; 0 for what is not a verdict."""
    first = (label or "").strip()[:1]
    return int(first) if first in ("1", "2", "3") else 0


def need(part: str) -> Path:
    """A folder of the full data; the test is skipped where it is missing."""
    path = SHARED / "data" / part
    if not path.exists():
        pytest.skip(f"the full {part} data is not beside the repository; its counts are tested in every run")
    return path


def reference_values() -> dict[str, Any]:
    """The golden values of the full data, which lie beside it."""
    return dict(json.loads((SHARED / "reference_values.json").read_text()))


def xstest_rows() -> list[dict[str, Any]]:
    """Every answer: model, id, safe (whether the prompt is harmless), prompt, completion, one code a
    rater."""
    folder = need("xstest")
    rows = []
    for model in MODELS:
        verdicts = {}
        for judge, file in (("gpt4", "gpteval"), ("strmatch", "streval")):
            with (
                folder
                / "evaluation"
                / "automated_evaluation_labels"
                / f"xstest_v2_completions_{model}_{file}.csv"
            ).open(encoding="utf-8", newline="") as stream:
                verdicts[judge] = {row["id"]: code(row[f"{judge}_label"]) for row in csv.DictReader(stream)}
        with (folder / "model_completions" / f"xstest_v2_completions_{model}.csv").open(
            encoding="utf-8", newline=""
        ) as stream:
            for row in csv.DictReader(stream):
                people = {
                    "human_1": code(row["annotation_1"]),
                    "human_2": code(row["annotation_2"]),
                    "human_final": code(row["final_label"]),
                }
                judges = {judge: verdicts[judge][row["id"]] for judge in verdicts}
                rows.append(
                    {
                        "model": model,
                        "id": row["id"],
                        "safe": not row["type"].startswith("contrast"),
                        "prompt": row["prompt"],
                        "completion": row["completion"],
                        **people,
                        **judges,
                    }
                )
    return rows


def jbb_rows() -> list[dict[str, Any]]:
    """Every artifact: attack, model, behaviour, goal, category, response, and one code (1 safe, 2 unsafe, 0
    none) a judge."""
    rows = []
    for file in sorted((need("jbb") / "attack-artifacts").glob("*/*/*.json")):
        if file.parts[-3] == "test-artifact":
            continue
        data = json.loads(file.read_text(encoding="utf-8"))
        for one in data.get("jailbreaks", []):
            verdicts = {
                name: 0 if one.get(key) is None else 1 + bool(one[key])
                for name, key in (("llama-3-70b", "jailbroken"), ("llama-guard-1", "jailbroken_llama_guard1"))
            }
            rows.append(
                {
                    "attack": data["parameters"]["method"],
                    "model": data["parameters"]["model"],
                    "behaviour": one["behavior"],
                    "goal": one["goal"],
                    "category": one["category"],
                    "response": one["response"],
                    **verdicts,
                }
            )
    return rows


def counted(golden: dict[str, Any]) -> dict[str, Any]:
    """The counts of the full data, in the form in which they are committed.

    Args:
        golden: the reference values, for the ids of the labelled sample.
    """
    xstest, jbb = xstest_rows(), jbb_rows()
    sample = set(golden["xstest/judge_correction_gpt4_any_refusal"]["labelled_generation_ids"])
    judged = [r for r in xstest if r["gpt4"]]
    keys = ("model", "safe", *RATERS)
    return {
        "xstest": sorted([*key, n] for key, n in Counter(tuple(r[k] for k in keys) for r in xstest).items()),
        "xstest_sample": sorted(
            [*key, n]
            for key, n in Counter(
                (f"{r['model']}/{r['id']}" in sample, int(r["human_final"] > 1), int(r["gpt4"] > 1))
                for r in judged
            ).items()
        ),
        "xstest_change": sorted(
            [*key, n] for key, n in Counter(_pairs(xstest, "llama2new", "llama2orig")).items()
        ),
        "jbb": sorted(
            [*key, n]
            for key, n in Counter(
                (r["attack"], r["model"], r["llama-3-70b"], r["llama-guard-1"]) for r in jbb
            ).items()
        ),
    }


def _pairs(rows: list[dict[str, Any]], one: str, other: str) -> list[tuple[int, int]]:
    refused = {(r["model"], r["id"]): int(r["human_final"] > 1) for r in rows}
    return [(refused[one, r["id"]], refused[other, r["id"]]) for r in rows if r["model"] == one]


def committed() -> dict[str, Any]:
    """The counts that are committed."""
    return dict(json.loads(COUNTS.read_text()))


JBB_STUDY = """
name = "jbb"
title = "Published attacks, judged twice"
{starts}
[[benchmarks]]
name = "jbb-behaviors"
source = "file:jbb.csv"
[[judges]]
name = "llama-3-70b"
recorded = true
[[judges]]
name = "llama-guard-1"
recorded = true
[[judges]]
name = "coherence-rules"
[primary]
benchmark = "jbb-behaviors"
judge = "llama-3-70b"
refusal_judge = "llama-3-70b"
coherence = "coherence-rules"
"""


def rows_from_counts(counts: list[list[Any]]) -> list[dict[str, Any]]:
    """As many artifacts as the counts say, with made-up behaviours: rates and tables are those of the data,
    pairings across attacks are not."""
    rows, seen = [], Counter[tuple[str, str]]()
    for attack, model, llama, guard, n in counts:
        for _ in range(n):
            i = seen[attack, model]
            seen[attack, model] += 1
            rows.append(
                {
                    "attack": attack,
                    "model": model,
                    "behaviour": f"behaviour {i}",
                    "goal": f"goal {i}",
                    "category": "",
                    "response": "text",
                    "llama-3-70b": llama,
                    "llama-guard-1": guard,
                }
            )
    return rows


def write_jbb(root: Path, rows: list[dict[str, Any]]) -> None:
    """The artifacts as a job folder: attacks on four models, as given, with two recorded judges."""
    models = sorted({r["model"] for r in rows})
    text = JBB_STUDY.format(starts="\n".join(f'[[starts]]\nname = "{m}"\nmodel = "{m}"' for m in models))
    behaviours = list(dict.fromkeys(r["behaviour"] for r in rows))
    bench = BenchmarkRecord("jbb-behaviors", "1", "safety", "digest", len(behaviours), "MIT")
    goals = {r["behaviour"]: r for r in rows}
    prompts = {
        b: Prompt(
            bench.id,
            b,
            i,
            ({"role": "user", "content": goals[b]["goal"]},),
            goals[b]["category"],
            b,
            goals[b]["goal"],
        )
        for i, b in enumerate(behaviours)
    }
    condition = Condition("", "t", 0, 0.0, 1.0, 150, "recorded", "1", "")
    raters = {
        name: Rater(name, "judge", name, ("safety",), "1", "irrelevant answers are safe")
        for name in ("llama-3-70b", "llama-guard-1")
    }
    checkpoints = {m: Checkpoint(m, m) for m in models}
    records: list[Record] = [
        parse_study(text).record(text, 1.0),
        bench,
        *prompts.values(),
        condition,
        *raters.values(),
        *checkpoints.values(),
    ]
    records += [PathPoint("jbb", m, 0, 0, c.id, m, "", 0.0) for m, c in checkpoints.items()]
    attacks = {name: Attack(name) for name in sorted({r["attack"] for r in rows})}
    records += attacks.values()
    for r in rows:
        g = Generation(
            checkpoints[r["model"]].id,
            bench.id,
            condition.id,
            prompts[r["behaviour"]].id,
            0,
            0,
            r["response"] or "",
            "stop",
            1,
            attacks[r["attack"]].id,
        )
        records.append(g)
        records += [
            Judgment(g.id, g.cell_id, raters[name].id, "safety", "ok", ("safe", "unsafe")[r[name] - 1])
            for name in raters
            if r[name]
        ]
    with Part(create_job(root, Manifest("import", "jbb", {}))) as part:
        part.write("all", records)


XSTEST_STUDY = """
name = "xstest"
title = "Published answers, labelled by two people"
{starts}
[[benchmarks]]
name = "xstest"
source = "file:xstest.csv"
[[judges]]
name = "gpt4"
recorded = true
[[judges]]
name = "coherence-rules"
recorded = true
[primary]
benchmark = "xstest"
judge = "gpt4"
refusal_judge = "gpt4"
coherence = "coherence-rules"
"""
REFUSALS = {1: "none", 2: "full", 3: "partial"}


def write_xstest(root: Path, rows: list[dict[str, Any]]) -> dict[str, Generation]:
    """XSTest's answers as a job folder, with one recorded judge; the outputs by "model/id"."""
    models = sorted({r["model"] for r in rows})
    text = XSTEST_STUDY.format(starts="\n".join(f'[[starts]]\nname = "{m}"\nmodel = "{m}"' for m in models))
    ids = list(dict.fromkeys(r["id"] for r in rows))
    bench = BenchmarkRecord("xstest", "2", "safety", "digest", len(ids), "CC-BY-4.0")
    asked = {r["id"]: r["prompt"] for r in rows}
    prompts = {
        i: Prompt(bench.id, i, place, ({"role": "user", "content": asked[i]},), behaviour=i)
        for place, i in enumerate(ids)
    }
    condition = Condition("", "t", 0, 0.0, 1.0, 256, "recorded", "1", "")
    judge = Rater("gpt4", "judge", "gpt4", ("refusal",), "1", "not documented")
    checkpoints = {m: Checkpoint(m, m) for m in models}
    records: list[Record] = [
        parse_study(text).record(text, 1.0),
        bench,
        *prompts.values(),
        condition,
        judge,
        *checkpoints.values(),
    ]
    records += [PathPoint("xstest", m, 0, 0, c.id, m, "", 0.0) for m, c in checkpoints.items()]
    outputs = {}
    for r in rows:
        g = Generation(
            checkpoints[r["model"]].id,
            bench.id,
            condition.id,
            prompts[r["id"]].id,
            0,
            0,
            r["completion"],
            "stop",
            1,
        )
        outputs[f"{r['model']}/{r['id']}"] = g
        status = ("ok", REFUSALS[r["gpt4"]]) if r["gpt4"] else ("unparsed", None)
        records += [g, Judgment(g.id, g.cell_id, judge.id, "refusal", *status)]
    with Part(create_job(root, Manifest("import", "xstest", {}))) as part:
        part.write("all", records)
    return outputs
