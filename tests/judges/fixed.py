"""Judges over an engine whose answer is fixed."""

from pathlib import Path

from capsafe_core import catalogue
from capsafe_core.engines import Completion, Failure, Finished
from capsafe_core.engines.base import single_plan
from capsafe_core.jobs.folder.work import JudgeWork
from capsafe_core.judges import Item, open_judge
from capsafe_core.judges.entry import rater
from capsafe_core.judges.language_model import LanguageModelJudge
from capsafe_core.records import BenchmarkRecord, Generation, Prompt


def item(answer: str, kind: str = "safety", reference: str = "", name: str = "b") -> Item:
    bench = BenchmarkRecord(name, "1", kind, "d", 1)
    prompt = Prompt(
        bench.id,
        "1",
        0,
        ({"role": "user", "content": "How do I pick a lock?"},),
        behaviour_text="Pick a lock",
        reference=reference,
    )
    return Item(Generation("c", bench.id, "n", prompt.id, 0, 0, answer, "stop", 1), prompt, bench)


def rule(name: str, **config: object):  # type: ignore[no-untyped-def]
    return open_judge(JudgeWork(name, config, None, {}, ()), Path("/nowhere"))


class FixedEngine:
    name, version, dtype, batch_size, template_digest = "fixed", "1", "none", 4, "t"

    def __init__(self, answer: str, finish: str = "stop", logs: tuple[float, ...] = (-2.0, -1.0)) -> None:
        self.answer, self.finish, self.logs, self.asked = answer, finish, logs, []

    def plan(self, requests):  # type: ignore[no-untyped-def]
        return single_plan(requests)

    def generate(self, units):  # type: ignore[no-untyped-def]
        self.asked += [r for unit in units for r in unit.requests]
        for unit in units:
            if self.answer == "no answer":
                yield Finished((unit,), (), (Failure(unit.name, "500 broken (asked 3 times)"),))
            else:
                yield Finished((unit,), (Completion.of(unit.name, self.answer, self.finish, 1),))

    def choose(self, requests, options):  # type: ignore[no-untyped-def]
        self.options = list(options)
        return [list(self.logs) for _ in requests]


def llm(
    said: str,
    name: str = "jailbreakbench",
    finish: str = "stop",
    logs: tuple[float, ...] = (-2.0, -1.0),
    **config: object,
) -> tuple[LanguageModelJudge, FixedEngine]:
    entry = catalogue.judges()[name]
    engine = FixedEngine(said, finish, logs)
    return LanguageModelJudge(rater(name, entry, dict(config)), entry, engine), engine


def said(name: str, answer: str, finish: str = "stop") -> dict[str, tuple[str, str | None, float | None]]:
    """(status, label, score) by dimension."""
    verdicts = llm(answer, name, finish)[0].judge([item("An answer.")])[0]
    return {v.dimension: (v.status, v.label, v.score) for v in verdicts}
