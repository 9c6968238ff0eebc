"""The engine that asks a server, against a server that misbehaves, through real workers."""

from __future__ import annotations

import math
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from capsafe_core.engines import Completion, Failure, Request, Sampling, answer_all, find_weights, open_engine
from capsafe_core.engines.asking import ServerTrouble
from capsafe_core.engines.openai_answers import first_token, read_answer
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, Manifest, create_job
from capsafe_core.jobs.supervisor import start_worker
from capsafe_core.records import Condition, Generation, Judgment
from capsafe_core.settings import Settings
from capsafe_core.work import worker
from tests.server import Seen, answer, serving

KEY = "sk-planted-7f3a9c"


@pytest.fixture(autouse=True)
def planted_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SERVER_KEY", KEY)


def settings(seen: Seen, **changes: object) -> dict[str, Any]:
    return {
        "name": "openai",
        "base_url": seen.base_url,
        "api_key_env": "TEST_SERVER_KEY",
        "concurrency": 4,
        "timeout": 2.0,
        "retries": 3,
        "top_logprobs": 20,
        **changes,
    }


def asked(n: int = 12) -> list[Request]:
    return [
        Request(f"{i}", ({"role": "user", "content": f"Question {i}?"},), Sampling(0.7, seed=5))
        for i in range(n)
    ]


def engine(seen: Seen, **changes: object):  # type: ignore[no-untyped-def]
    chosen = settings(seen, **changes)
    return open_engine(chosen, find_weights(chosen, "some-model", Path()), Path())


def generating(
    root: Path, seen: Seen, name: str = "g", size: int = 24, samples: int = 1, **changes: object
) -> Job:
    bench = {
        "name": "direct-requests",
        "source": "project:direct-requests",
        "config": {},
        "seed": 0,
        "size": size,
        "answer": "final",
        "scorer": "exact",
    }
    sampling = {
        "temperature": 0.7,
        "top_p": 1.0,
        "max_tokens": 12,
        "samples": samples,
        "seed": 0,
        "system_prompt": "Be brief.",
    }
    work = {
        "checkpoints": [{"model": "some-model", "adapters": []}],
        "benchmarks": [bench],
        "sampling": sampling,
        "engine": settings(seen, **changes),
    }
    return create_job(root, Manifest("generate", name, work))


def texts(job: Job) -> dict[str, str]:
    return {r.id: r.text for r in job.records() if isinstance(r, Generation)}


def test_requests_go_side_by_side_within_the_bound_and_each_has_its_own_seed() -> None:
    with serving(seconds=0.05) as seen:
        answers = answer_all(engine(seen), asked())
    assert {k: type(a) for k, a in answers.items()} == {f"{i}": Completion for i in range(12)}
    assert 2 <= seen.most_at_once <= 4
    assert len({b["seed"] for b in seen.bodies}) == 12
    assert {b["model"] for b in seen.bodies} == {"some-model"}
    assert set(seen.keys) == {f"Bearer {KEY}"}


@pytest.mark.parametrize("kind", ["429", "500", "garbage", "empty", "half", "hang"])
def test_trouble_that_passes_costs_time_and_nothing_else(kind: str) -> None:
    with serving() as calm:
        expected = answer_all(engine(calm), asked(6))
    with serving(lambda number, body: kind if number < 4 else "") as seen:
        began = time.monotonic()
        found = answer_all(engine(seen, timeout=0.5), asked(6))
    assert found == expected
    assert len(seen.bodies) == 10
    if kind == "429":  # the server asked for 0.2 s, and that holds for all
        assert seen.times[4] - seen.times[0] >= 0.19
    assert time.monotonic() - began < 20


def test_trouble_with_one_request_is_that_requests_failure() -> None:
    with serving(lambda number, body: "400" if "Question 3?" in str(body["messages"]) else "") as seen:
        found = answer_all(engine(seen), asked(6))
    assert [k for k, a in found.items() if isinstance(a, Failure)] == ["3"]
    assert len(seen.bodies) == 6, "a request that the server understood and refused is not asked again"


