"""The engine that asks a server, against one that misbehaves."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from capsafe_core.engines import Completion, Failure, answer_all, find_weights, open_engine
from capsafe_core.errors import CapsafeError
from tests.engines.asking_servers import KEY, asked, engine, settings
from tests.server import serving

pytestmark = pytest.mark.usefixtures("planted_key")


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


@pytest.mark.parametrize("kind", ["301", "302", "303", "307", "308"])
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
