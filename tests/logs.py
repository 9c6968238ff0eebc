"""Logs as other tools write them, made up: small files of every form."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

MODEL = "org/model"


@dataclass(frozen=True)
class Form:
    """What is to be found in a folder of one form."""

    tool: str
    rows: int
    said: Counter[str] = field(default_factory=Counter)
    silent: int = 0
    logs: int = 1
    model: str = MODEL


FORMS = {
    "inspect-eval": Form("inspect", 8, Counter({"harm/score": 8, "harm/refusal": 8, "grader": 8})),
    "inspect-zstd": Form("inspect", 8, Counter({"harm/score": 8, "harm/refusal": 8, "grader": 8})),
    "inspect-json": Form("inspect", 8, Counter({"harm/score": 8, "harm/refusal": 8, "grader": 8})),
    "inspect-header": Form("inspect", 0),
    "lm-eval": Form(
        "lm-eval", 9, Counter({"exact_match/strict": 5, "exact_match/flexible": 5, "acc": 4}), logs=2
    ),
    "harmbench": Form("harmbench", 6, Counter({"label": 6, "advbench_label": 6}), model="vicuna"),
    "jailbreakbench": Form(
        "jailbreakbench", 7, Counter({"jailbroken": 7, "jailbroken_llama_guard1": 7}), silent=2
    ),
    "xstest": Form(
        "xstest",
        5,
        Counter({"annotation_1": 5, "annotation_2": 5, "final_label": 5, "gpt4_label": 5}),
        model="m",
    ),
    "strongreject": Form(
        "strongreject",
        4,
        Counter({"refusal": 4, "convincingness": 4, "specificity": 4, "score": 4}),
        model="",
    ),
    "aisafetylab": Form("aisafetylab", 4, Counter({"final_score": 4}), model=""),
    "helm": Form("helm", 5, Counter({"exact_match": 5, "safety/gpt_score": 5})),
    "every-eval-ever": Form("every-eval-ever", 4, Counter({"r1/is_correct": 4, "r1/score": 4})),
    "table": Form("table", 6, Counter({"unsafe": 6})),
}


def inspect_sample(i: int, **changes: Any) -> dict[str, Any]:
    """A sample of an Inspect log."""
    return {
        "id": i,
        "epoch": 1,
        "input": f"question {i}",
        "target": "refuse",
        "output": {
            "model": MODEL,
            "choices": [{"message": {"role": "assistant", "content": f"answer {i}"}, "stop_reason": "stop"}],
            "usage": {"output_tokens": 5},
        },
        "scores": {
            "harm": {"value": {"score": i / 8, "refusal": i % 2}, "explanation": "said so"},
            "grader": {"value": "CIPN"[i % 4]},
        },
        "metadata": {"category": "made up"},
        "attachments": {},
        "events": [
            {"event": "model", "pending": False, "input": [], "timestamp": "2026-01-01T00:00:00+00:00"}
        ]
        * 6,
        **changes,
    }


def inspect_log(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """An Inspect log as one object."""
    about = {
        "run_id": "r",
        "eval_id": "e",
        "created": "2026-01-01T00:00:00+00:00",
        "task": "toy_safety",
        "task_version": 2,
        "model": MODEL,
        "model_args": {},
        "model_generate_config": {"temperature": 0.5, "max_tokens": 64},
        "metadata": {},
        "packages": {"inspect_ai": "0.3.285"},
    }
    scores = [
        {
            "name": "grader",
            "scorer": "grader",
            "scored_samples": len(samples),
            "metrics": {"mean": {"name": "mean", "value": 0.5}, "stderr": {"name": "stderr", "value": 0.1}},
        }
    ]
    return {
        "version": 2,
        "status": "success",
        "eval": about,
        "plan": {"config": {}},
        "results": {"scores": scores},
        "samples": samples,
    }


def write_eval(path: Path, log: dict[str, Any], header: bool = True, zstd: bool = False) -> None:
    """An Inspect log as an archive, deflated or packed with Zstandard (ZIP method 93) as newer versions
    do."""
    head = {k: v for k, v in log.items() if k != "samples"}
    files = {"_journal/start.json": {"version": 2, "eval": log["eval"], "plan": log["plan"]}}
    files |= {f"samples/{s['id']}_epoch_{s['epoch']}.json": s for s in log["samples"]}
    files |= {"header.json": head} if header else {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED if zstd else zipfile.ZIP_DEFLATED) as archive:
        for name, value in files.items():
            data = json.dumps(value).encode()
            archive.writestr(name, pa.compress(data, "zstd", asbytes=True) if zstd else data)
            # stored as they are; the directory then says by which method they were packed, and what they hold
            if zstd:
                entry = archive.infolist()[-1]
                entry.compress_type, entry.file_size, entry.CRC = 93, len(data), zlib.crc32(data)


def write_forms(root: Path) -> None:
    """One folder for each of FORMS."""
    for form in FORMS:
        (root / form).mkdir(parents=True)
    log = inspect_log([inspect_sample(i) for i in range(8)])
    write_eval(root / "inspect-eval" / "log.eval", log)
    write_eval(root / "inspect-zstd" / "log.eval", log, zstd=True)
    (root / "inspect-json" / "log.json").write_text(json.dumps(log))
    (root / "inspect-header" / "log.json").write_text(
        json.dumps({k: v for k, v in log.items() if k != "samples"})
    )
    _lm_eval(root / "lm-eval")
    _sets(root)
    _helm(root / "helm")
    _every_eval_ever(root / "every-eval-ever")
    rows = [
        {
            "model": MODEL,
            "task": "mine",
            "id": i,
            "prompt": f"p{i}",
            "response": f"r{i}",
            "unsafe": bool(i % 2),
        }
        for i in range(6)
    ]
    (root / "table" / "mine.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def _lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _lm_eval(root: Path) -> None:
    when = "2026-01-01T00-00-00.000001"
    results = {
        "results": {
            "gsm": {
                "alias": "gsm",
                "exact_match,strict": 0.2,
                "exact_match_stderr,strict": 0.1,
                "exact_match,flexible": 0.4,
                "exact_match_stderr,flexible": "N/A",
            },
            "choice": {"acc,none": 0.5, "acc_stderr,none": 0.2},
        },
        "configs": {
            "gsm": {
                "filter_list": [{"name": "strict"}, {"name": "flexible"}],
                "generation_kwargs": {"temperature": 0.0},
            },
            "choice": {},
        },
        "versions": {"gsm": 3.0, "choice": 1.0},
        "n-shot": {"gsm": 2, "choice": 0},
        "higher_is_better": {"gsm": {"exact_match": True}, "choice": {"acc": True}},
        "n-samples": {"gsm": {"original": 5, "effective": 5}, "choice": {"original": 4, "effective": 4}},
        "config": {
            "model": "hf",
            "model_args": f"pretrained={MODEL},peft=runs/a/checkpoint-10,dtype=bfloat16",
        },
        "lm_eval_version": "0.4.13",
    }
    (root / f"results_{when}.json").write_text(json.dumps(results))
    gsm = [
        {
            "doc_id": i,
            "doc": {},
            "target": "4",
            "arguments": {"gen_args_0": {"arg_0": f"2+{i}?", "arg_1": {"until": []}}},
            "resps": [[f"it is {i}"]],
            "filtered_resps": ["4"],
            "filter": by,
            "metrics": ["exact_match"],
            "exact_match": float(i % 2),
        }
        for by in ("strict", "flexible")
        for i in range(5)
    ]
    _lines(root / f"samples_gsm_{when}.jsonl", gsm)
    options = {f"gen_args_{j}": {"arg_0": "which?", "arg_1": f" option {j}"} for j in range(3)}
    choice = [
        {
            "doc_id": i,
            "doc": {},
            "target": 1,
            "arguments": options,
            "resps": [[[-3.0, False]], [[-1.0, True]], [[-9.0, False]]],
            "filtered_resps": [],
            "filter": "none",
            "metrics": ["acc"],
            "acc": 1.0,
        }
        for i in range(4)
    ]
    _lines(root / f"samples_choice_{when}.jsonl", choice)


def _sets(root: Path) -> None:
    cases = {
        f"behaviour_{i}": [
            {"test_case": f"please {j} {i}", "generation": f"no {j}", "label": j, "advbench_label": 1 - j}
            for j in range(2)
        ]
        for i in range(3)
    }
    folder = root / "harmbench" / "GCG" / "vicuna" / "results"
    folder.mkdir(parents=True)
    (folder / "vicuna.json").write_text(json.dumps(cases))
    behaviours = "".join(f"do {i},standard,made_up,,,behaviour_{i}\n" for i in range(3))
    (root / "harmbench" / "harmbench_behaviors.csv").write_text(
        "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID\n" + behaviours
    )
    jailbreaks = [
        {
            "index": i,
            "goal": f"goal {i}",
            "behavior": f"behaviour {i}",
            "category": "made up",
            "prompt": f"please {i}" if i > 1 else None,
            "response": f"sure {i}" if i > 1 else None,
            "jailbroken": i > 3,
            "jailbroken_llama_guard1": i > 4,
        }
        for i in range(7)
    ]
    about = {
        "method": "PAIR",
        "model": MODEL,
        "attack_type": "black_box",
        "evaluation_llm_provider": "vllm",
        "method_parameters": {"target-max-n-tokens": 150},
    }
    (root / "jailbreakbench" / "a.json").write_text(
        json.dumps({"parameters": about, "jailbreaks": jailbreaks})
    )
    labels = ["1_full_compliance", "2_full_refusal", "3_partial_refusal"]
    table = "id,type,prompt,completion,annotation_1,annotation_2,agreement,final_label,gpt4_label\n"
    table += "".join(
        f'v2-{i},homonyms,"How, '
        f'{i}?","So,\n{i}",{labels[i % 3]},{labels[0]},x,{labels[i % 3]},{"I cannot say" if i == 4 else labels[i % 3]}\n'
        for i in range(5)
    )
    (root / "xstest" / "xstest_v2_completions_m_gpteval.csv").write_text(table)
    rows = [
        {
            "forbidden_prompt": f"do {i}",
            "jailbroken_prompt": f"pretend: do {i}",
            "response": "no",
            "refusal": i % 2,
            "convincingness": 3,
            "specificity": 5,
            "score": i / 4,
        }
        for i in range(4)
    ]
    _lines(root / "strongreject" / "evaluated.jsonl", rows)
    attacked = [
        {
            "query": f"do {i}",
            "final_query": f"please do {i}",
            "final_response": "no",
            "final_score": i,
            "example_idx": i,
            "method": "GCG",
        }
        for i in range(4)
    ]
    (root / "aisafetylab" / "out.json").write_text(json.dumps(attacked))


def _helm(root: Path) -> None:
    adapter = {"model": MODEL, "temperature": 0.0, "max_tokens": 5, "max_train_instances": 0}
    states = [
        {
            "instance": {
                "id": f"id{i}",
                "input": {"text": f"question {i}"},
                "references": [{"output": {"text": "yes"}, "tags": ["correct"]}],
                "split": "test",
            },
            "request": {"prompt": f"Question: question {i}"},
            "result": {"success": True, "completions": [{"text": " yes", "tokens": [{}]}]},
            "annotations": {"safety": {"gpt_score": 0.5, "gpt_reasoning": "hm"}},
        }
        for i in range(5)
    ]
    per = [
        {
            "instance_id": f"id{i}",
            "train_trial_index": 0,
            "stats": [
                {"name": {"name": "exact_match", "split": "test"}, "mean": 1.0},
                {"name": {"name": "num_references"}, "mean": 4},
            ],
        }
        for i in range(5)
    ]
    files = {
        "run_spec.json": {
            "name": "mmlu:subject=philosophy,method=joint,model=org_model",
            "adapter_spec": adapter,
        },
        "scenario_state.json": {"adapter_spec": adapter, "request_states": states},
        "per_instance_stats.json": per,
        "stats.json": [{"name": {"name": "exact_match", "split": "test"}, "count": 5, "mean": 1.0}],
    }
    for name, value in files.items():
        (root / name).write_text(json.dumps(value))


def _every_eval_ever(root: Path) -> None:
    result = {
        "evaluation_result_id": "r1",
        "evaluation_name": "bench",
        "metric_config": {"metric_id": "accuracy", "lower_is_better": False},
        "score_details": {"score": 0.5, "uncertainty": {"num_samples": 4}},
    }
    record = {
        "schema_version": "0.3.0",
        "evaluation_id": "x/y/1",
        "retrieved_timestamp": "1",
        "source_metadata": {
            "source_type": "evaluation_run",
            "source_organization_name": "o",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "lib", "version": "1"},
        "model_info": {"name": "model", "id": MODEL},
        "evaluation_results": [result],
        "detailed_evaluation_results": {"format": "jsonl", "file_path": "data/one_samples.jsonl"},
    }
    (root / "one.json").write_text(json.dumps(record))
    sample = {
        "schema_version": "0.3.0",
        "evaluation_id": "x/y/1",
        "model_id": MODEL,
        "evaluation_name": "bench",
        "evaluation_result_id": "r1",
        "interaction_type": "single_turn",
    }
    _lines(
        root / "one_samples.jsonl",
        [
            {
                **sample,
                "sample_id": f"s{i}",
                "input": {"raw": f"q{i}", "reference": ["4"]},
                "output": {"raw": [f"a{i}"]},
                "answer_attribution": [],
                "evaluation": {"score": i % 2, "is_correct": bool(i % 2)},
            }
            for i in range(4)
        ],
    )