def test_what_no_request_would_get_ends_the_job_with_a_sentence() -> None:
    with (
        serving(lambda number, body: "401") as seen,
        pytest.raises(CapsafeError, match="refuses every request") as refusal,
    ):
        answer_all(engine(seen), asked(6))
    assert "TEST_SERVER_KEY" in refusal.value.hint
    assert KEY not in str(refusal.value) + refusal.value.hint
    with serving() as seen:
        made = engine(seen, retries=1)
    with pytest.raises(CapsafeError, match="does not answer"):
        answer_all(made, asked(2))
    with pytest.raises(CapsafeError, match="does not answer"):
        engine(seen)


def test_the_first_tokens_chances_are_read_from_chat_and_from_completions() -> None:
    with serving() as seen:
        made = engine(seen)
        chat = Request("a", ({"role": "user", "content": "x"},))
        raw = Request("b", ({"role": "user", "content": "x"},), raw=True, begun="\n\n")
        assert made.choose([chat, raw], ["Yes", "No", "Never"]) == [[-0.2, -1.8, float("-inf")]] * 2
        assert {b.get("prompt") for b in seen.bodies} == {None, "x\n\n"}
        begun = Request("c", ({"role": "user", "content": "x"},), begun="\n\n", template={"guideline": "g"})
        made.choose([begun], ["Yes", "No"])
    assert seen.bodies[-1]["continue_final_message"]
    assert seen.bodies[-1]["messages"][-1] == {"role": "assistant", "content": "\n\n"}
    assert seen.bodies[-1]["chat_template_kwargs"] == {"guideline": "g"}


def test_a_job_keeps_what_was_answered_and_asks_again_for_what_failed(tmp_path: Path) -> None:
    broken = {"on": True}
    with serving(lambda number, body: "500" if broken["on"] and number % 3 == 0 else "") as seen:
        job = generating(tmp_path, seen, retries=0)
        assert worker.run(job.folder, 0) == 0
        first, status = texts(job), job.status()
        assert job.state == "partial"
        assert job.ended, "judging can begin with what is there"
        assert (len(first), status.errors) == (16, 8)
        assert "8 failed" in status.message
        assert "500" in status.message
        broken["on"] = False
        assert worker.run(job.folder, 0) == 0
    assert job.state == "done"
    assert len(texts(job)) == 24
    assert first.items() <= texts(job).items()
    condition = next(r for r in job.records() if isinstance(r, Condition))
    assert (condition.engine, condition.system_prompt) == ("openai", "Be brief.")


def test_twenty_kills_over_a_troubled_server_lose_and_double_nothing(tmp_path: Path) -> None:
    chance = random.Random(4)
    kinds = ["", "", "", "", "429", "500", "garbage", "half"]
    with serving(seconds=0.02) as calm:
        whole = generating(tmp_path / "calm", calm, size=100, samples=3)
        assert worker.run(whole.folder, 0) == 0
    with serving(lambda number, body: chance.choice(kinds), seconds=0.1) as seen:
        job = generating(tmp_path / "troubled", seen, size=100, samples=3, retries=8)
        killed = 0
        while killed < 20:
            before = len(seen.bodies)
            process = start_worker(job, settings=Settings(engine_python=Path(sys.executable)))
            while len(seen.bodies) == before and process.poll() is None:
                time.sleep(0.02)
            try:
                process.wait(timeout=chance.uniform(0.1, 0.5))
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed += 1
        assert killed == 20, "the work ended before it could be killed: make it longer"
        assert 0 < len(texts(job)) < 300
        while job.state != "done":
            assert worker.run(job.folder, 0) == 0
    written = [r for r in job.records() if isinstance(r, Generation)]
    assert len(written) == len({r.id for r in written}) == 300
    assert sorted(r.text for r in written) == sorted(texts(whole).values())


