"""Made-up studies over data that is not a fine-tuning path to a goal: parts are missing, answers are few."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.records import (
    Checkpoint,
    Generation,
    Judgment,
    Measurement,
    PathPoint,
    Rater,
    Record,
)
from capsafe_core.study import parse_study
from tests.synthetic import CONDITION, benchmark

DETECTOR = Rater("detector", "judge", "detectors", ("coherence",), "1", "is the detector")
VERIFIER = Rater("verifier", "judge", "verifiers", ("correctness",), "1", "an unread answer is wrong")


@dataclass(frozen=True)
class Small:
    """A study in a few numbers.

    Attributes:
        models: starts; recipes are fine-tuned from the first one.
        recipes: recipe -> the steps that are here; step 0 is the start.
        unsafe: chance of a harmful answer at a start and at the last step; `right` the same of capability.
        answers: to each safety benchmark, from each checkpoint; 0 for none.
        benchmarks: of safety.
        judges: of safety.
        capability: items, aggregate, none, or unnamed (items, but the data set names no benchmark).
        goal: None where nobody states one.
        incoherent: chance at the last step; None where nobody looked at coherence.
        unjudged: names of checkpoints whose safety nobody has judged.
    """

    models: tuple[str, ...] = ("base",)
    recipes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    unsafe: tuple[float, float] = (0.1, 0.6)
    right: tuple[float, float] = (0.2, 0.8)
    answers: int = 20
    benchmarks: int = 1
    judges: int = 1
    capability: str = "none"
    goal: float | None = None
    incoherent: float | None = 0.3
    unjudged: tuple[str, ...] = ()
    seed: int = 1

    @property
    def safety(self) -> list[str]:
        return [f"requests-{letter}" for letter in "ab"[: self.benchmarks]]

    @property
    def safety_judges(self) -> list[Rater]:
        return [
            Rater(f"judge-{i}", "judge", f"family {i}", ("safety",), "1", "unknown")
            for i in "ab"[: self.judges]
        ]

    @property
    def checkpoints(self) -> list[tuple[str, str, int, Checkpoint]]:
        """Name, recipe or model, step, and the checkpoint, for every place of a path."""
        models = [(name, name, 0, Checkpoint(name, f"digest of {name}")) for name in self.models]
        tuned = [
            (
                f"{recipe}, seed 0, step {step}",
                recipe,
                step,
                Checkpoint(self.models[0], f"digest of {self.models[0]}", (f"{recipe}-{step}",)),
            )
            if step
            else (self.models[0], recipe, 0, Checkpoint(self.models[0], f"digest of {self.models[0]}"))
            for recipe, steps in self.recipes
            for step in steps
        ]
        started = {self.models[0]} if self.recipes else set()
        return [*(m for m in models if m[0] not in started), *tuned]

    @property
    def text(self) -> str:
        """The study file."""
        data = 'benchmark = "sums"\n' if self.capability in ("items", "aggregate") else ""
        parts = ['name = "small"\ntitle = "A small study"\n']
        parts += [f'[[starts]]\nname = "{m}"\nmodel = "{m}"\n' for m in self.models]
        for recipe, steps in self.recipes:
            parts.append(f'[[datasets]]\nname = "{recipe}-data"\nsource = "imported"\n{data}')
            parts.append(
                f'[[recipes]]\nname = "{recipe}"\nstart = "{self.models[0]}"\ndataset = "{recipe}-data"\n'
                f"steps = {[s for s in steps if s] or [1]}\nrecorded = true\n"
            )
        kinds = {name: "safety" for name in self.safety} | (
            {"sums": "capability"} if self.capability != "none" else {}
        )
        parts += [
            f'[[benchmarks]]\nname = "{name}"\nsource = "imported"\nconfig = {{ kind = "{kind}" }}\n'
            for name, kind in kinds.items()
        ]
        raters = [*self.safety_judges, DETECTOR, VERIFIER]
        parts += [f'[[judges]]\nname = "{rater.name}"\nrecorded = true\n' for rater in raters]
        if self.goal is not None:
            parts.append(
                "[goals]\n" + "".join(f"{recipe}-data = {self.goal}\n" for recipe, _ in self.recipes)
            )
        parts.append(
            '[primary]\nbenchmark = "requests-a"\njudge = "judge-a"\nrefusal_judge = "judge-a"\n'
            'coherence = "detector"\n'
        )
        return "".join(parts)


def write_small(root: Path, small: Small) -> None:
    """The study as one import's job folder."""
    records: dict[str, Record] = {}
    for record in _records(small):
        records.setdefault(str(record.id), record)
    with Part(create_job(root, Manifest("import", "small", {}, study="small"))) as part:
        part.write("all", list(records.values()))


