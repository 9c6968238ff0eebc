"""One job over several servers of the same model: shared load, one that is killed, one that asks for rest."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from capsafe_core.addresses import addresses_of
from capsafe_core.engine_settings import OpenaiSettings
from capsafe_core.engines import Completion, answer_all, openai
from capsafe_core.engines.asking import ServerTrouble
from capsafe_core.engines.servers import Servers
from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.jobs.permission import permit, uses_of
from capsafe_core.settings import Settings
from capsafe_core.work import worker
from tests.engines.asking_servers import asked, engine, generating, texts
from tests.server import Seen, serving

ASKED = {"model": "m", "prompt": "p", "max_tokens": 1}
pytestmark = pytest.mark.usefixtures("planted_key")


def test_requests_are_shared_and_texts_are_those_of_one_server() -> None:
    with serving() as alone:
        expected = answer_all(engine(alone), asked(40))
    with serving(seconds=0.02) as one, serving(seconds=0.02) as two:
        found = answer_all(engine(one, replicas=[two.base_url]), asked(40))
    assert found == expected
    assert len(one.bodies) + len(two.bodies) == 40
    assert min(len(one.bodies), len(two.bodies)) >= 10
    assert max(one.most_at_once, two.most_at_once) <= 8


def test_the_slower_one_gets_less() -> None:
    with serving(seconds=0.2) as slow, serving(seconds=0.01) as fast:
        found = answer_all(engine(slow, replicas=[fast.base_url], concurrency=2), asked(40))
    assert all(isinstance(a, Completion) for a in found.values())
    assert len(slow.bodies) < len(fast.bodies)


def test_a_server_that_dies_in_the_middle_costs_nothing(tmp_path: Path) -> None:
    with serving() as calm:
        whole = generating(tmp_path / "calm", calm, size=60)
        assert worker.run(whole.folder, 0) == 0
    with serving(seconds=0.02) as stays, ExitStack() as mortal:
        dies = mortal.enter_context(serving(seconds=0.02))
        job = generating(tmp_path / "two", dies, size=60, replicas=[stays.base_url])

        def kill() -> None:
            while len(dies.bodies) < 8:
                time.sleep(0.005)
            mortal.close()

        killer = threading.Thread(target=kill)
        killer.start()
        assert worker.run(job.folder, 0) == 0
        killer.join()
    assert job.state == "done"
    assert sorted(texts(job).values()) == sorted(texts(whole).values())
    assert len(dies.bodies) < 60 <= len(dies.bodies) + len(stays.bodies)


def test_one_that_asks_for_rest_does_not_hold_the_others() -> None:
    with (
        serving(lambda number, body: "429", headers={"Retry-After": "30"}) as tired,
        serving(seconds=0.01) as fresh,
    ):
        began = time.monotonic()
        found = answer_all(engine(tired, replicas=[fresh.base_url], concurrency=2), asked(20))
    assert all(isinstance(a, Completion) for a in found.values())
    assert len(fresh.bodies) == 20
    assert len(tired.bodies) <= 4
    assert time.monotonic() - began < 25


def test_none_left_is_a_sentence() -> None:
    with serving() as one, serving() as two:
        made = engine(one, replicas=[two.base_url], retries=1)
    with pytest.raises(CapsafeError, match="does not answer") as refusal:
        answer_all(made, asked(2))
    assert "leave it out of base_url and replicas" in refusal.value.hint
    with serving() as one, pytest.raises(CapsafeError, match=f"{two.base_url} does not answer"):
        engine(one, replicas=[two.base_url])


def test_servers_of_different_versions_are_not_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as one, serving() as two:
        told = {one.base_url: "vllm 1", two.base_url: "vllm 2"}
        monkeypatch.setattr(
            openai.OpenaiEngine, "_server_version", lambda self, asker: told[asker.base_url], raising=True
        )
        with pytest.raises(CapsafeError, match="The servers differ") as refusal:
            engine(one, replicas=[two.base_url])
    assert "replicas" in refusal.value.hint


@pytest.mark.parametrize("which", ["base_url", "replicas"])
def test_every_address_needs_the_workspaces_permission(tmp_path: Path, which: str) -> None:
    other = "http://127.0.0.1:9/v1"
    with serving() as seen:
        asks = (
            {"base_url": other, "replicas": [seen.base_url]} if which == "base_url" else {"replicas": [other]}
        )
        job = generating(tmp_path, seen, **asks)
        with pytest.raises(NotAllowedError, match=other):
            permit(job.folder, job.manifest, Settings())
        assert sum(other in server for server in uses_of([job.manifest]).servers) == 1
        assert not seen.bodies


@pytest.mark.parametrize(
    ("written", "listed"),
    [
        ({"base_url": "http://a/v1/"}, ["http://a/v1"]),
        (
            {"base_url": "http://a/v1", "replicas": ["http://b/v1/", "http://a/v1"]},
            ["http://a/v1", "http://b/v1"],
        ),
        ({"base_url": "http://a/v1", "replicas": "http://c/v1"}, ["http://a/v1", "http://c/v1"]),
    ],
)
def test_no_address_escapes_the_list(written: dict[str, Any], listed: list[str]) -> None:
    assert addresses_of(written) == listed


def test_a_study_without_replicas_asks_for_the_same_jobs_as_before() -> None:
    plain = OpenaiSettings(name="openai", base_url="http://a/v1")
    assert "replicas" not in plain.model_dump(mode="json")
    more = OpenaiSettings(name="openai", base_url="http://a/v1", replicas=("http://b/v1",))
    assert more.model_dump(mode="json")["replicas"] == ["http://b/v1"]


def test_a_silent_server_is_asked_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    def asker(seen: Seen) -> Any:
        return engine(seen)._servers.all[0].asker

    with serving() as stays:
        with serving() as gone:
            servers = Servers([asker(gone), asker(stays)])
        with suppress(ServerTrouble):  # the connection that was kept open is found to be closed
            servers.ask("POST", "completions", ASKED)
        servers.ask("POST", "completions", ASKED)
        assert servers.all[0].silent_until > time.monotonic()
        assert servers.held() <= 0
        servers.all[0].silent_until = 0.0
        _, server = servers.ask("POST", "completions", ASKED)
        assert server is servers.all[1]
        assert [s.busy for s in servers.all] == [0, 0]
