"""Whether a study holds together: names that point to something, and no more work than can be planned."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING

from capsafe_core import catalogue

if TYPE_CHECKING:
    from capsafe_core.study import RecipeSettings, Study

MOST_CHECKPOINTS = 10_000
"""starts, and steps of all seeds of what is trained here"""
MOST_PLANNED = 50_000_000
"""characters that the jobs of a study hold together"""
LONGEST_CHAIN = 20
"""recipes that start from each other's last checkpoints"""
PLAIN = ("lora", "rslora", "qlora")
"""ways of training that leave adapters which mitigations after training work on"""
MOST_MISTAKES = 50
"""that are named at once"""


Mistake = tuple[tuple[str | int, ...], str]
"""where it stands in the study file, and what it is"""
Names = dict[str, set[str]]
"""group -> the names in it"""
_GROUPS = ("starts", "datasets", "recipes", "benchmarks", "judges")


def references(study: Study) -> list[Mistake]:
    """Names that point to nothing, and names used twice; at most MOST_MISTAKES of them."""
    names = {group: {part.name for part in getattr(study, group)} for group in _GROUPS}
    found = chain(_used_twice(study), _starts(study, names), _recipes(study, names), _measures(study, names))
    return list(islice(found, MOST_MISTAKES))


def _used_twice(study: Study) -> Iterator[Mistake]:
    for group in _GROUPS:
        names = set()
        for i, part in enumerate(getattr(study, group)):
            if part.name in names:
                yield (group, i, "name"), f"the name {part.name!r} is used twice in {group}"
            names.add(part.name)


def _need(names: Names, group: str, value: str | None, *where: str | int) -> Iterator[Mistake]:
    """A name that is not among a group's."""
    if value is not None and value not in names[group]:
        known = ", ".join(sorted(names[group])[:MOST_MISTAKES]) or "none"
        yield where, f"{value!r} is not among the {group} (there are: {known})"


def _starts(study: Study, names: Names) -> Iterator[Mistake]:
    for i, start in enumerate(study.starts):
        yield from _need(names, "recipes", start.recipe, "starts", i, "recipe")
        if (start.model is None) == (start.recipe is None):
            yield ("starts", i, "name"), f"start {start.name!r} needs either a model or a recipe"


def _recipes(study: Study, names: Names) -> Iterator[Mistake]:
    for i, recipe in enumerate(study.recipes):
        for group, key in (
            ("starts", "start"),
            ("datasets", "dataset"),
            ("recipes", "of"),
            ("recipes", "mitigates"),
            ("datasets", "safety"),
        ):
            yield from _need(names, group, getattr(recipe, key), "recipes", i, key)
        for key, what in chain(_mitigated(study, recipe), _devices(study, recipe)):
            yield ("recipes", i, key), what
        if recipe.learning_rate is None and recipe.is_trained:
            yield (
                ("recipes", i, "learning_rate"),
                f"recipe {recipe.name!r} has no learning_rate; one whose checkpoints are in folders "
                "names them as `checkpoints`, one whose checkpoints are imported says recorded = true",
            )
        has_checkpoints = recipe.steps or recipe.checkpoints or recipe.of
        if not has_checkpoints or list(recipe.steps) != sorted({s for s in recipe.steps if s > 0}):
            yield ("recipes", i, "steps"), "steps must be positive, different and in order"


def _measures(study: Study, names: Names) -> Iterator[Mistake]:
    """What says how outputs are measured: benchmarks, judges, goals, the primary specification."""
    for i, dataset in enumerate(study.datasets):
        yield from _need(names, "benchmarks", dataset.benchmark, "datasets", i, "benchmark")
    for i, judge in enumerate(study.judges):
        is_elsewhere = judge.engine is not None or study.engine.name == "openai"
        if (
            judge.model
            and judge.model not in catalogue.models()
            and "/" not in judge.model
            and not is_elsewhere
        ):
            yield from _need(names, "starts", judge.model, "judges", i, "model")
        if not judge.recorded and judge.file is None and judge.name not in catalogue.judges():
            known = ", ".join(sorted(catalogue.judges()))
            yield (
                ("judges", i, "name"),
                f"there is no judge {judge.name!r} (there are: {known}); a judge of your own names its "
                "`file`, one whose verdicts are imported says recorded = true",
            )
    for goal in study.goals:
        yield from _need(names, "datasets", goal, "goals", goal)
    yield from _need(names, "benchmarks", study.primary.benchmark, "primary", "benchmark")
    for key in ("judge", "refusal_judge", "coherence"):
        yield from _need(names, "judges", getattr(study.primary, key), "primary", key)