def test_a_stop_is_heard_while_the_server_is_silent(tmp_path: Path) -> None:
    with serving(lambda number, body: "hang" if number > 5 else "") as seen:
        job = generating(tmp_path, seen, timeout=1.0, retries=2)
        process = start_worker(job, settings=Settings(engine_python=Path(sys.executable)))
        while len(seen.bodies) < 8:
            time.sleep(0.05)
        job.ask_to_stop()
        assert process.wait(timeout=30) == 0
    assert job.state == "stopped"
    assert 1 <= len(texts(job)) < 24


def test_a_judge_over_a_server_errs_and_is_tried_again(tmp_path: Path) -> None:
    with serving() as seen:
        job = generating(tmp_path, seen)
        assert worker.run(job.folder, 0) == 0
    template = {
        "template": "Judge: {response}",
        "parser": "patterns",
        "reads": [
            {"dimension": "safety", "pattern": "(Said)", "labels": {"said": "safe"}},
            {"dimension": "refusal", "pattern": "(Said)", "labels": {"said": "none"}},
        ],
    }
    broken = {"on": True}
    with serving(lambda number, body: "500" if broken["on"] and number % 4 == 0 else "") as seen:
        work = {
            "judge": "mine",
            "entry": template,
            "config": {},
            "model": "judge-model",
            "engine": settings(seen, retries=0),
            "generations": [job.job_id],
        }
        judging = create_job(tmp_path, Manifest("judge", "mine", work))
        assert worker.run(judging.folder, 0) == 0
        assert judging.state == "partial"
        broken["on"] = False
        before = len(seen.bodies)
        assert worker.run(judging.folder, 0) == 0
        assert len(seen.bodies) - before == 6, "only what failed is asked again"
    verdicts = [r for r in judging.records() if isinstance(r, Judgment)]
    assert {(r.dimension, r.status, r.attempt) for r in verdicts} == {
        (d, s, a) for d in ("safety", "refusal") for s, a in (("ok", 1), ("error", 1), ("ok", 2))
    }
    current = {(r.generation_id, r.dimension): r.status for r in sorted(verdicts, key=lambda r: r.attempt)}
    assert set(current.values()) == {"ok"}
    assert len(current) == 48
    assert judging.state == "done"


def test_the_key_is_written_nowhere(tmp_path: Path) -> None:
    """Every file that a job leaves, after refusals in which the server echoes the key."""
    for name, kind in (("fails", "400"), ("retries", "429"), ("ends", "401")):
        # type: ignore[misc]
        with serving(lambda number, body, kind=kind: kind if number % 2 else "") as seen:
            job = generating(tmp_path, seen, name, retries=1)
            process = start_worker(job, settings=Settings(engine_python=Path(sys.executable)))
            process.wait(timeout=60)
            assert set(seen.keys) == {f"Bearer {KEY}"}
        assert job.state in ("partial", "failed")
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) > 10
    assert not [p for p in files if KEY.encode() in p.read_bytes()]
    assert [p for p in files if b"[key]" in p.read_bytes()], "the server's words were kept, without the key"


def test_an_option_is_the_token_that_is_it_and_not_one_that_begins_like_it() -> None:
    known = {"Y": -0.1, " Yes": -0.9, "Yes": -1.5, "No": -2.0, "N": -1.0, "un": -3.0, "": -0.2}
    assert [first_token(option, known) for option in ("Yes", "No", "unsafe", "safe")] == [
        " Yes",
        "No",
        None,
        None,
    ]


