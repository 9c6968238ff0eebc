"""The study that an import makes, or adds to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from capsafe_core.checkpoint_places import Place
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.looking import Survey
from capsafe_core.jobs.record_job import recorded_study
from capsafe_core.mapping import ImportMapping
from capsafe_core.study import IMPORTED
from capsafe_core.study_text import with_additions, with_kinds
from capsafe_core.toml_text import toml_table

RULES = "coherence-rules"
"""the incoherence detector that looks at imported outputs: it needs no model"""


def study_text(root: Path, survey: Survey, mapping: ImportMapping) -> str:
    """The study of an import as TOML: the one that is recorded under its name, with what is new at its end;
    else a draft.

    Raises:
        CapsafeError: no log says of which model it is.
    """
    places = [Place(**log["place"]) for log in survey.logs if log["place"]]
    try:
        study, text = recorded_study(root, mapping.name)
    except CapsafeError:
        if not places:
            raise CapsafeError(
                "No log says which model it is of, and there is no study to add to.",
                "Name the study of these outputs with --name, or state a pattern or a column for the "
                "checkpoint.",
            ) from None
        return _draft(survey, mapping, places)
    there = {
        group: {part.name for part in getattr(study, group)}
        for group in ("starts", "datasets", "recipes", "benchmarks", "judges")
    }
    named = _tables(survey, mapping, places)
    longer = {}
    for group, values in named:
        if group == "recipes" and values["name"] in there["recipes"]:
            known = study.recipe(values["name"])
            for key, before in (("steps", known.steps), ("seeds", known.seeds)):
                if not {*values[key]} <= {*before}:
                    longer[group, known.name, key] = {*before, *values[key]}
    tables = [(group, values) for group, values in named if values["name"] not in there[group]]
    text = with_additions(text, tables, longer) if tables or longer else text
    return with_kinds(text, {v["name"]: v["config"]["kind"] for group, v in named if group == "benchmarks"})


def _tables(
    survey: Survey, mapping: ImportMapping, places: Sequence[Place]
) -> list[tuple[str, dict[str, Any]]]:
    """Everything that a study names, in the order of a study file."""
    used = [(log, mapping.benchmark(log["benchmark"])) for log in survey.logs]
    kinds = {reading.name: reading.kind for _, reading in used}
    capability = [name for name, kind in kinds.items() if kind == "capability"]
    tables: list[tuple[str, dict[str, Any]]] = [
        ("starts", {"name": s, "model": s}) for s in dict.fromkeys(p.start for p in places)
    ]
    tuned = [p for p in places if p.recipe and p.step]
    for data in dict.fromkeys(p.data for p in tuned):
        near = [b for b in capability if data.lower() in b.lower() or b.lower() in data.lower()] or (
            capability if len(capability) == 1 else []
        )
        tables.append(
            ("datasets", {"name": data, "source": IMPORTED, "benchmark": near[0] if near else None})
        )
    for recipe in dict.fromkeys(p.recipe for p in tuned):
        mine = [p for p in tuned if p.recipe == recipe]
        steps, seeds = sorted({p.step for p in mine}), sorted({p.seed for p in mine})
        tables.append(
            (
                "recipes",
                {
                    "name": recipe,
                    "start": mine[0].start,
                    "dataset": mine[0].data,
                    "steps": steps,
                    "seeds": seeds,
                    "recorded": True,
                },
            )
        )
    for name, kind in kinds.items():
        tables.append(("benchmarks", {"name": name, "source": IMPORTED, "config": {"kind": kind}}))
    names = dict.fromkeys(r.name for r in mapping.judges if not r.person)
    tables += [("judges", {"name": name, "recorded": True}) for name in names]
    if RULES not in names:
        tables.append(("judges", {"name": RULES}))
    return tables


def _draft(survey: Survey, mapping: ImportMapping, places: Sequence[Place]) -> str:
    sizes: dict[str, int] = {}
    for log in survey.logs:
        reading = mapping.benchmark(log["benchmark"])
        if reading.kind != "capability":
            sizes[reading.name] = sizes.get(reading.name, 0) + log["outputs"]
    benchmark = (
        max(sizes, key=lambda b: sizes[b]) if sizes else mapping.benchmark(survey.logs[0]["benchmark"]).name
    )
    judges = [r for r in mapping.judges if not r.person]

    def first(dimension: str, other: str) -> str:
        return next((r.name for r in judges if r.dimension == dimension), other)

    refusal = first("refusal", "")
    safety = first("safety", refusal or first("correctness", RULES))
    primary = {
        "benchmark": benchmark,
        "judge": safety,
        "refusal_judge": refusal or safety,
        "coherence": first("coherence", RULES),
    }
    head = {"name": mapping.name, "title": mapping.title or f"Imported: {survey.words.split(';')[0]}"}
    text = (
        "# Drafted from imported logs. State a goal for each data set, and check the primary specification.\n"
    )
    text += toml_table("x", head).split("\n", 1)[1]
    text += "".join(toml_table(f"[{group}]", values) for group, values in _tables(survey, mapping, places))
    goals = {
        data: goal for data, goal in mapping.goals.items() if data in {p.data for p in places if p.recipe}
    }
    return text + toml_table("goals", goals) + toml_table("primary", primary)