def _devices(study: Study, recipe: RecipeSettings) -> Iterator[tuple[str, str]]:
    """What a recipe's training cannot have where it is done."""
    if not recipe.is_trained:
        return
    needs = "qlora" if recipe.method == "qlora" else "gpus" if study.gpus > 1 else ""
    if needs and study.trains_with.device == "cpu":
        yield "method", f'recipe {recipe.name!r}: {needs} needs a GPU: say device = "cuda" under [training]'
    if recipe.accumulate % study.gpus:
        yield (
            "accumulate",
            f"recipe {recipe.name!r}: {study.gpus} GPUs share the batches of each step, so accumulate is a "
            f"multiple of {study.gpus}",
        )
    if study.gpus > 1 and catalogue.mitigations().get(recipe.mitigation or "", {}).get("when") == "while":
        yield "mitigation", f"{recipe.mitigation} works on one GPU: leave gpus out"


def _mitigated(study: Study, recipe: RecipeSettings) -> Iterator[tuple[str, str]]:
    """What is wrong with a recipe that mitigates another one."""
    if recipe.mitigates is not None:
        yield from (("mitigates", what) for what in _otherwise_trained(study, recipe))
    yield from _method(study, recipe)
    if recipe.of is None:
        if recipe.strengths:
            yield "of", f"recipe {recipe.name!r} says which recipe it mitigates as `of`"
        elif recipe.mitigation and recipe.mitigates is None:
            yield "mitigates", f"recipe {recipe.name!r} says which recipe it `mitigates`"
        return
    base = next((r for r in study.recipes if r.name == recipe.of), None)
    if base is not None and not (base.is_trained or base.folders):
        yield "of", f"the checkpoints of recipe {recipe.of!r} are not here, so nothing can be made of them"
    if base is not None and base.folders and not base.steps:
        yield "of", f"recipe {recipe.of!r} names its steps: what it came to at the last one is mitigated"
    if base is not None and (base.start, base.dataset) != (recipe.start, recipe.dataset):
        yield "of", f"recipe {recipe.name!r} has the start and the data set of {recipe.of!r}"
    if recipe.mitigation is None or not recipe.strengths or recipe.steps:
        yield "mitigation", f"recipe {recipe.name!r} names a mitigation and strengths, and no steps"
    if any(not 0 < s < 1 for s in recipe.strengths) or len(set(recipe.strengths)) < len(recipe.strengths):
        yield "strengths", "strengths are different numbers between 0 and 1"


def _method(study: Study, recipe: RecipeSettings) -> Iterator[tuple[str, str]]:
    """What a recipe's mitigation lacks."""
    name = recipe.mitigation
    if name is None:
        if recipe.options or recipe.safety:
            yield "mitigation", f"recipe {recipe.name!r} has options or safety data of no mitigation"
        return
    when = ("after",) if recipe.of else ("before", "while")
    entry = catalogue.mitigations().get(name, {})
    if entry.get("when") not in when:
        known = ", ".join(n for n, e in catalogue.mitigations().items() if e["when"] in when)
        yield "mitigation", f"there is no mitigation {name!r} {when[-1]} training (there are: {known})"
        return
    unknown = set(recipe.options) - set(entry.get("options", {}))
    if unknown:
        known = ", ".join(entry.get("options", {})) or "none"
        yield "options", f"{name} has no option {sorted(unknown)[0]!r} (there are: {known})"
    values = {**entry.get("options", {}), **recipe.options}
    if any(value < 0 for value in values.values()):
        yield "options", f"the options of {name} are not negative"
    for key, usual in entry.get("options", {}).items():
        if isinstance(usual, int) and (values[key] < 1 or values[key] % 1):
            yield "options", f"{key} of {name} is a whole number, 1 or more"
    if values.get("share", 0) >= 1:
        yield "options", "a share of every batch is below 1"
    needs = set(entry["needs"])
    if recipe.of is not None:
        yield from _after_training(study, recipe, needs)
        return
    if ("safety data" in needs) != (recipe.safety is not None):
        what = "names its `safety` data set" if "safety data" in needs else "needs no safety data"
        yield "safety", f"recipe {recipe.name!r}: {name} {what}"
    if "adapter" in needs and recipe.method == "full":
        yield "method", f"{name} needs the start beside what is trained: use lora, dora or rslora"
    if "exact weights" in needs and recipe.method not in ("lora", "rslora", "full"):
        yield "method", f"{name} needs to know by how much each weight moves: use lora, rslora or full"
    if "no packing" in needs and recipe.packing:
        yield "packing", f"{name} needs each conversation in a row of its own: leave packing out"