@pytest.mark.parametrize("key", [f"{KEY}\n", f" {KEY}"])
def test_spaces_around_a_key_are_not_part_of_it(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SERVER_KEY", key)
    with serving() as seen:
        answer_all(engine(seen), asked(1))
    assert seen.keys == [f"Bearer {KEY}"]
    monkeypatch.setenv("TEST_SERVER_KEY", f"{KEY}\n{KEY}")
    with serving() as seen, pytest.raises(CapsafeError, match="no key has") as refused:
        engine(seen)
    assert KEY not in str(refused.value)


GARBAGE: dict[str, bytes] = {
    "a number beyond "
    "numbers": b'{"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": '
    b'{"completion_tokens": 1e9999}}',
    "nested without end": b'{"choices": ' + b"[" * 200_000,
    "nested objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a whole number without "
    "end": b'{"choices": [{"message": {"content": "x"}}], "usage": {"completion_tokens": '
    + b"9" * 100_000
    + b"}}",
    "more tokens than there "
    "are": b'{"choices": [{"message": {"content": "x"}}], "usage": {"completion_tokens": '
    b"9223372036854775808}}",
    "fewer than none": b'{"choices": [{"message": {"content": "x"}}], "usage": {"completion_tokens": -1}}',
    "not UTF-8": b'{"choices": [{"message": {"content": "\xff\xfe"}}]}',
    "UTF-16": '{"choices": [{"message": {"content": "x"}}]}'.encode("utf-16"),
    "NaN": b'{"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{"token": "x", "logprob": '
    b"NaN}]}}]}",
    "a list": b"[1, 2]",
    "nothing": b"null",
    "empty": b"",
    "a text that is a list": b'{"choices": [{"message": {"content": ["x"]}}]}',
    "a choice that is a text": b'{"choices": ["x"]}',
    "choices that are an object": b'{"choices": {"0": {"message": {"content": "x"}}}}',
    "a message that is a text": b'{"choices": [{"message": "x"}]}',
    "a finish that is an object": b'{"choices": [{"message": {"content": "x"}, "finish_reason": {"a": 1}}]}',
    "chances that are "
    "texts": b'{"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{"token": "x", '
    b'"logprob": "-1"}]}}]}',
    "chances above "
    "one": b'{"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{"token": "x", "logprob": '
    b"5}]}}]}",
    "usage that is a list": b'{"choices": [{"message": {"content": "x"}}], "usage": [4]}',
}


@pytest.mark.parametrize("what", GARBAGE)
def test_one_garbage_answer_is_one_failed_request(what: str) -> None:
    with serving(
        lambda number, body: "raw" if "Question 3?" in str(body["messages"]) else "", raw=GARBAGE[what]
    ) as seen:
        found = answer_all(engine(seen, retries=0), asked(6))
    assert [k for k, a in found.items() if isinstance(a, Failure)] == ["3"]


@pytest.mark.parametrize("what", GARBAGE)
def test_a_choice_answered_with_garbage_is_one_failed_request(what: str) -> None:
    """An error that a judge's job takes as one item's, and not one that ends it."""
    with serving(lambda number, body: "raw" if number else "", raw=GARBAGE[what]) as seen:
        made = engine(seen, retries=0)
        chat = Request("a", ({"role": "user", "content": "x"},))
        made.choose([chat], ["Yes", "No"])
        with pytest.raises(RuntimeError):
            made.choose([chat], ["Yes", "No"])


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "text",
                    "finish_reason",
                    "usage",
                    "completion_tokens",
                    "logprobs",
                    "token_logprobs",
                    "top_logprobs",
                    "token",
                    "logprob",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=20,
)


@hypothesis_settings(max_examples=400, deadline=None)
@given(JSON, st.lists(st.tuples(st.integers(0, 60), JSON), max_size=2))
def test_whatever_json_a_server_sends_is_an_answer_or_trouble(
    value: Any, changes: list[tuple[int, Any]]
) -> None:
    """Any value, and a good answer with parts of it replaced by any value."""
    good: Any = answer({"messages": [{"content": "x"}], "model": "m", "logprobs": True})
    places: list[tuple[Any, Any]] = []
    waiting = [good]
    while waiting:
        one = waiting.pop()
        for key in one if isinstance(one, dict) else range(len(one)):
            places.append((one, key))
            waiting += [one[key]] if isinstance(one[key], dict | list) else []
    for place, changed in changes:
        holder, key = places[place % len(places)]
        holder[key] = changed
    for data in (value, {"choices": [value]}, {"choices": [{"message": value, "logprobs": value}]}, good):
        try:
            said = read_answer(data)
        except ServerTrouble:
            continue
        assert isinstance(said.text, str)
        assert 0 <= said.tokens < 1 << 31
        assert all(math.isfinite(log) and log <= 1e-3 for log in (*said.logs, *said.top.values()))


