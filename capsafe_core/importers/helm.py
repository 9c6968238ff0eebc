"""HELM's run directories: run_spec.json, scenario_state.json, stats.json and per_instance_stats.json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.importers.bounded import load_json
from capsafe_core.importers.log import Aggregate, Log, Problems, Row, Said, as_list, as_object, number, said


def read(paths: tuple[Path, ...], problems: Problems) -> Iterator[Log]:
    """A run: one row for each request and completion, its matches with the reference and its annotators'
    scores."""
    files = {p.name: p for p in paths}
    spec = as_object(load_json(files["run_spec.json"])) if "run_spec.json" in files else {}
    state = load_json(files["scenario_state.json"]) if "scenario_state.json" in files else {}
    if not isinstance(state, dict) or not isinstance(state.get("request_states"), list):
        raise CapsafeError(
            f"{paths[0].parent.name} is not a HELM run: scenario_state.json has no request_states.", ""
        )
    adapter = {**as_object(state.get("adapter_spec")), **as_object(spec.get("adapter_spec"))}
    name = str(spec.get("name") or "helm")
    condition = {
        "engine": "helm",
        "few_shot": adapter.get("max_train_instances")
        if isinstance(adapter.get("max_train_instances"), int)
        else 0,
    }
    condition |= {
        key: adapter[key] for key in ("temperature", "max_tokens") if number(adapter.get(key)) is not None
    }
    yield Log(
        "helm",
        _benchmark(name),
        str(adapter.get("model") or ""),
        condition=condition,
        rows=_rows(state["request_states"], _matches(files, problems), paths[0].parent.name, problems),
        aggregates=list(_aggregates(files, _benchmark(name))),
    )


def _benchmark(name: str) -> str:
    """The scenario with its own arguments, without those that say how it was asked and of whom:
    mmlu:subject=philosophy."""
    scenario, _, arguments = name.partition(":")
    kept = [
        a
        for a in arguments.split(",")
        if a and a.split("=")[0] not in ("model", "method", "model_deployment", "data_augmentation", "groups")
    ]
    return f"{scenario}:{','.join(kept)}" if kept else scenario


def _key(row: dict[str, Any], instance: Any) -> tuple[str, int, str]:
    trial = row.get("train_trial_index")
    return (
        str(instance),
        trial if isinstance(trial, int) else 0,
        str(as_object(row.get("perturbation")).get("name") or ""),
    )


def _matches(files: dict[str, Path], problems: Problems) -> dict[tuple[str, int, str], tuple[Said, ...]]:
    """Of each instance the metrics that say whether the answer matches the reference."""
    found: dict[tuple[str, int, str], tuple[Said, ...]] = {}
    for row in (
        as_list(load_json(files["per_instance_stats.json"])) if "per_instance_stats.json" in files else []
    ):
        if not isinstance(row, dict):
            problems.add("per_instance_stats.json holds something that is not an object.")
            continue
        stats = [
            (str(as_object(s.get("name")).get("name")), s.get("mean"))
            for s in as_list(row.get("stats"))
            if isinstance(s, dict)
        ]
        found[_key(row, row.get("instance_id"))] = tuple(
            said(n, m) for n, m in dict(stats).items() if n.endswith("_match")
        )
    return found


def _rows(
    states: list[Any], matches: dict[tuple[str, int, str], tuple[Said, ...]], run: str, problems: Problems
) -> Iterator[Row]:
    for i, state in enumerate(states):
        instance = as_object(as_object(state).get("instance"))
        text = as_object(instance.get("input")).get("text")
        if not isinstance(text, str) or not text:
            problems.add(f"Request {i} of {run} has no question.")
            continue
        key = _key(state, instance.get("id", i))
        if as_object(instance.get("perturbation")):
            key = key[0], key[1], str(as_object(instance["perturbation"]).get("name") or "")
        result = as_object(state.get("result"))
        if result.get("success") is False:
            problems.add(f"Request {i} of {run} failed: {str(result.get('error'))[:100]}.")
            continue
        right = [
            str(as_object(as_object(r).get("output")).get("text") or "")
            for r in as_list(instance.get("references"))
            if "correct" in as_list(as_object(r).get("tags"))
        ]
        asked = as_object(state.get("request")).get("prompt")
        completions = [c for c in as_list(result.get("completions")) if isinstance(c, dict)]
        for j, completion in enumerate(completions or [{}]):
            answer = completion.get("text")
            yield Row(
                key[0] + (f" ({key[2]})" if key[2] else ""),
                text,
                answer if isinstance(answer, str) else None,
                key[1] * max(1, len(completions)) + j,
                asked=asked if isinstance(asked, str) else "",
                reference="\n".join(right),
                finish=str(as_object(completion.get("finish_reason")).get("reason") or ""),
                tokens=len(as_list(completion.get("tokens"))),
                said=(*matches.get(key, ()), *_annotations(state)) if j == 0 else (),
            )


def _annotations(state: dict[str, Any]) -> Iterator[Said]:
    """What HELM's annotators, which are language models, scored."""
    for annotator, found in as_object(state.get("annotations")).items():
        for part, value in as_object(found).items():
            if part.endswith("_score") or part == "score":
                raw = as_object(found).get(part.replace("_score", "_reasoning"))
                yield said(f"{annotator}/{part}", value, raw if isinstance(raw, str) else "")


def _aggregates(files: dict[str, Path], benchmark: str) -> Iterator[Aggregate]:
    for row in as_list(load_json(files["stats.json"])) if "stats.json" in files else []:
        name = as_object(as_object(row).get("name"))
        mean, count = number(as_object(row).get("mean")), as_object(row).get("count")
        if (
            str(name.get("name")).endswith("_match")
            and name.get("split") in ("test", "valid", None)
            and not name.get("perturbation")
            and mean is not None
        ):
            # of another split it is another number
            split = "" if name.get("split") in ("test", None) else f"/{name['split']}"
            n = count if isinstance(count, int) else None
            yield Aggregate(benchmark, f"{name['name']}{split}", mean, None, n)
