"""Watching folders in which somebody trains: a checkpoint that appears is answered and judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.own_checkpoints import find_checkpoints, known_checkpoints
from capsafe_core.study import RecipeSettings, Study

PERIOD = 5.0
"""seconds between looks"""


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
    """Whether a step that the recipe names is not there yet, with any of its seeds; where it names none, more
    may always come."""
    there = {(one.seed, one.step) for one in known_checkpoints(root, study.name, recipe, awaited=True)}
    seeds = set(recipe.seeds) | {seed for seed, _ in there}
    return not recipe.steps or any((seed, step) not in there for seed in seeds for step in recipe.steps)


def waits_for(recipe: RecipeSettings) -> list[str]:
    """What of a recipe's folders cannot be used yet, each as a sentence."""
    try:
        return [f"{one.name}: {one.problem}" for one in find_checkpoints(recipe) if one.problem]
    except CapsafeError as error:
        return [error.message]
