"""Watching folders in which somebody trains: a checkpoint that appears is answered and judged.

The command watches one study while it runs; the app watches those that are switched on, in its own file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import replace_file
from capsafe_core.jobs.foreign import refuse_foreign
from capsafe_core.jobs.new_run import planned, queue_jobs
from capsafe_core.jobs.own_checkpoints import find_checkpoints, known_checkpoints
from capsafe_core.jobs.record_job import recorded_study
from capsafe_core.settings import Settings
from capsafe_core.study import RecipeSettings, Study

PERIOD = 5.0
"""seconds between looks"""
WATCHED = "watching.json"
"""in a workspace: the studies that the app watches"""


def watch_over(study: Study, root: Path, go: Callable[[], bool], seconds: float | None = None) -> bool:
    """Carry out what there is, again and again, until every step that the study names has been answered.

    Args:
        go: carries out what can be done now; returns whether all of it is done.
        seconds: after which no further look is taken.

    Raises:
        CapsafeError: no recipe of the study has checkpoints in folders.
    """
    watched = [recipe for recipe in study.recipes if recipe.folders]
    if not watched:
        raise CapsafeError(
            f"No recipe of {study.name!r} has checkpoints that somebody else trains.",
            "Name where they appear as `checkpoints` of a recipe, or run without --watch.",
        )
    began = time.time()
    while True:
        waiting = [recipe for recipe in watched if _lacks_steps(root, study, recipe)]
        done = go()
        if not waiting or (seconds is not None and time.time() - began > seconds):
            return done
        time.sleep(PERIOD)


def _lacks_steps(root: Path, study: Study, recipe: RecipeSettings) -> bool:
    """Whether a step that the recipe names is not there yet, with a seed that it names or, where it has none,
    one that has begun; where it names no steps, more may always come."""
    there = {(one.seed, one.step) for one in known_checkpoints(root, study.name, recipe, awaited=True)}
    stated = "seeds" in recipe.model_fields_set or not there
    seeds = set(recipe.seeds) if stated else {seed for seed, _ in there}
    return not recipe.steps or any((seed, step) not in there for seed in seeds for step in recipe.steps)


def watched_studies(settings: Settings) -> set[str]:
    """Names of the studies that the app watches."""
    try:
        found = json.loads((settings.home / WATCHED).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return set()
    return {name for name in found if isinstance(name, str)} if isinstance(found, list) else set()


def watch(settings: Settings, study: str, on: bool) -> None:
    """Have the app watch a study, or no longer.

    Raises:
        CapsafeError: the disk refuses.
    """
    names = watched_studies(settings)
    names = names | {study} if on else names - {study}
    replace_file(settings.home / WATCHED, json.dumps(sorted(names)))


def queue_new(settings: Settings) -> list[CapsafeError]:
    """Queue the jobs of checkpoints that appeared since the last look.

    Returns:
        Why some studies could not be looked at; the others were.
    """
    problems = []
    for name in sorted(watched_studies(settings)):
        try:
            study, _ = recorded_study(settings.jobs_path, name)
            refuse_foreign(settings.jobs_path, name)
            jobs = planned(settings.jobs_path, study, awaited=True)
            queue_jobs(settings, [job for job in jobs if not (settings.jobs_path / job.job_id).exists()])
        except CapsafeError as error:
            problems.append(CapsafeError(f"{name} is watched: {error.message}", error.hint))
    return problems


def waits_for(recipe: RecipeSettings) -> list[str]:
    """What of a recipe's folders cannot be used yet, each as a sentence."""
    try:
        return [f"{one.name}: {one.problem}" for one in find_checkpoints(recipe) if one.problem]
    except CapsafeError as error:
        return [error.message]
