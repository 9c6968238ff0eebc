"""A study from a form: what somebody fills in, what is wrong with it, and the file that it makes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capsafe_core import catalogue
from capsafe_core.errors import CapsafeError
from capsafe_core.study import IMPORTED
from capsafe_core.toml_text import toml_table, toml_value
from capsafe_core.values import LONGEST_NAME

BENCHMARKS = ("direct-requests", "dressed-requests", "unsafe-advice", "harmless-lookalikes")
"""those of harmful and harmless requests that ship with capsafe"""
CAPABILITIES = ("generated:choices", "reasoning_gym:chain_sum", "reasoning_gym:syllogism")
"""sources of questions with right answers that need no file"""
_SCORERS = {"reasoning_gym": "task", "lm_eval": "label", "generated": "label"}
"""source of a capability benchmark -> how its answers are checked"""
_FILES = ("file:", "/", "~")
DATASET, RECIPE = "training", "fine-tuned"
USUAL_RATES = dict.fromkeys(("lora", "dora", "rslora", "qlora"), 2e-4) | {"full": 2e-5}
"""the learning rate that is offered with each method"""


@dataclass(frozen=True)
class Training:
    """Fine-tuning that the study does itself, on one data set."""

    data: str
    """a file of conversations, or "source:what" as in a study file"""
    learning_rate: float | None
    steps: tuple[int, ...]
    seeds: tuple[int, ...] = (0,)
    method: str = "lora"
    rank: int = 16
    """of an adapter"""
    schedule: str = "constant_with_warmup"
    batch_size: int = 8
    device: str = "cpu"


@dataclass(frozen=True)
class NewStudy:
    """What somebody fills in to start a study of one model."""

    model: str
    benchmarks: tuple[str, ...]
    """names of those that ship, files, or "source:what" as in a study file"""
    judges: tuple[str, ...]
    size: int | None = None
    adapters: tuple[str, ...] = ()
    judge_model: str = ""
    """of judges that are rubrics; those with weights of their own keep them"""
    engine: dict[str, Any] = field(default_factory=dict)
    sampling: dict[str, Any] = field(default_factory=dict)
    checkpoints: str = ""
    """where checkpoints of the model are that were trained elsewhere, with {seed} and {step}"""
    training: Training | None = None
    goal: float | None = None
    """accuracy on the capability benchmark at which fine-tuned checkpoints are compared"""

    @property
    def capabilities(self) -> list[str]:
        """The benchmarks of which answers are right or wrong."""
        return [b for b in self.benchmarks if _scorer(_source(b))]

    @property
    def is_fine_tuned(self) -> bool:
        """Whether there are fine-tuned checkpoints beside the model."""
        return bool(self.checkpoints) or self.training is not None

    def problems(self) -> list[str]:
        """What is missing or does not go together, a sentence with its next step each."""
        return [*self._lacks(), *self._of_fine_tuning()]

    def missing_files(self) -> list[str]:
        """A sentence for each file or folder that is named and not on this machine."""
        named = [
            ("model", self.model if self.model.startswith(_FILES) else ""),
            *(("adapter", path) for path in self.adapters),
            *(("benchmark", source) for source in self.benchmarks),
            *([("training data", _data(self.training.data))] if self.training else []),
        ]
        return [
            f"The {what} {path} is not on this machine. Check the path."
            for what, name in named
            if (path := _path(name, what)) is not None and not path.exists()
        ]

    def _lacks(self) -> Iterator[str]:
        if not self.model.strip():
            yield "No model is named. Choose one, or write a folder or a hub id."
        if not self.benchmarks:
            yield "No benchmark is chosen. Choose at least one."
        for unknown in (b for b in self.benchmarks if not (":" in b or b.startswith(_FILES))):
            if unknown not in BENCHMARKS:
                yield (
                    f"There is no benchmark {unknown} here. Choose one of {', '.join(BENCHMARKS)}, or write "
                    "file:/path/to/prompts.csv."
                )
        known = catalogue.judges()
        if not self.judges:
            yield "No judge is chosen. Choose at least one; coherence-rules tells coherent responses apart."
        silent = [j for j in self.judges if catalogue.is_rubric(j) and not self.judge_model]
        if silent:
            titles = ", ".join(str(known[j]["title"]) for j in silent)
            yield f"A rubric needs a model that applies it ({titles}). Name the model of the judges."

    def _of_fine_tuning(self) -> Iterator[str]:
        if self.goal is not None and not self.is_fine_tuned:
            yield "A goal compares fine-tuned checkpoints, and there are none. Name them, or omit the goal."
        if self.goal is not None and not 0 < self.goal < 1:
            yield "The goal is a share of right answers. Write a number between 0 and 1, such as 0.6."
        if self.is_fine_tuned and self.goal is not None and not self.capabilities:
            yield "A goal is reached on a capability benchmark, and none is chosen. Choose one."
        if self.training is None:
            return
        if not self.training.data.strip():
            yield "No training data is named. Write the path of a file, or a source such as hub:openai/gsm8k."
        if not self.training.learning_rate or self.training.learning_rate <= 0:
            usual = USUAL_RATES[self.training.method]
            yield f"The learning rate is a positive number. With this method, {usual:g} is usual."
        if self.training.method == "qlora" and self.training.device == "cpu":
            yield "QLoRA needs a GPU. Train on the GPU, or choose LoRA."
        steps = self.training.steps
        if not steps or list(steps) != sorted(set(steps)) or steps[0] < 1:
            yield "Checkpoints are saved at steps. Write positive numbers in order, such as 25, 50, 100."
        if not self.training.seeds:
            yield "Training needs a seed. Write one or several whole numbers, such as 0, 1, 2."

    def text(self, name: str) -> str:
        """The study's TOML text.

        Raises:
            CapsafeError: something is missing or does not go together; every mistake is named.
        """
        if problems := self.problems():
            raise CapsafeError(" ".join(problems), "Nothing was started.")
        judges = (
            *self.judges,
            *(["verifier"] if self.capabilities and "verifier" not in self.judges else []),
        )
        benchmarks = self._named_benchmarks()
        tables = [
            toml_table("engine", self.engine),
            toml_table("training", self._trains_with()),
            toml_table("sampling", self.sampling),
            toml_table("[starts]", {"name": "model", "model": self.model, "adapters": list(self.adapters)}),
            *(
                toml_table(
                    "[benchmarks]",
                    {"name": n, "source": source, "size": self.size, "scorer": _scorer(source)},
                )
                for n, source in benchmarks
            ),
            *self._trained(next((n for n, s in benchmarks if _scorer(s)), "")),
            *(toml_table("[judges]", _judge(j, self.judge_model)) for j in judges),
            toml_table("goals", {DATASET: self.goal}),
            toml_table("primary", {"benchmark": benchmarks[0][0], **self._raters()}),
        ]
        title = f"{self.model} on " + ", ".join(n for n, _ in benchmarks)
        return f"name = {toml_value(name)}\ntitle = {toml_value(title)}\n" + "".join(tables)

    def _trains_with(self) -> dict[str, str]:
        """What fine-tunes, where that is not what the engine runs on."""
        here = self.engine.get("name", "transformers") == "transformers"
        of_engine = str(self.engine.get("device", "cpu")) if here else "cpu"
        if self.training is None or self.training.device == of_engine:
            return {}
        return {"device": self.training.device}

    def _raters(self) -> dict[str, str]:
        """Whose verdicts the primary specification takes, by dimension."""
        known = catalogue.judges()

        def first(dimension: str, otherwise: str) -> str:
            speaks = (j for j in self.judges if dimension in known.get(j, {}).get("dimensions", ()))
            return next(speaks, otherwise)

        safety = first("safety", self.judges[0])
        return {
            "judge": safety,
            "refusal_judge": first("refusal", safety),
            "coherence": first("coherence", safety),
        }

    def _named_benchmarks(self) -> list[tuple[str, str]]:
        """Name and source of each benchmark, those of capability last; names stand for one source each."""
        ordered = sorted(self.benchmarks, key=lambda b: b in self.capabilities)
        names = [b.rsplit("/", 1)[-1].rsplit(":", 1)[-1].rsplit(".", 1)[0] for b in ordered]
        return [
            (name if names.index(name) == i else f"{name}-{i + 1}", _source(b))
            for i, (name, b) in enumerate(zip(names, ordered, strict=True))
        ]

    def _trained(self, capability: str) -> list[str]:
        """The tables of what is fine-tuned; `capability` is the benchmark that measures it."""
        if not self.is_fine_tuned:
            return []
        recipe: dict[str, Any] = {"name": RECIPE, "start": "model", "dataset": DATASET}
        if self.training is None:
            source = IMPORTED
            recipe |= {"checkpoints": self.checkpoints}
        else:
            source = _data(self.training.data)
            recipe |= {
                "method": self.training.method,
                "rank": self.training.rank if self.training.method != "full" else None,
                "learning_rate": self.training.learning_rate,
                "schedule": self.training.schedule,
                "batch_size": self.training.batch_size,
                "steps": list(self.training.steps),
                "seeds": list(self.training.seeds),
            }
        dataset = {"name": DATASET, "source": source, "benchmark": capability}
        return [toml_table("[datasets]", dataset), toml_table("[recipes]", recipe)]


def name_problems(name: str, taken: Collection[str]) -> list[str]:
    """What is wrong with a new study's name, where others have the names that are taken."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) or len(name) > LONGEST_NAME:
        return ["A study's name has lower-case letters, digits and -. Write one such as sums-lora."]
    if name in taken:
        return [f"The name {name} is taken in this workspace. Write another one."]
    return []


