"""From a study to its graph of jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msgspec import UNSET, structs
from pydantic import BaseModel

from capsafe_core import __version__, catalogue
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Manifest
from capsafe_core.jobs.folder.work import (
    Adapter,
    CheckpointSource,
    FinetuneWork,
    GenerateWork,
    JudgeWork,
    MitigateWork,
    Point,
    RecipeWork,
    SamplingWork,
    Work,
    kept_step,
)
from capsafe_core.jobs.own_checkpoints import OwnCheckpoint, usable_checkpoints
from capsafe_core.jobs.own_judges import read_own_judge
from capsafe_core.study import IMPORTED, JudgeSettings, RecipeSettings, SamplingSettings, Study

PROBE_SEED = 777
"""Seed of the items that measure capability during fine-tuning; apart from training and test seeds."""
PROBE_SIZE = 64
HOW = set(RecipeWork.__struct_fields__[-len(RecipeWork.__struct_defaults__) :])
"""of a recipe what says how it is trained, beside rate, steps, batch and rank"""
ReadJudge = Callable[[Path], dict[str, Any]]
FindCheckpoints = Callable[[RecipeSettings], Sequence[OwnCheckpoint]]


def plan_study(
    study: Study,
    parts: int = 1,
    read_judge: ReadJudge | None = None,
    find_checkpoints: FindCheckpoints = usable_checkpoints,
) -> list[Manifest]:
    """Every job of a study, each after those it needs.

    Fine-tuning first, then one generate job for each checkpoint, then one judge job for each judge.

    Args:
        parts: into how many parts, for as many workers, each job but fine-tuning is split.
        read_judge: given the file of a judge of the user's own, its entry; `read_own_judge` where left out.
        find_checkpoints: given a recipe that was trained elsewhere, its checkpoints.
    """
    return _Planner(study, parts, read_judge or read_own_judge, find_checkpoints).plan()


def plan_judge(study: Study, judge: JudgeSettings, generations: Sequence[str], parts: int = 1) -> Manifest:
    """The job in which one judge looks at outputs that are there.

    Args:
        generations: ids of generate jobs.
    """
    return _Planner(study, parts, read_own_judge, lambda _: ()).judge(judge, tuple(generations))


def _dump(settings: BaseModel) -> dict[str, Any]:
    """Settings for a manifest, as the room that takes them reads them."""
    return settings.model_dump(mode="json", exclude={"python"})


def _sampling(settings: SamplingSettings) -> SamplingWork:
    return SamplingWork(
        settings.temperature,
        settings.top_p,
        settings.max_tokens,
        settings.samples,
        settings.seed,
        settings.system_prompt,
        settings.seeds,
    )


def _over(below: CheckpointSource, job_id: str, step: int) -> CheckpointSource:
    """A checkpoint with the adapter over it that a fine-tuning job makes at a step."""
    return structs.replace(below, adapters=(*below.adapters, Adapter(job_id, step)))


@dataclass(frozen=True)
class _Wanted:
    """A checkpoint that shall answer: its name, its path, the jobs that make it, and the benchmarks."""

    name: str
    path: str
    checkpoint: CheckpointSource
    after: tuple[str, ...]
    benchmarks: set[str]


class _Planner:
    def __init__(
        self, study: Study, parts: int, read_judge: ReadJudge, find_checkpoints: FindCheckpoints
    ) -> None:
        self.study = study
        self.own = {r.name: find_checkpoints(r) for r in study.recipes if r.folders}
        self.parts = parts
        self.read_judge = read_judge
        self.trained: dict[tuple[str, int], Manifest] = {}
        self.mitigated: dict[tuple[str, int], Manifest] = {}
        self.engine = _dump(study.engine)
        trains = study.trains_with
        self.training, self.training_python = _dump(trains), str(trains.python or "")

    def plan(self) -> list[Manifest]:
        for recipe in self.study.recipes:
            for seed in recipe.seeds if recipe.is_trained else ():
                self.train(recipe, seed)
        generations = self.with_prompts(self.generations())
        elsewhere = [(r, found) for r in self.study.recipes for found in self.own.get(r.name, ())]
        own = self.with_prompts([self.answers_of(*one) for one in elsewhere])
        judged = [job for one in own for job in self.judges([one])]
        return [
            *self.trained.values(),
            *self.mitigated.values(),
            *generations,
            *own,
            *self.judges(generations),
            *judged,
        ]

    def with_prompts(self, jobs: list[Manifest]) -> list[Manifest]:
        """Generate jobs, and each of them again with every other system prompt."""
        found = list(jobs)
        for i, prompt in enumerate(self.study.sampling.other_system_prompts, 1):
            for job in jobs:
                asked, name = job.asks(GenerateWork), job.name.removeprefix(f"{self.study.name}-")
                sampling = structs.replace(asked.sampling, system_prompt=prompt)
                work = structs.replace(asked, sampling=sampling)
                found.append(self.manifest(f"{name}-prompt-{i}", work, job.after, job.python))
        return found

    def manifest(self, name: str, work: Work, after: tuple[str, ...], python: str = "") -> Manifest:
        parts = 1 if isinstance(work, FinetuneWork | MitigateWork) else self.parts
        job = Manifest.of(self.study.name, f"{self.study.name}-{name}", work, after, parts)
        return replace(job, python=python, code_version=__version__)

    def checkpoint(self, start: str) -> tuple[CheckpointSource, tuple[str, ...]]:
        """A start as a manifest names it, and the jobs that make it."""
        chosen = self.study.start(start)
        if chosen.recipe is None:
            adapters = tuple(Adapter(path=str(path)) for path in chosen.adapters)
            return CheckpointSource(str(chosen.model), adapters, chosen.trusted, chosen.pickles), ()
        recipe = self.study.recipe(chosen.recipe)
        if recipe.folders and not self.own[recipe.name]:
            raise CapsafeError(
                f"The start {start!r} is a checkpoint of {recipe.name!r}, and none of those can be used.",
                f"Look at {' or '.join(recipe.folders)[:500]}.",
            )
        if recipe.folders:
            first = [found for found in self.own[recipe.name] if found.seed == self.own[recipe.name][0].seed]
            return self.own_source(recipe, first[-1]), ()
        job = self.train(recipe, recipe.seeds[0])
        below, _ = self.checkpoint(recipe.start)
        return _over(below, job.job_id, recipe.steps[-1]), (job.job_id,)

    def own_source(self, recipe: RecipeSettings, found: OwnCheckpoint) -> CheckpointSource:
        """A checkpoint that was trained elsewhere, as a manifest names it."""
        start, _ = self.checkpoint(recipe.start)
        if found.is_adapter:
            return structs.replace(start, adapters=(*start.adapters, Adapter(path=str(found.folder))))
        return CheckpointSource(
            str(found.folder), (), start.trusted, tokenizer="" if found.has_tokenizer else start.model
        )

    def answers_of(self, recipe: RecipeSettings, found: OwnCheckpoint) -> Manifest:
        """The job in which a checkpoint answers that was trained elsewhere: one each, and judged one by one,
        so that those which come later change nothing of those that are there."""
        start, after = self.checkpoint(recipe.start)
        work = GenerateWork(
            self.benchmarks(self.general() | self.capabilities(recipe)),
            _sampling(self.study.sampling),
            self.engine,
            checkpoint=self.own_source(recipe, found),
            path=Point(
                self.study.name,
                recipe.name,
                found.seed,
                recipe.start,
                recipe.dataset,
                recipe.learning_rate,
                step=found.step,
            ),
            begins=start,
        )
        name = f"{recipe.name}-s{found.seed}-{found.step}"
        return self.manifest(name, work, after, str(self.study.engine.python or ""))

    def train(self, recipe: RecipeSettings, seed: int) -> Manifest:
        known = self.trained.get((recipe.name, seed))
        if known:
            return known
        start, after = self.checkpoint(recipe.start)
        dataset = self.study.dataset(recipe.dataset)
        probe = next((b for b in self.study.benchmarks if b.name == dataset.benchmark), None)
        rate = recipe.learning_rate
        work = FinetuneWork(
            start,
            dataset=_dump(dataset),
            recipe=RecipeWork(
                rate,
                recipe.steps,
                recipe.batch_size,
                recipe.rank,
                seed,
                **recipe.model_dump(include=HOW, exclude_defaults=True),
            ),
            path=Point(self.study.name, recipe.name, seed, recipe.start, recipe.dataset, rate),
            probe=None if probe is None else {**_dump(probe), "seed": PROBE_SEED, "size": PROBE_SIZE},
            stop_at=self.study.goals.get(recipe.dataset) if recipe.stop_at_goal else None,
            max_tokens=self.study.sampling.max_tokens,
            engine=self.training,
            safety=_dump(self.study.dataset(recipe.safety)) if recipe.safety else UNSET,
        )
        self.trained[recipe.name, seed] = job = self.manifest(
            f"{recipe.name}-s{seed}", work, after, self.training_python
        )
        return job

    def mitigate(self, recipe: RecipeSettings, seed: int) -> Manifest:
        """The job that makes a mitigation's checkpoints of what one seed of another recipe came to."""
        tuned = self.study.recipe(str(recipe.of))
        start, after = self.checkpoint(recipe.start)
        job_id = "" if tuned.folders else self.train(tuned, seed).job_id
        chosen = self.study.start(recipe.start)
        work = MitigateWork(
            job_id,
            start,
            str(recipe.mitigation),
            recipe.strengths,
            Point(self.study.name, recipe.name, seed, recipe.start, recipe.dataset, None),
            self.training,
            UNSET if job_id else Adapter(path=str(self.last_adapter(tuned, seed).folder)),
            CheckpointSource(chosen.base, (), chosen.trusted, chosen.pickles)
            if chosen.base and not start.adapters
            else UNSET,
        )
        needs = (job_id,) if job_id else after
        job = self.manifest(f"{recipe.name}-s{seed}", work, needs, self.training_python)
        self.mitigated[recipe.name, seed] = job
        return job

    def mitigated_seeds(self, recipe: RecipeSettings) -> list[int]:
        """The seeds of what a mitigation after training is made of; of what was trained elsewhere, those that
        have come to their last step."""
        if recipe.of is None:
            return []
        tuned = self.study.recipe(recipe.of)
        if not tuned.folders:
            return list(tuned.seeds)
        return [found.seed for found in self.own[tuned.name] if found.step == tuned.steps[-1]]

    def last_adapter(self, recipe: RecipeSettings, seed: int) -> OwnCheckpoint:
        """What a training elsewhere came to with a seed.

        Raises:
            CapsafeError: it is not an adapter.
        """
        (last,) = (c for c in self.own[recipe.name] if (c.seed, c.step) == (seed, recipe.steps[-1]))
        if not last.is_adapter:
            raise CapsafeError(
                f"{last.folder} holds whole weights, and mitigations after training work on LoRA adapters.",
                f"Mitigate one whose checkpoints are adapters, or leave out what is `of` {recipe.name!r}.",
            )
        return last

    def generations(self) -> list[Manifest]:
        """One job for each different checkpoint, with every benchmark that some path through it needs.

        An engine that switches adapters gets the checkpoints of one path as one job, so that it is loaded
        once for them.
        """
        wanted: dict[str, _Wanted] = {}

        def want(
            name: str, path: str, checkpoint: CheckpointSource, after: tuple[str, ...], benchmarks: set[str]
        ) -> None:
            wanted.setdefault(
                str(checkpoint), _Wanted(name, path, checkpoint, after, set())
            ).benchmarks.update(benchmarks)

        for start in self.study.starts:
            checkpoint, after = self.checkpoint(start.name)
            want(start.name, start.name, checkpoint, after, self.general())
        for recipe in self.study.recipes:
            start_checkpoint, after = self.checkpoint(recipe.start)
            needed = self.general() | self.capabilities(recipe)
            want(recipe.start, recipe.start, start_checkpoint, after, needed)
            for seed in recipe.seeds if recipe.is_trained else ():
                job_id = self.train(recipe, seed).job_id  # a hash of all its steps: made once
                path = f"{recipe.name}-s{seed}"
                for step in recipe.steps:
                    want(f"{path}-{step}", path, _over(start_checkpoint, job_id, step), (job_id,), needed)
            for seed in self.mitigated_seeds(recipe):
                job_id = self.mitigate(recipe, seed).job_id
                path = f"{recipe.name}-s{seed}"
                for step in map(kept_step, recipe.strengths):
                    want(f"{path}-{step}", path, _over(start_checkpoint, job_id, step), (job_id,), needed)
        if not self.study.engine.switches_adapters:
            return [self.generation(w.name, w.checkpoint, w.after, w.benchmarks) for w in wanted.values()]
        together: dict[tuple[str, tuple[str, ...]], list[_Wanted]] = {}
        for w in wanted.values():
            together.setdefault((w.path, tuple(sorted(w.benchmarks))), []).append(w)
        return [
            self.generation(
                ws[0].path,
                tuple(w.checkpoint for w in ws),
                tuple(dict.fromkeys(a for w in ws for a in w.after)),
                ws[0].benchmarks,
            )
            for ws in together.values()
        ]

    def benchmarks(self, names: set[str]) -> tuple[dict[str, Any], ...]:
        """Benchmarks as a manifest holds them."""
        return tuple(_dump(b) for b in self.study.benchmarks if b.name in names)

    def general(self) -> set[str]:
        """Benchmarks that every checkpoint answers: all, or those that no data set claims as its own."""
        claimed = set() if self.study.profile else {d.benchmark for d in self.study.datasets}
        return {b.name for b in self.study.benchmarks if b.name not in claimed}

    def capabilities(self, recipe: RecipeSettings) -> set[str]:
        """The capability benchmarks along a recipe's path: its own, or all where it teaches none of them."""
        own = self.study.dataset(recipe.dataset).benchmark
        return {own} if own else {b.name for b in self.study.benchmarks}

    def generation(
        self,
        name: str,
        checkpoints: CheckpointSource | tuple[CheckpointSource, ...],
        after: tuple[str, ...],
        benchmarks: set[str],
    ) -> Manifest:
        work = GenerateWork(
            self.benchmarks(benchmarks),
            _sampling(self.study.sampling),
            self.engine,
            # nothing else puts a start that is not fine-tuned on a path
            path=UNSET if self.study.recipes else Point(self.study.name, name, 0, name, "", 0.0, step=0),
        )
        if isinstance(checkpoints, tuple):
            work = structs.replace(work, checkpoints=checkpoints)
        else:
            work = structs.replace(work, checkpoint=checkpoints)
        return self.manifest(name, work, after, str(self.study.engine.python or ""))

    def judges(self, generations: list[Manifest]) -> list[Manifest]:
        ids = tuple(job.job_id for job in generations)
        return [self.judge(judge, ids) for judge in self.study.judges if not judge.recorded]

    def judge(self, judge: JudgeSettings, generations: tuple[str, ...]) -> Manifest:
        """The job in which a judge looks at the outputs of generate jobs."""
        starts = {start.name: start for start in self.study.starts}
        chosen = starts.get(judge.model or "")
        engine = judge.engine or self.study.engine
        own = self.read_judge(judge.file) if judge.file else None
        work = JudgeWork(
            judge.name,
            {**self.knowledge(catalogue.judge_type(judge.name)), **judge.config},
            chosen.model if chosen else judge.model,
            _dump(engine),
            generations,
            trusted=judge.trusted or bool(chosen and chosen.trusted),
            pickles=judge.pickles or bool(chosen and chosen.pickles),
            entry=UNSET if own is None else own,
        )
        asks_engine = catalogue.judge_type(judge.name, own) == "language_model"
        return self.manifest(judge.name, work, generations, str(engine.python or "") if asks_engine else "")

    def knowledge(self, judge_type: str) -> dict[str, Any]:
        """What the study itself tells a type of judge: how tasks are scored, and what teaches it forms of
        answers."""
        if judge_type == "verifier":
            return {
                "scorers": {
                    b.name: _dump(b) if b.scorer == "task" else b.scorer
                    for b in self.study.benchmarks
                    if b.is_capability
                }
            }
        if judge_type in ("coherence", "coherence_learnt"):
            return {
                "datasets": [_dump(d) for d in self.study.datasets if d.benchmark and d.source != IMPORTED]
            }
        return {}
