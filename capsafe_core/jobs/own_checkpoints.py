"""Checkpoints that somebody else's training left in folders: which there are, and whether they are whole.

As the Trainer of transformers, TRL, Axolotl, LLaMA-Factory, Unsloth and torchtune leave them: full weights or
LoRA adapters as safetensors, with trainer_state.json beside them where the tool writes one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

from msgspec import UNSET

from capsafe_core.checkpoint_places import compiled, guess_pattern, path_facts
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import list_jobs
from capsafe_core.jobs.folder.work import GenerateWork, Point
from capsafe_core.jobs.foreign import is_foreign
from capsafe_core.path_steps import whole_number
from capsafe_core.study import RecipeSettings
from capsafe_core.trainer_state import STATE, trained_steps
from capsafe_core.weight_files import look_at

MOST_FOUND = 10_000
"""folders that a pattern may fit"""
MOST_LOOKED_AT = 100_000
"""files and folders on the way to them"""
NAMED = {"seed", "step"}


@dataclass(frozen=True)
class OwnCheckpoint:
    """A folder with weights, and its place on a path."""

    folder: Path
    seed: int
    step: int
    is_adapter: bool = False
    base: str = ""
    """of an adapter: the model that it says it was trained on"""
    has_tokenizer: bool = False
    problem: str = ""
    """why it cannot be used, or not yet"""

    @property
    def name(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}"


def find_checkpoints(recipe: RecipeSettings) -> list[OwnCheckpoint]:
    """The checkpoints of a recipe that was trained elsewhere, by seed and step; those of its steps and seeds
    where it names some.

    Raises:
        CapsafeError: nothing is there, the pattern cannot be read, or two folders are the same place.
    """
    found = sorted(
        (_looked_at(folder, seed, step) for folder, seed, step in _places(recipe)),
        key=lambda c: (c.seed, c.step, c.folder),
    )
    if not found:
        raise CapsafeError(
            f"Recipe {recipe.name!r}: no folder fits {' or '.join(recipe.folders)[:500]}.",
            "Correct the path: {step} and {seed} stand for numbers, * for anything in a folder's name.",
        )
    twice = next(((a, b) for a, b in pairwise(found) if (a.seed, a.step) == (b.seed, b.step)), None)
    if twice:
        raise CapsafeError(
            f"Recipe {recipe.name!r}: {twice[0].folder} and {twice[1].folder} are both seed {twice[0].seed}, "
            f"step {twice[0].step}.",
            "Name one of them, or write {seed} where their paths differ.",
        )
    return found


def usable_checkpoints(recipe: RecipeSettings) -> list[OwnCheckpoint]:
    """Those of `find_checkpoints` that can be used now; raises as it does."""
    return [found for found in find_checkpoints(recipe) if not found.problem]


def known_checkpoints(
    root: Path, study: str, recipe: RecipeSettings, awaited: bool = False
) -> list[OwnCheckpoint]:
    """Those that can be used now, and those that answered before and are gone.

    Args:
        awaited: whether they may still come.

    Raises:
        CapsafeError: there is neither, and they are not awaited.
    """
    answered = {}
    for job in list_jobs(root):
        is_answer = job.manifest.kind == "generate" and job.manifest.study == study
        if is_answer and not is_foreign(job.folder):  # what others bring names no checkpoint of a study here
            work = job.manifest.asks(GenerateWork)
            if work.begins is not UNSET and work.path is not UNSET and work.path.recipe == recipe.name:
                one = _of_work(work, work.path)
                answered[one.seed, one.step] = one
    try:
        here = {(one.seed, one.step): one for one in usable_checkpoints(recipe)}
    except CapsafeError:
        if not (answered or awaited):
            raise
        here = {}
    both = {**answered, **here}
    return [both[place] for place in sorted(both)]


def _of_work(work: GenerateWork, point: Point) -> OwnCheckpoint:
    (source,) = work.all_checkpoints
    over = source.adapters[-1].path if source.adapters else ""
    step = 0 if point.step is UNSET else point.step
    return OwnCheckpoint(
        Path(over or source.model), point.seed, step, bool(over), has_tokenizer=not source.tokenizer
    )


def require_whole(recipe: RecipeSettings, found: Sequence[OwnCheckpoint]) -> None:
    """Refuse checkpoints that cannot be used, and steps that are not there.

    Raises:
        CapsafeError: some are; every one is named.
    """
    broken = [f"{c.folder}: {c.problem}" for c in found if c.problem]
    there = {c.step for c in found}
    missing = [step for step in recipe.steps if step not in there]
    if missing:
        broken.append(f"There is no step {', '.join(map(str, missing[:20]))}.")
    if broken:
        raise CapsafeError(
            f"Recipe {recipe.name!r}: not all of its checkpoints can be used.\n" + "\n".join(broken[:20]),
            "Fix them, or name the steps that are to count. `--watch` waits for what is being written.",
        )


def guess_checkpoints(folder: Path) -> str:
    """The path with {seed} and {step} that most checkpoints below a folder fit; "" where there is none."""
    folders = [
        Path(where)
        for where, _, files in islice(os.walk(folder), MOST_FOUND)
        if any(name.endswith(".safetensors") for name in files)
    ]
    inside = [str(path.relative_to(folder)) for path in folders if path != folder]
    steps = [path for path in inside if re.search(r"\d", path)]
    if not steps:
        return str(folder) if folder in folders else ""
    return str(folder / _most_general(steps))


def _most_general(paths: Sequence[str]) -> str:
    """One pattern for paths below a folder: the last number is the step, one after "seed" or "s" the seed."""
    guesses: dict[str, int] = {}
    for path in paths:
        guess = re.sub(r"\d+(?=[^\d/]*$)", "{step}", path, count=1)
        guess = re.sub(r"(?<![A-Za-z])(seed|s)([-_=]?)\d+", r"\1\2{seed}", guess, count=1)
        guesses[guess] = guesses.get(guess, 0) + 1
    return max(guesses, key=lambda guess: guesses[guess])


def _places(recipe: RecipeSettings) -> Iterator[tuple[Path, int, int]]:
    """The folders of a recipe, with seed and step."""
    stated = {"seeds", "steps"} & recipe.model_fields_set
    for pattern in recipe.folders:
        for folder in _fitting(pattern):
            facts = path_facts(pattern, str(folder)) or path_facts(guess_pattern([str(folder)]), str(folder))
            seed = int(facts.get("seed", recipe.seeds[0]))
            step = whole_number(facts.get("step", ""))
            step = trained_steps(folder) if step is None else step
            if step is None:
                raise CapsafeError(
                    f"Recipe {recipe.name!r}: {folder} does not say which step it is.",
                    f"Write {{step}} where the path has it; a folder with {STATE} says it itself.",
                )
            # torchtune counts epochs from 0, and step 0 is the start itself
            step += 1 if re.search(r"epoch[-_=]?\{step\}|epoch[-_=]?\d+$", pattern) else 0
            if "seeds" in stated and seed not in recipe.seeds:
                continue
            if recipe.steps and step not in recipe.steps:
                continue
            yield folder, seed, step


def _fitting(pattern: str) -> list[Path]:
    """The folders that a pattern fits."""
    try:
        compiled(pattern)
    except ValueError as error:
        raise CapsafeError(f"{pattern[:500]}: {error}.", "Name {seed} and {step} only.") from error
    names = set(re.findall(r"\{([^{}]*)\}", pattern))
    if names - NAMED:
        raise CapsafeError(
            f"{pattern[:500]} names {{{sorted(names - NAMED)[0]}}}.", "Name {seed} and {step} only."
        )
    if not names and "*" not in pattern:
        return [Path(pattern)] if Path(pattern).is_dir() else []
    found = [
        path
        for path in _below(Path(re.sub(r"\{[^{}]*\}|\*+", "*", pattern)))
        if os.path.isdir(path) and (not names or path_facts(pattern, str(path)))
    ]
    if len(found) > MOST_FOUND:
        raise CapsafeError(f"More than {MOST_FOUND:,} folders fit {pattern[:500]}.", "Name fewer of them.")
    return found


def _below(glob: Path) -> list[Path]:
    """What a path with * in it fits; folders that may not be looked into are left out."""
    level, looked = [Path(glob.anchor)], 0
    for part in glob.parts[1:]:
        if "*" not in part:
            level = [folder / part for folder in level if os.path.lexists(folder / part)]
            continue
        names: list[Path] = []
        for folder in level:
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    looked += 1
                    if _fits(entry.name, part):
                        names.append(folder / entry.name)
                    if looked > MOST_LOOKED_AT:
                        raise CapsafeError(
                            f"{str(glob)[:500]} leads past more than {MOST_LOOKED_AT:,} files and folders.",
                            "Name the folder that they are in, and write * only below it.",
                        )
        level = names
    return level


def _fits(name: str, part: str) -> bool:
    """Whether a name fits a part of a path in which * stands for anything."""
    first, *others, last = part.split("*")
    at = len(first)
    for middle in others:
        place = name.find(middle, at)
        at = place + len(middle) if place >= 0 else len(name) + 1
    return name.startswith(first) and name.endswith(last) and len(name) - at >= len(last)


def _looked_at(folder: Path, seed: int, step: int) -> OwnCheckpoint:
    """A folder as it stands now."""
    files = look_at(folder)
    problem = files.problem if step > 0 else "step 0 is the start itself"
    return OwnCheckpoint(
        folder.absolute(), seed, step, files.is_adapter, files.base, files.has_tokenizer, problem
    )
