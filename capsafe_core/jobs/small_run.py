"""A small run from the dashboard: a study with one checkpoint and no fine-tuning."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import create_job
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.record_job import record_study
from capsafe_core.jobs.supervisor import Queue
from capsafe_core.records import canonical_json
from capsafe_core.study import parse_study

BENCHMARKS = ("direct-requests", "dressed-requests", "harmless-lookalikes")


def small_study(name: str, model: str, benchmark: str, size: int, judges: Sequence[str]) -> str:
    """The TOML text of such a study.

    Raises:
        CapsafeError: no judge is chosen.
    """
    if not judges:
        raise CapsafeError("No judge is chosen.", "Choose at least one; coherence-rules says whether the answers make sense.")
    refusal = next((j for j in judges if j != "coherence-rules"), judges[0])
    coherence = "coherence-rules" if "coherence-rules" in judges else judges[0]
    q = canonical_json
    tables = "\n".join(f"[[judges]]\nname = {q(judge)}" for judge in judges)
    return f"""name = {q(name)}
title = {q(f"{model} on {benchmark}")}
[[starts]]
name = "model"
model = {q(model)}
[[benchmarks]]
name = {q(benchmark)}
source = {q(f"project:{benchmark}")}
size = {size}
{tables}
[primary]
benchmark = {q(benchmark)}
judge = {q(refusal)}
refusal_judge = {q(refusal)}
coherence = {q(coherence)}
"""


def start_small_run(root: Path, model: str, benchmark: str, size: int, judges: Sequence[str]) -> str:
    """Queue the jobs of a small run; returns the study's name.

    Raises:
        CapsafeError: the settings make no study.
    """
    name = time.strftime("run-%Y%m%d-%H%M%S")
    text = small_study(name, model, benchmark, size, judges)
    study = parse_study(text, name)
    record_study(root, study, text)
    for manifest in plan_study(study):
        Queue.add(create_job(root, manifest))
    return name
