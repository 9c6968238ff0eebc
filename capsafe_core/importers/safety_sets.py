"""Published safety sets in their authors' own formats: JailbreakBench, HarmBench, XSTest, StrongREJECT,
AISafetyLab."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from capsafe_core import catalogue
from capsafe_core.errors import CapsafeError
from capsafe_core.importers.bounded import json_lines, load_json
from capsafe_core.importers.csv_text import csv_rows
from capsafe_core.importers.log import Column, Log, Problems, Row, as_object, normal, number, said, taken

_TEXT, _NUMBER = (str,), (int, float)

JAILBREAKBENCH = (
    Column("behavior", _TEXT),
    Column("goal", _TEXT, True),
    Column("category", _TEXT),
    Column("prompt", _TEXT),
    Column("response", _TEXT),
    Column("response_tokens", _NUMBER),
    Column("jailbroken", (bool,)),
    Column("jailbroken_llama_guard1", (bool,)),
)
HARMBENCH = (
    Column("test_case", _TEXT, True),
    Column("generation", _TEXT, True),
    Column("label", (int, float, str, bool)),
    Column("advbench_label", (int, float, str, bool)),
)
ATTACKED = ("final_query", "jailbreak_prompt", "attack_prompt", "jailbreak_prompts", "target_responses")
"""AISafetyLab's names of a query as an attack rewrote it, or of what came of it"""
_ANSWERED = ("final_response", "target_response", "target_responses", "response", "responses")
_SCORES = ("final_score", "score", "judge_score", "eval_results", "attack_success")
AISAFETYLAB = (
    Column("query", _TEXT, True),
    Column("example_idx", (int, str)),
    *(Column(name, (str, list)) for name in (*ATTACKED, *_ANSWERED) if name not in ("target_responses",)),
    Column("target_responses", (str, list)),
    *(Column(name, (int, float, bool, list)) for name in _SCORES),
)
STRONGREJECT = ("refusal", "convincingness", "specificity", "score")


def read_jailbreakbench(paths: tuple[Path, ...], problems: Problems) -> Iterator[Log]:
    """An artifact: one row for each behaviour, with the verdicts of the two judges; a response may be
    missing."""
    data = load_json(paths[0])
    about = data.get("parameters") if isinstance(data, dict) else None
    rows = data.get("jailbreaks") if isinstance(data, dict) else None
    if not isinstance(about, dict) or not isinstance(rows, list):
        raise CapsafeError(
            f"{paths[0].name} is not a JailbreakBench artifact: it has no 'parameters' or no 'jailbreaks'.",
            "",
        )
    settings = about.get("method_parameters")
    most = settings.get("target-max-n-tokens") if isinstance(settings, dict) else None
    condition = {
        "engine": str(about.get("evaluation_llm_provider") or ""),
        "max_tokens": most if isinstance(most, int) else 0,
        "defence": _cell(about, _DEFENCE),
    }
    yield Log(
        "jailbreakbench",
        "jbb-behaviors",
        str(about.get("model") or ""),
        attack=str(about.get("method") or ""),
        condition=condition,
        kind="safety",
        licence="MIT",
        named=True,
        rows=_jailbreaks(rows, paths[0], problems),
    )


def _jailbreaks(rows: list[Any], path: Path, problems: Problems) -> Iterator[Row]:
    for i, row in enumerate(rows):
        found = taken(row, JAILBREAKBENCH, f"Jailbreak {i} of {path.name}", problems)
        if found is not None:
            tokens = number(found.get("response_tokens")) or 0.0
            verdicts = tuple(
                said(key, found[key]) for key in ("jailbroken", "jailbroken_llama_guard1") if key in found
            )
            behaviour = found.get("behavior") or found["goal"]
            yield Row(
                behaviour,
                found["goal"],
                found.get("response"),
                asked=found.get("prompt", ""),
                category=found.get("category", ""),
                behaviour=behaviour,
                behaviour_text=found["goal"],
                tokens=int(tokens) if 0 <= tokens < 1 << 31 else 0,
                said=verdicts,
            )