def _after_training(study: Study, recipe: RecipeSettings, needs: set[str]) -> Iterator[tuple[str, str]]:
    """What a mitigation after training needs and its recipe, or the start, is without."""
    recipes = {r.name: r for r in study.recipes}
    tuned = recipes.get(str(recipe.of))
    if tuned is not None and tuned.method not in PLAIN:
        yield "of", f"{recipe.mitigation} works on adapters of the methods {', '.join(PLAIN)}: train so"
    start = next((s for s in study.starts if s.name == recipe.start), None)
    if start is None or "aligned start" not in needs:
        return
    aligns = recipes.get(str(start.recipe))
    if not start.adapters and aligns is None:
        if start.base is None:
            yield (
                "mitigation",
                f"{recipe.mitigation} needs to know what alignment changed: name the model before alignment "
                f"as `base` of the start {start.name!r}, or use a start that an adapter aligned",
            )
        elif "alignment adapter" in needs:
            yield (
                "mitigation",
                f"{recipe.mitigation} needs a start that an adapter aligned; with a `base` alone, safelora "
                "can be used",
            )
    elif aligns is not None and aligns.is_trained and aligns.method not in PLAIN:
        yield "start", f"{recipe.mitigation} needs a start that an adapter aligned: train {aligns.name!r} so"


def _otherwise_trained(study: Study, recipe: RecipeSettings) -> Iterator[str]:
    """Why a recipe with a training of its own cannot be laid beside the one that it mitigates."""
    base = next((r for r in study.recipes if r.name == recipe.mitigates), None)
    if recipe.of is not None:
        yield f"recipe {recipe.name!r} mitigates one recipe: as `of` after its training, or as `mitigates`"
    if base is None:
        return
    if base.mitigated is not None:
        yield f"recipe {base.name!r} mitigates another one itself"
    if base.start != recipe.start:
        yield f"recipe {recipe.name!r} has the start of {base.name!r}"
    mine, its = ([d for d in study.datasets if d.name == r.dataset] for r in (recipe, base))
    if mine and its and mine[0].benchmark != its[0].benchmark:
        yield f"the data sets of {recipe.name!r} and {base.name!r} are measured by one benchmark"
    if study.goals.get(recipe.dataset) != study.goals.get(base.dataset):
        yield f"the data sets of {recipe.name!r} and {base.name!r} have one goal"


def extent(study: Study) -> list[Mistake]:
    """Recipes that go round in a circle, and more work than can be planned: each checkpoint has a job that
    names its benchmarks."""
    starts = {start.name: start for start in study.starts}
    recipes = {recipe.name: recipe for recipe in study.recipes}
    for i, recipe in enumerate(study.recipes):
        below, length = starts[recipe.start].recipe, 1
        while below is not None and length <= LONGEST_CHAIN:
            below, length = starts[recipes[below].start].recipe, length + 1
        if below is not None:
            what = f"recipe {recipe.name!r} stands on itself or on more than {LONGEST_CHAIN} others"
            return [(("recipes", i, "start"), what)]
    # those that are recorded are never trained here
    checkpoints = len(starts) + sum(len(r.steps) * len(r.seeds) for r in study.recipes if r.is_trained)
    checkpoints += sum(len(r.strengths) * len(recipes[r.of].seeds) for r in study.recipes if r.of in recipes)
    if checkpoints > MOST_CHECKPOINTS:
        what = (
            f"its seeds and steps make {checkpoints:,} checkpoints, and at most {MOST_CHECKPOINTS:,} can be"
        )
        return [(("recipes", 0, "steps"), what)]
    each = len(study.model_dump_json(include={"benchmarks", "engine", "training", "sampling", "datasets"}))
    each += 200 * len(study.judges) + max(map(len, [*starts, *recipes]))
    if (checkpoints + len(recipes)) * each > MOST_PLANNED:
        what = "each of so many checkpoints would answer so many benchmarks that the jobs cannot be planned"
        return [(("benchmarks", 0, "name"), what)]
    return []
