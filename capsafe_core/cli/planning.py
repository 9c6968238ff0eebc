"""What a study could tell, before it is run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from capsafe_core.analysis.columns import records
from capsafe_core.analysis.planning import (
    STUDIES,
    Design,
    design_of,
    lacking_sizes,
    needed_table,
    plan_words,
    planned_table,
)
from capsafe_core.cli.terminal import say
from capsafe_core.errors import CapsafeError
from capsafe_core.study import load_study

commands = typer.Typer()


@commands.command()
def plan(
    study: Path,
    prompts: Annotated[
        int | None, typer.Option(min=2, help="harmful requests, where no size is stated")
    ] = None,
    items: Annotated[
        int | None, typer.Option(min=2, help="capability items, where no size is stated")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="responses to each request")] = 1,
    seeds: Annotated[int | None, typer.Option(min=1, help="training seeds, other than the study's")] = None,
    rate: Annotated[float, typer.Option(min=0, max=1, help="unsafe rate of the start")] = Design.rate,
    seed_deviation: Annotated[
        float, typer.Option(min=0, max=1, help="how much a training seed changes a rate")
    ] = Design.seed_deviation,
    sensitivity: Annotated[float, typer.Option(min=0, max=1, help="of the judge")] = Design.sensitivity,
    specificity: Annotated[float, typer.Option(min=0, max=1, help="of the judge")] = Design.specificity,
    margin: Annotated[
        float | None, typer.Option(min=0.001, max=0.999, help="also: what it takes to show a margin")
    ] = None,
    studies: Annotated[int, typer.Option(min=20, help="simulated for each difference")] = STUDIES,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON records")] = False,
) -> None:
    """The differences that a study could see, before it is run: by simulation from its own design."""
    design = design_of(load_study(study)[0], prompts, items, samples)
    design = replace(
        design,
        seeds=seeds or design.seeds,
        rate=rate,
        seed_deviation=seed_deviation,
        sensitivity=sensitivity,
        specificity=specificity,
    )
    if lacking := list(lacking_sizes(design)):
        raise CapsafeError(" ".join(lacking), "State them with --prompts and --items, or in the study file.")
    planned = planned_table(design, studies)
    needed = None if margin is None else needed_table(design, margin, studies)
    if as_json:
        tables = {"planned": records(planned), "needed": [] if needed is None else records(needed)}
        say(json.dumps(tables, indent=1))
        return
    for words in plan_words(design, planned, needed, margin or 0.0):
        say(words)