def read_harmbench(paths: tuple[Path, ...], problems: Problems) -> Iterator[Log]:
    """Completions or results: one row for each behaviour and test case.

    Model and method stand in the path; the behaviours' texts in a CSV beside it, where there is one.
    """
    path = paths[0]
    data = load_json(path)
    if not isinstance(data, dict):
        raise CapsafeError(f"{path.name} is not a HarmBench file: it is not an object of behaviours.", "")
    known = _behaviours(paths[1], problems) if len(paths) > 1 else {}
    if not known:
        problems.add(
            f"Beside {path.name} there is no file of behaviours, so the outputs have no text of what is "
            "asked; harmbench_behaviors_text_all.csv in the same folder adds it."
        )
    folders = path.parts
    inside = len(folders) > 3 and folders[-2] in ("results", "completions")
    yield Log(
        "harmbench",
        "harmbench",
        path.stem,
        attack=folders[-4] if inside and len(folders) > 4 else "",
        kind="safety",
        licence="MIT",
        named=True,
        rows=_completions(data, known, path, problems),
    )


def _behaviours(path: Path, problems: Problems) -> dict[str, dict[str, str]]:
    try:
        return {row["BehaviorID"]: row for _, row in csv_rows(path, problems) if "BehaviorID" in row}
    except CapsafeError as error:
        problems.add(error.message)
        return {}


def _completions(
    data: dict[str, Any], known: dict[str, dict[str, str]], path: Path, problems: Problems
) -> Iterator[Row]:
    for behaviour, cases in data.items():
        for i, case in enumerate(cases if isinstance(cases, list) else [cases]):
            found = taken(case, HARMBENCH, f"Behaviour {behaviour!r} of {path.name}, case {i}", problems)
            if found is None:
                continue
            about = known.get(behaviour, {})
            text = about.get("Behavior", "") or behaviour.replace("_", " ")
            verdicts = tuple(said(key, found[key]) for key in ("label", "advbench_label") if key in found)
            yield Row(
                behaviour,
                text,
                found["generation"],
                i,
                asked=found["test_case"] if found["test_case"] != text else "",
                category=about.get("SemanticCategory", ""),
                behaviour=behaviour,
                behaviour_text=text,
                context=about.get("ContextString", ""),
                said=verdicts,
            )


def read_xstest(paths: tuple[Path, ...], problems: Problems) -> Iterator[Log]:
    """Completions with the labels of people or of a judge, or the prompts alone.

    The model stands in a column, or in the file's name.
    """
    path = paths[0]
    match = re.fullmatch(r"xstest.*?_completions_(.+?)(?:_gpteval|_streval)?", path.stem)
    for (model, _, defence), rows in by_model(csv_rows(path, problems)):
        yield Log(
            "xstest",
            "xstest",
            model or (match.group(1) if match else path.stem),
            condition={"defence": defence},
            kind="over_refusal",
            licence="CC-BY-4.0",
            rows=_xstest(rows, path, problems),
        )


def _xstest(rows: Iterable[tuple[int, dict[str, Any]]], path: Path, problems: Problems) -> Iterator[Row]:
    for i, row in rows:
        if not row.get("id") or not row.get("prompt") or "type" not in row:
            problems.add(f"Row {i} of {path.name} has no id, no prompt or no type.")
            continue
        found = [said(c, v.strip()) for c, v in row.items() if c.endswith("_label") and c != "final_label"]
        people = {"annotation_1": "annotator_1", "annotation_2": "annotator_2", "final_label": "final"}
        found += [said(c, row[c].strip(), person=who) for c, who in people.items() if row.get(c)]
        yield Row(
            row["id"],
            row["prompt"],
            row.get("completion"),
            category=row["type"],
            behaviour=row["id"],
            said=tuple(found),
        )


def read_strongreject(paths: tuple[Path, ...], problems: Problems) -> Iterator[Log]:
    """Evaluated rows: forbidden prompt, response, and refusal, convincingness, specificity and score."""
    path = paths[0]
    rows = csv_rows(path, problems) if path.suffix.lower() in (".csv", ".tsv") else json_lines(path, problems)
    items: dict[str, int] = {}
    for (model, attack, defence), found in by_model(rows):
        yield Log(
            "strongreject",
            "strongreject",
            model,
            attack=attack,
            condition={"defence": defence},
            kind="safety",
            licence="MIT",
            counted=True,
            rows=_strongreject(found, items, path, problems),
        )


def _strongreject(
    rows: Iterable[tuple[int, dict[str, Any]]], items: dict[str, int], path: Path, problems: Problems
) -> Iterator[Row]:
    samples: dict[str, int] = {}
    for i, row in rows:
        prompt, answer = row.get("forbidden_prompt"), row.get("response")
        if not isinstance(prompt, str) or not prompt or not isinstance(answer, str):
            problems.add(f"Row {i} of {path.name} has no forbidden_prompt or no response.")
            continue
        item = str(items.setdefault(normal(prompt), len(items) + 1))
        sample = samples[prompt] = samples.get(prompt, -1) + 1
        verdicts = tuple(
            said(name, _cell_number(row[name]), str(row.get("judge_response") or ""))
            for name in STRONGREJECT
            if name in row
        )
        yield Row(
            item,
            prompt,
            answer,
            sample,
            asked=str(row.get("jailbroken_prompt") or ""),
            category=str(row.get("category") or ""),
            behaviour=item,
            behaviour_text=prompt,
            said=verdicts,
        )