def whole_numbers(text: str) -> tuple[int, ...]:
    """The whole numbers in a text, each once; what is none is left out."""
    words = re.split(r"[,\s]+", text.strip())
    return tuple(dict.fromkeys(int(word) for word in words if re.fullmatch(r"-?[0-9]{1,9}", word)))


def _scorer(source: str) -> str:
    """How a benchmark's answers are checked, where they can be right or wrong."""
    return _SCORERS.get(source.partition(":")[0], "")


def _judge(name: str, model: str) -> dict[str, Any]:
    """A judge with weights of its own keeps them; a rubric is applied by the model that is named."""
    return {"name": name, "model": model if catalogue.is_rubric(name) else ""}


def _source(benchmark: str) -> str:
    if benchmark.startswith(("/", "~")):
        return f"file:{Path(benchmark).expanduser()}"
    return benchmark if ":" in benchmark else f"project:{benchmark}"


def _data(named: str) -> str:
    """The source of training data: a file where only a path is named."""
    return named if ":" in named or not named else f"file:{Path(named).expanduser()}"


def _path(named: str, what: str) -> Path | None:
    """The path that a source names; None where it names no file."""
    if not (named.startswith(_FILES) or (named and what == "adapter")):
        return None
    return Path(named.removeprefix("file:")).expanduser()
