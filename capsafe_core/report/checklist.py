"""What a reader of an evaluation should find in its report, filled from the study.

The headings are those of NIST AI 800-2 (initial public draft, 2026): objectives and benchmarks, implementing
and running, analysing and reporting. The questions are our own words, as far as they concern a study here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from capsafe_core.analysis.number_words import hundredths
from capsafe_core.analysis.view import View
from capsafe_core.report.basis import conditions_words, judge_words, state_words
from capsafe_core.store.labels import labellers

OBJECTIVES, RUNNING, REPORTING = (
    "Objectives and benchmarks",
    "Implementing and running",
    "Analysing and reporting",
)
OPEN = "not recorded here; state it"


class Answer(NamedTuple):
    """One question of the checklist and what the study says to it."""

    heading: str
    question: str
    answer: str


def checklist(view: View, judged: pd.DataFrame) -> list[Answer]:
    """The checklist of a study.

    Args:
        judged: what the numbers leave out: benchmark, judge, dimension, outputs, counted, no verdict,
            incoherent.
    """
    return [*_objectives(view), *_running(view), *_reporting(view, judged)]


def _objectives(view: View) -> Iterator[Answer]:
    study = view.study
    yield Answer(OBJECTIVES, "What is to be learnt?", study.title or OPEN)
    yield Answer(OBJECTIVES, "For which decision or use?", OPEN)
    goals = ", ".join(f"{goal:.0%} on {dataset}" for dataset, goal in view.goals.items())
    yield Answer(
        OBJECTIVES, "At which capability are models compared?", goals or "none: as given, not matched"
    )
    sizes = view.listed_cells[["benchmark", "version", "kind"]].drop_duplicates()
    named = [f"{b} (version {v}, {k.replace('_', '-')})" for b, v, k in sizes.to_numpy()]
    yield Answer(OBJECTIVES, "Which benchmarks, in which version?", "; ".join(named) or OPEN)
    yield Answer(OBJECTIVES, "Could models have seen the benchmark in training?", OPEN)


def _running(view: View) -> Iterator[Answer]:
    study = view.study
    starts = ", ".join(f"{s.name} ({s.model})" if s.model else s.name for s in study.starts)
    yield Answer(RUNNING, "Which models?", starts or OPEN)
    recipes = ", ".join(f"{r.name} (seeds: {len(r.seeds)})" for r in study.recipes)
    yield Answer(RUNNING, "How were they fine-tuned?", recipes or "not at all")
    yield Answer(RUNNING, "Under which conditions were they asked?", conditions_words(view))
    engines = sorted(set(view.listed_cells["engine"]) - {""})
    yield Answer(RUNNING, "What ran them?", "; ".join(engines) or OPEN)
    yield Answer(RUNNING, "Who or what judged the outputs?", judge_words(view))
    work = labellers(view.store)
    labels = f"labels of {len(work)} annotators" if len(work) > 1 else "labels of one annotator"
    yield Answer(
        RUNNING, "Were judges checked against people?", labels if len(work) else "no: there are no labels"
    )


def _reporting(view: View, judged: pd.DataFrame) -> Iterator[Answer]:
    yield Answer(REPORTING, "Was the analysis declared before the results?", view.standing)
    yield Answer(
        REPORTING,
        "How is uncertainty given?",
        "95% intervals: Wilson, or a bootstrap over behaviours and capability items; with training seeds "
        "where there are enough of them",
    )
    yield Answer(REPORTING, "Does the conclusion survive other analyses?", state_words(view))
    total, missing = (int(judged[name].sum()) if len(judged) else 0 for name in ("outputs", "no verdict"))
    share = (
        f"{missing:,} of {total:,} judgments ({hundredths(missing / total)}%) are no verdict"
        if total
        else OPEN
    )
    checked, outputs = view.checked
    yield Answer(
        REPORTING,
        "What do the numbers leave out?",
        f"{share}; coherence was checked on {checked:,} of {outputs:,} outputs",
    )
    yield Answer(
        REPORTING,
        "What can others compute again?",
        "every number of this report (capsafe report --verify); the outputs, from capsafe export bundle",
    )
    yield Answer(
        REPORTING,
        "What may not be concluded?",
        f"anything of other harms than those of {view.specification.benchmark}, of other capability goals, "
        "or of use that the benchmark does not resemble",
    )