def _records(small: Small) -> Iterator[Record]:
    chance = np.random.default_rng(small.seed)
    yield parse_study(small.text).record(small.text, 1.0)
    yield from (CONDITION, DETECTOR, VERIFIER, *small.safety_judges)
    tests = [benchmark(name, "safety", small.answers) for name in small.safety] if small.answers else []
    sums = benchmark("sums", "capability", 20)
    for bench, prompts in [*tests, *([sums] if small.capability in ("items", "unnamed") else [])]:
        yield from (bench, *prompts)
    last = max((steps[-1] for _, steps in small.recipes), default=0)
    for place, (name, recipe, step, point) in enumerate(small.checkpoints):
        yield point
        data = f"{recipe}-data" if small.recipes and recipe not in small.models else ""
        yield PathPoint("small", recipe, 0, step, point.id, small.models[0] if data else name, data, 0.0)
        done = step / last if last else place / max(len(small.checkpoints) - 1, 1)
        unsafe, right = (np.interp(done, (0, 1), ends) for ends in (small.unsafe, small.right))
        for bench, prompts in tests:
            for prompt in prompts:
                yield from _answer(small, chance, name, (point, bench, prompt), unsafe, done)
        if small.capability == "aggregate":
            yield Measurement(point.id, "sums", "accuracy", round(float(right), 3), 0.02, 500, "a log")
        elif small.capability != "none":
            for i, prompt in enumerate(sums[1]):
                g = Generation(point.id, sums[0].id, CONDITION.id, prompt.id, 0, 0, str(i), "stop", 1)
                label = "correct" if i < round(20 * right) else "incorrect"
                yield from (g, Judgment(g.id, g.cell_id, VERIFIER.id, "correctness", "ok", label))


def _answer(
    small: Small, chance: np.random.Generator, name: str, of: tuple, unsafe: float, done: float
) -> Iterator[Record]:  # type: ignore[type-arg]
    point, bench, prompt = of
    is_unsafe = chance.random() < unsafe
    is_broken = small.incoherent is not None and chance.random() < done * small.incoherent
    g = Generation(
        point.id, bench.id, CONDITION.id, prompt.id, 0, 0, "Sure." if is_unsafe else "No.", "stop", 1
    )
    yield g
    if small.incoherent is not None:
        label = "incoherent" if is_broken else "coherent"
        yield Judgment(g.id, g.cell_id, DETECTOR.id, "coherence", "ok", label)
    for rater in small.safety_judges if name not in small.unjudged else ():
        label = "unsafe" if is_unsafe != (chance.random() < 0.1) else "safe"
        yield Judgment(g.id, g.cell_id, rater.id, "safety", "ok", label)


PATH = (("math", (0, 10, 20)),)
KINDS = {
    "base and tuned without steps": Small(models=("base", "tuned"), capability="items"),
    "safety only": Small(recipes=PATH),
    "capability only as an aggregate": Small(recipes=PATH, capability="aggregate", answers=0),
    "aggregate without a goal": Small(recipes=PATH, capability="aggregate"),
    "two fine-tunes without a measured start": Small(
        recipes=(("math", (10, 20)), ("code", (10, 20))), capability="items", goal=0.6
    ),
    "one checkpoint of each fine-tune": Small(
        recipes=(("math", (20,)), ("code", (20,))), capability="items", goal=0.6
    ),
    "no coherence verdicts": Small(models=("base", "tuned"), incoherent=None),
    "a path without coherence verdicts": Small(recipes=PATH, capability="items", goal=0.5, incoherent=None),
    "one benchmark": Small(models=("base", "tuned")),
    "one answer": Small(models=("base", "tuned"), answers=1, incoherent=1.0, judges=2),
    "goal below the start": Small(recipes=PATH, capability="items", goal=0.1, judges=2),
    "goal out of reach": Small(recipes=PATH, capability="items", goal=0.95),
    "goal that nobody stated": Small(recipes=PATH, capability="items"),
    "benchmark that nobody named": Small(recipes=PATH, capability="unnamed", goal=0.5),
    "start that nobody judged": Small(recipes=PATH, capability="items", goal=0.5, unjudged=("base",)),
    "one judged checkpoint": Small(models=("base", "tuned"), unjudged=("base",)),
    "no safety verdict": Small(models=("base", "tuned"), unjudged=("base", "tuned")),
}
"""the kinds that screens must answer for"""


@st.composite
def small_studies(draw: st.DrawFn) -> Small:
    """Small studies of every kind."""
    steps = st.sampled_from([(0, 10, 20), (10, 20), (0, 20), (20,), (0, 10)])
    recipes = tuple((name, draw(steps)) for name in ("math", "code")[: draw(st.integers(0, 2))])
    share = st.sampled_from([0.0, 0.05, 0.3, 0.6, 1.0])
    models = ("base", "tuned", "other")[: draw(st.integers(1, 3))]
    small = Small(
        models=models,
        recipes=recipes,
        unsafe=(draw(share), draw(share)),
        right=(draw(share), draw(share)),
        answers=draw(st.sampled_from([0, 1, 3, 20, 120])),
        benchmarks=draw(st.integers(1, 2)),
        judges=draw(st.integers(1, 2)),
        capability=draw(st.sampled_from(["none", "items", "aggregate", "unnamed"])),
        goal=draw(st.sampled_from([None, 0.05, 0.3, 0.5, 0.95])) if recipes else None,
        incoherent=draw(st.sampled_from([None, 0.0, 0.5, 1.0])),
        seed=draw(st.integers(0, 99)),
    )
    names = [name for name, *_ in small.checkpoints]
    unjudged = draw(st.sets(st.sampled_from(names), max_size=2)) if draw(st.booleans()) else set()
    return Small(**{**small.__dict__, "unjudged": tuple(sorted(unjudged))})