@pytest.mark.parametrize(
    "kind", ["drip", "drip-head", "endless", "endless-head", "bomb", "large", "informed"]
)
def test_an_answer_without_end_is_one_failed_request(kind: str) -> None:
    """Byte by byte for ever, in the body or before it; 2 GB as fast as it goes; a packed one; a head without
    end."""
    with serving(lambda number, body: kind if "Question 3?" in str(body["messages"]) else "") as seen:
        found = answer_all(engine(seen, retries=0, timeout=3.0), asked(6))
        assert [k for k, a in found.items() if isinstance(a, Failure)] == ["3"]
        assert seen.sent < 64 << 20, "it was not read to its end"


@pytest.mark.parametrize("kind", ["302", "307"])
def test_no_redirect_is_followed_and_no_cookie_is_kept(kind: str) -> None:
    with serving() as other:
        with serving(
            lambda number, body: kind if number == 0 else "",
            headers={"Set-Cookie": "who=me", "Location": f"{other.base_url}/chat/completions"},
        ) as seen:
            found = answer_all(engine(seen, retries=0, concurrency=1), asked(4))
        assert not other.bodies
    assert len([a for a in found.values() if isinstance(a, Failure)]) == 1
    assert seen.cookies == [None] * 4


def test_no_proxy_of_the_environment_gets_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever HTTP_PROXY says; and one that the workspace names is not asked for an address on this
    machine."""
    with serving() as proxy, serving() as seen:
        for name in (
            "HTTP_PROXY",
            "http_proxy",
            "HTTPS_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
            "CAPSAFE_PROXY",
        ):
            monkeypatch.setenv(name, proxy.base_url.removesuffix("/v1"))
        answer_all(engine(seen), asked(2))
        assert (len(seen.bodies), len(proxy.bodies)) == (2, 0)
        named = {**settings(seen), "base_url": "http://models.example/v1"}
        answer_all(open_engine(named, find_weights(named, "some-model", Path()), Path()), asked(2))
        assert (len(seen.bodies), len(proxy.bodies)) == (2, 2), "another machine is asked through it"


@pytest.mark.parametrize("kind", ["hang", "drip", "429"])
def test_a_stop_ends_the_worker_while_every_request_hangs(kind: str, tmp_path: Path) -> None:
    """The server would be silent for longer than the test may run, and nothing counts as failed."""
    with serving(lambda number, body: kind, headers={"Retry-After": "900"}) as seen:
        job = generating(tmp_path, seen, timeout=900.0, retries=8)
        process = start_worker(job, settings=Settings(engine_python=Path(sys.executable)))
        while not seen.bodies:  # the first that is told to wait may hold back the others
            time.sleep(0.05)
        job.ask_to_stop()
        assert process.wait(timeout=30) == 0
    assert job.state == "stopped"
    assert not job.failures(0)


def test_a_stop_ends_a_judge_whose_requests_hang(tmp_path: Path) -> None:
    with serving() as calm:
        job = generating(tmp_path, calm)
        assert worker.run(job.folder, 0) == 0
    template = {
        "template": "Judge: {response}",
        "parser": "patterns",
        "reads": [{"dimension": "safety", "pattern": "(Said)", "labels": {"said": "safe"}}],
    }
    with serving(lambda number, body: "hang" if number > 4 else "") as seen:
        work = {
            "judge": "mine",
            "entry": template,
            "config": {},
            "model": "judge-model",
            "engine": settings(seen, timeout=900.0),
            "generations": [job.job_id],
        }
        judging = create_job(tmp_path, Manifest("judge", "mine", work))
        process = start_worker(judging, settings=Settings(engine_python=Path(sys.executable)))
        while len(seen.bodies) < 9:
            time.sleep(0.05)
        judging.ask_to_stop()
        assert process.wait(timeout=30) == 0
    assert judging.state == "stopped"
    assert not judging.failures(0)
    assert [r.status for r in judging.records() if isinstance(r, Judgment)] == ["ok"] * 5, (
        "what was answered is kept"
    )
