"""From a judge job's settings to a judge that runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder.work import JudgeWork
from capsafe_core.judges.entry import find_entry, rater
from capsafe_core.judges.protocol import Judge


def open_judge(work: JudgeWork, models: Path, stopped: Callable[[], bool] = lambda: False) -> Judge:
    """The judge with its model loaded.

    Args:
        work: of the judge job.
        models: folder for converted models.
        stopped: whether the job is to end.

    Raises:
        CapsafeError: there is no such judge, it lacks a model, or its template is unverified.
    """
    name, config = work.judge, work.config
    entry = find_entry(name, work.own_entry)
    kind = entry["type"]
    if kind == "prefixes":
        from capsafe_core.judges.prefixes import PrefixJudge

        return PrefixJudge(
            rater(name, entry, config), entry["phrases"], entry["ignore_case"], entry.get("required", ())
        )
    if kind == "verifier":
        from capsafe_core.judges.verifier import Verifier

        return Verifier(rater(name, entry, config), config["scorers"])
    if kind == "coherence":
        from capsafe_core.judges.coherence import CoherenceJudge

        return CoherenceJudge.learnt_from(name, entry, config)
    if kind == "coherence_learnt":
        from capsafe_core.judges.coherence import LearntCoherenceJudge

        return LearntCoherenceJudge.open(name, entry, config)
    if kind == "learnt":
        from capsafe_core.judges.learnt import LearntJudge

        return LearntJudge.open(name, entry, config)
    if kind == "words":
        from capsafe_core.judges.words import WordsJudge

        return WordsJudge.open(name, entry, config)
    model = work.model or entry.get("model")
    if model is None:
        raise CapsafeError(
            f"The judge {name!r} is a language model and needs one.",
            f'Add model = "..." to the judge {name!r} in the study.',
        )
    if kind == "direction":
        from capsafe_core.judges.direction import DirectionJudge

        return DirectionJudge.open(name, entry, replace(work, model=model), models)
    if kind == "classifier":
        from capsafe_core.judges.classifier import ClassifierJudge

        return ClassifierJudge.open(name, entry, replace(work, model=model), models)
    from capsafe_core.judges.language_model import LanguageModelJudge

    return LanguageModelJudge.open(name, entry, replace(work, model=model), models, stopped)
