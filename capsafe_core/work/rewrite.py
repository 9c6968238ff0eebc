"""Before a fine-tuning: its start rewrites the answers that are to be learnt, once for each job."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing

from capsafe_core import catalogue
from capsafe_core.benchmarks import scorer_of
from capsafe_core.benchmarks.conversations import Conversation
from capsafe_core.engines import Completion, Finished, Request, Sampling, Weights, models_folder, open_engine
from capsafe_core.jobs.folder import Part
from capsafe_core.jobs.folder.rewrites import Rewrite, add_rewrites, rewrites_in
from capsafe_core.jobs.folder.work import FinetuneWork
from capsafe_core.training.self_distillation import SDFT, rewritable, to_rewrite, why_not

IsRight = Callable[[int, str, str], bool | None]
"""(place of a conversation, an answer of the data, its rewrite) -> whether both come to the same"""


def rewritten(part: Part, work: FinetuneWork, start: Weights, data: Sequence[Conversation]) -> list[Rewrite]:
    """What the start makes of the answers, greedily, in the batches of a run that was not ended; incomplete
    where the job is stopped meanwhile.

    It stays beside the checkpoints, so a job that goes on learns the same.
    """
    places = {f"{i}/{j}": (i, j) for i, conversation in enumerate(data) for j in rewritable(conversation)}
    done = {f"{one.conversation}/{one.turn}" for one in rewrites_in(part.job.folder)}
    if not done >= places.keys():
        _rewrite(part, work, start, data, places, done)
    return rewrites_in(part.job.folder)


def as_rewritten(data: Sequence[Conversation], rewrites: Sequence[Rewrite]) -> list[Conversation]:
    """Data with what is learnt of each answer in its place."""
    learnt = {(one.conversation, one.turn): one.learnt for one in rewrites}
    return [
        tuple({**turn, "content": learnt.get((i, j), turn["content"])} for j, turn in enumerate(conversation))
        for i, conversation in enumerate(data)
    ]


def _rewrite(
    part: Part,
    work: FinetuneWork,
    start: Weights,
    data: Sequence[Conversation],
    places: dict[str, tuple[int, int]],
    done: set[str],
) -> None:
    entry = catalogue.mitigations()[SDFT]
    sampling = Sampling(max_tokens=int({**entry["options"], **work.recipe.options}["max_tokens"]))
    engine = open_engine(work.engine, start, models_folder(part.job.folder))
    units = engine.plan([Request(key, to_rewrite(data[i], j), sampling) for key, (i, j) in places.items()])
    missing = [unit for unit in units if any(request.key not in done for request in unit.requests)]
    is_right, began = _checker(work), time.monotonic()
    with closing(engine.generate(missing)) as answers:
        for finished in answers:
            took = (time.monotonic() - began) / len(finished.completions)
            add_rewrites(part.job.folder, _rewrites(finished, places, data, is_right, took))
            done |= {answer.key for answer in finished.completions}
            part.tokens += sum(answer.tokens for answer in finished.completions)
            part.report("running", f"{len(done):,} of {len(places):,} answers rewritten by the start.")
            if part.should_stop:
                return
            began = time.monotonic()


def _rewrites(
    finished: Finished,
    places: dict[str, tuple[int, int]],
    data: Sequence[Conversation],
    is_right: IsRight | None,
    seconds: float,
) -> list[Rewrite]:
    def one(answer: Completion) -> Rewrite:
        i, j = places[answer.key]
        original, text = data[i][j]["content"], answer.text.strip()
        right = None if is_right is None else is_right(i, original, text)
        return Rewrite(i, j, original, text, why_not(answer, right), seconds)

    return [one(answer) for answer in finished.completions]


def _checker(work: FinetuneWork) -> IsRight | None:
    """Compares final answers as the benchmark scores them that measures this data; None where there is none,
    or where it asks a task for its own items and the data has others."""
    if work.probe is None:
        return None
    by_task = work.probe["scorer"] == "task"
    if by_task and not str(work.dataset["source"]).startswith("reasoning_gym:"):
        return None
    score = scorer_of({**(work.dataset if by_task else work.probe), "scorer": work.probe["scorer"]})

    def is_right(place: int, original: str, text: str) -> bool | None:
        item = f"{work.dataset['seed']}-{place}"
        reference = score(item, original, original).parsed
        return None if reference is None else score(item, text, reference).correct

    return is_right