def _cell_number(value: Any) -> Any:
    """A number, also where a CSV holds it as text."""
    return number(value) if isinstance(value, str) and value.strip() else value


def read_aisafetylab(paths: tuple[Path, ...], problems: Problems) -> Iterator[Log]:
    """Results of an attack: query, final query and final response, with the evaluator's score."""
    path = paths[0]
    data = load_json(path)
    if not isinstance(data, list):
        raise CapsafeError(f"{path.name} is not an AISafetyLab file: it is not a list.", "")
    for (model, attack, defence), rows in by_model(enumerate(data)):
        yield Log(
            "aisafetylab",
            "aisafetylab",
            model,
            attack=attack,
            condition={"defence": defence},
            kind="safety",
            rows=_aisafetylab(rows, path, problems),
        )


def _aisafetylab(rows: Iterable[tuple[int, Any]], path: Path, problems: Problems) -> Iterator[Row]:
    for i, row in rows:
        found = taken(row, AISAFETYLAB, f"Example {i} of {path.name}", problems)
        if found is None:
            continue
        answer, asked = _first_text(found, _ANSWERED), _first_text(found, ATTACKED[:-1]) or ""
        item = str(found.get("example_idx", i))
        scores = {name: found[name] for name in _SCORES if name in found}
        yield Row(
            item,
            found["query"],
            answer,
            asked=asked if asked != found["query"] else "",
            behaviour=item,
            behaviour_text=found["query"],
            said=tuple(said(name, v[-1] if isinstance(v, list) and v else v) for name, v in scores.items()),
        )


def _first_text(found: dict[str, Any], names: Iterable[str]) -> str | None:
    """The first text under some names; of a list, the first one in it."""
    for name in names:
        value = found.get(name)
        texts = value if isinstance(value, list) else [value]
        text = next((t for t in texts if isinstance(t, str) and t), None)
        if text is not None:
            return text
    return None


_MODEL = ("model", "model_name", "target_model", "checkpoint")
_ATTACK = ("method", "attack", "attack_method", "jailbreak")
_DEFENCE = ("defence", "defense", "defender", "defense_method")
Kept = tuple[int, Any]


def by_model(rows: Iterable[Kept]) -> Iterator[tuple[tuple[str, str, str], Iterable[Kept]]]:
    """Rows of a published form by the model, the attack and the defence that their columns name; all together
    where there are no such columns."""
    groups: dict[tuple[str, str, str], list[Kept]] = {}
    for i, row in rows:
        about = as_object(row)
        groups.setdefault((_cell(about, _MODEL), _cell(about, _ATTACK), _cell(about, _DEFENCE)), []).append(
            (i, row)
        )
    yield from groups.items() if groups else [(("", "", ""), [])]


def _cell(row: dict[str, Any], names: Iterable[str]) -> str:
    return next((row[n].strip() for n in names if isinstance(row.get(n), str)), "")


def prompt_form(columns: set[str]) -> str:
    """The published prompt file that has these columns; "" where none has."""
    return next(
        (name for name, form in catalogue.benchmarks().items() if set(form["columns"]) <= columns), ""
    )


def read_prompts(paths: tuple[Path, ...], problems: Problems) -> Iterator[Log]:
    """A published file of prompts, without outputs."""
    path = paths[0]
    rows = list(csv_rows(path, problems))
    name = prompt_form(set(rows[0][1])) if rows else ""
    if not name:
        raise CapsafeError(f"{path.name} is not a file of prompts that is known.", "")
    form = catalogue.benchmarks()[name]
    yield Log("prompts", name, kind=form["kind"], licence=form["licence"], rows=_prompts(form, rows))


def _prompts(form: dict[str, Any], rows: list[tuple[int, dict[str, str]]]) -> Iterator[Row]:
    for i, row in rows:
        prompt = row[form["prompt"]]
        if prompt:
            item = row.get(form.get("id", ""), "") or str(i)
            text = row.get(form.get("behaviour_text", ""), "")
            yield Row(
                item,
                prompt,
                None,
                category=row.get(form.get("category", ""), ""),
                behaviour=item,
                behaviour_text=text,
                context=row.get(form.get("context", ""), ""),
            )
