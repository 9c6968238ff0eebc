"""Self-distillation: what the start is asked, which rewrites are learnt, and that a run goes on with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from capsafe_core.benchmarks.loading import load_conversations
from capsafe_core.engines import Completion, Finished, Request, Unit
from capsafe_core.engines.base import queue_plan
from capsafe_core.jobs.folder import Job, Manifest, Part, create_job
from capsafe_core.jobs.folder.rewrites import REWRITES, Rewrite, rewrites_in, rewrites_words
from capsafe_core.jobs.folder.work import FinetuneWork
from capsafe_core.records import Measurement
from capsafe_core.training.self_distillation import rewritable, to_rewrite, why_not
from capsafe_core.work import rewrite
from capsafe_core.work.rewrite import as_rewritten, rewritten
from tests.engines.tiny import finish
from tests.training.test_training import costs, training, weights_of

SUMS = {
    "name": "sums",
    "source": "reasoning_gym:chain_sum",
    "config": {"min_terms": 2, "max_terms": 2},
    "seed": 3,
    "size": 12,
    "answer": "worked",
}
PROBE = {**SUMS, "seed": 777, "size": 4, "scorer": "number"}


@pytest.mark.parametrize(
    ("text", "ended", "is_right", "why"),
    [
        ("It is 12.", True, True, ""),
        ("Anything.", True, None, ""),
        ("It is 13.", True, False, "another final answer"),
        ("It is 12 and", False, True, "no end within the limit"),
        (" ", True, None, "no text"),
        ("As the Reference Answer says, 12.", True, True, "talk of the rewriting"),
        ("Here is MY RESPONSE: 12", True, True, "talk of the rewriting"),
        ("Your turn: 12", True, True, "talk of the rewriting"),
        ("It is your turn: 12", True, True, ""),
    ],
)
def test_a_rewrite_is_learnt_by_the_published_rule(
    text: str, ended: bool, is_right: bool | None, why: str
) -> None:
    answer = Completion("k", text, "stop" if ended else "length", 3)
    assert why_not(answer, is_right) == why


def test_every_answer_to_a_user_is_rewritten_within_its_conversation() -> None:
    roles = ("system", "user", "assistant", "assistant", "user", "assistant")
    turns = tuple({"role": role, "content": f"{role} {i}"} for i, role in enumerate(roles))
    assert rewritable(turns) == [2, 5]
    asked = to_rewrite(turns, 5)
    assert asked[:-1] == turns[:4]
    assert asked[-1]["role"] == "user"
    assert asked[-1]["content"].index("user 4") < asked[-1]["content"].index("assistant 5")


class Echo:
    """An engine that gives back what it was asked to rewrite, but for some."""

    def __init__(self, said: list[str], texts: dict[str, str]) -> None:
        self._said, self._texts = said, texts

    def plan(self, requests: Sequence[Request]) -> list[Unit]:
        return queue_plan(requests, 5, lambda request: 0)

    def generate(self, units: Sequence[Unit]) -> Any:
        for unit in units:
            self._said += [request.key for request in unit.requests]
            yield Finished((unit,), tuple(self._answer(request) for request in unit.requests))

    def _answer(self, request: Request) -> Completion:
        text = request.messages[-1]["content"].rpartition("Reference answer:\n")[2]
        return Completion(request.key, self._texts.get(request.key, f"Rewritten: {text}"), "stop", 3)


def sums_job(root: Path, scorer: str = "number") -> Job:
    work = training(root, "sums", "m", [2], mitigation="sdft").manifest.work
    probe = {**PROBE, "scorer": scorer}
    return create_job(root, Manifest("finetune", f"sdft-{scorer}", {**work, "dataset": SUMS, "probe": probe}))


@pytest.mark.parametrize("scorer", ["number", "task"])
def test_a_job_goes_on_with_what_was_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scorer: str
) -> None:
    job, said = sums_job(tmp_path, scorer), list[str]()
    work, data = job.manifest.asks(FinetuneWork), load_conversations(SUMS)
    last = data[7][-1]["content"]
    bare = {f"{i}/1": c[-1]["content"].split("=")[-1].split("#")[-1].strip() for i, c in enumerate(data)}
    texts = {**(bare if scorer == "task" else {}), "3/1": "I make it 100000.", "4/1": f"My response: {last}"}
    monkeypatch.setattr(rewrite, "open_engine", lambda *_: Echo(said, texts))
    start: Any = None
    with Part(job) as part:
        first = rewritten(part, work, start, data)
        path = job.folder / REWRITES
        path.write_bytes(
            b"".join(path.read_bytes().splitlines(keepends=True)[:7])[:-9]
        )  # torn in the second unit
        before = len(said)
        again = rewritten(part, work, start, data)
        assert before == 12
        assert sorted(said[before:]) == sorted(said[5:12])  # whole units, and none that was there
        assert [(r.conversation, r.text) for r in again] == [(r.conversation, r.text) for r in first]
        rewritten(part, work, start, data)
        assert len(said) == before + 7
    assert {r.conversation: r.why_not for r in again if r.why_not} == {
        3: "another final answer",
        4: "talk of the rewriting",
    }
    learnt = as_rewritten(data, again)
    assert [c[0] for c in learnt] == [c[0] for c in data]
    assert [i for i, c in enumerate(learnt) if c == data[i]] == [3, 4]
    assert rewrites_words(again) == (
        "Rewritten by the start: 10 of 12 answers; the others as they are (another final answer in 1, "
        "talk of the rewriting in 1)."
    )


def test_data_that_nothing_scores_are_checked_by_their_words_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = training(tmp_path, "plain", "m", [2], mitigation="sdft")
    work = job.manifest.asks(FinetuneWork)
    data = load_conversations(work.dataset)
    monkeypatch.setattr(rewrite, "open_engine", lambda *_: Echo([], {}))
    start: Any = None
    with Part(job) as part:
        assert all(not one.why_not for one in rewritten(part, work, start, data))


def test_a_run_learns_what_its_start_rewrote(tmp_path: Path, engine_python: Path, tiny_model: str) -> None:
    """A random model ends nothing, so every original is kept until one is made to end."""
    options = {"options": {"max_tokens": 4}}
    plain = finish(training(tmp_path, "plain", tiny_model, [2]), engine_python)
    kept = finish(
        training(tmp_path / "a", "sdft", tiny_model, [2], mitigation="sdft", **options), engine_python
    )
    assert weights_of(kept) == weights_of(plain)
    assert "Rewritten by the start: 0 of 100 answers" in kept.status().message
    ready = training(tmp_path / "b", "sdft", tiny_model, [2], mitigation="sdft", **options)
    lines = [Rewrite(**{**one.__dict__, "why_not": "", "text": "Yes."}) for one in rewrites_in(kept.folder)]
    rewrite.add_rewrites(ready.folder, lines[:50] + rewrites_in(kept.folder)[50:])
    finish(ready, engine_python)
    assert weights_of(ready) != weights_of(plain)
    assert costs(ready, "answers rewritten") == [0.5]
    told = [r for r in ready.records() if isinstance(r, Measurement) and r.metric == "answers rewritten"]
    assert [r.n for r in told] == [100]
    assert costs(kept, "seconds")[0] > sum(one.seconds for one in rewrites_in(kept.folder)) > 0
