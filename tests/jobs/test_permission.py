"""The gate before a job starts: queue files, interpreters, addresses, and settings that allow them."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.jobs.folder import Manifest, create_job, open_job
from capsafe_core.jobs.foreign import foreign_studies, is_foreign, mark_foreign
from capsafe_core.jobs.packing import unpack_bundle
from capsafe_core.jobs.permission import foreign_uses, permit
from capsafe_core.jobs.supervisor import QUEUED, Queue, is_queued
from capsafe_core.settings import ENGINES, ROOT, Server, Settings
from capsafe_core.workspace.owner import close_owner
from tests.jobs.gifts import app_runs, bundle_of, job_for, study_of
from tests.server import Seen


@pytest.mark.usefixtures("workers_here")
@pytest.mark.parametrize("content", ["x", "-1", "7", "0 0 x", "9" * 5000, "\udcff", "1e3", None])
def test_a_bad_queue_file_keeps_only_its_own_job_waiting(
    workspace: Settings, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.setenv("CAPSAFE_ENGINE_PYTHON", sys.executable)
    bad, good = job_for(workspace.jobs_path, "a-bad"), job_for(workspace.jobs_path, "b-good")
    if content is None:
        (bad.folder / QUEUED).mkdir()
    else:
        (bad.folder / QUEUED).write_bytes(content.encode("utf-8", "surrogateescape"))
    Queue(Settings()).add(good)
    owner = app_runs(Settings(), lambda owner: good.ended and bool(owner.problems))
    assert good.status().state == "done"
    assert bad.status().state == "waiting"
    assert any(bad.job_id in str(problem) and "cannot be read" in str(problem) for problem in owner.problems)


def test_a_job_whose_interpreter_is_gone_keeps_its_place_and_others_run(
    workspace: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSAFE_ENGINE_PYTHON", sys.executable)
    monkeypatch.setenv("CAPSAFE_PYTHONS", json.dumps({"vllm": "/gone/python"}))
    work = {
        "judge": "coherence-rating",
        "config": {},
        "model": "x",
        "engine": {"name": "vllm"},
        "generations": [],
    }
    gone = create_job(workspace.jobs_path, Manifest("judge", "a-gone", work))
    good = job_for(workspace.jobs_path, "b-good")
    Queue(Settings()).add(gone)
    Queue(Settings()).add(good)
    owner = app_runs(Settings(), lambda owner: good.ended and bool(owner.problems))
    assert good.status().state == "done"
    assert is_queued(gone)
    assert any(
        "/gone/python" in str(problem) and "cannot be started" in str(problem) for problem in owner.problems
    )


WORK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["engine", "jobs", "entry", "judge", "source", "path", "name", "type"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    kind=st.sampled_from(["generate", "judge", "stress", "probe", "finetune", "fit"]),
    work=st.dictionaries(st.sampled_from(["engine", "jobs", "entry", "judge"]), WORK),
)
def test_the_gate_answers_whatever_a_manifest_says(
    tmp_path_factory: pytest.TempPathFactory, kind: str, work: dict[str, Any]
) -> None:
    """It names an interpreter of the settings, or refuses; it never fails and never takes the manifest's
    word."""
    folder = tmp_path_factory.getbasetemp() / "no-such-job"
    settings = Settings(home=folder, engine_python=Path("/mine/python"))
    with contextlib.suppress(NotAllowedError):
        assert permit(folder, Manifest(kind, "x", work), settings) == Path("/mine/python")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("servers = 3", "servers"),
        ('servers = [{ base_url = "file:///etc/passwd" }]', "servers"),
        ('servers = [{ base_url = "http://user:secret@h/v1" }]', "servers"),
        ('servers = [{ base_url = "http://h/v1", key = "X" }]', "servers"),
        ('pythons = { telepathy = "/x" }', "pythons"),
        ("nonsense = 1", "nonsense"),
        ('home = "/elsewhere"', "names a home"),
        ("= 3", "not valid TOML"),
        ("\udcff", "cannot be read"),
    ],
)
def test_settings_that_cannot_be_used_are_a_sentence(workspace: Settings, text: str, match: str) -> None:
    (workspace.home / "settings.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CapsafeError, match=match) as refused:
        Settings()
    assert refused.value.hint


def test_settings_are_written_beside_what_stands_there(workspace: Settings) -> None:
    path = workspace.home / "settings.toml"
    path.write_text('# ours\nmemory_limit = "2GB"\n')
    Settings().allow_server(Server(base_url="http://127.0.0.1:8000/v1/"))
    Settings().allow_python("vllm", Path(sys.executable))
    Settings().allow_server(Server(base_url="http://127.0.0.1:8000/v1"))
    assert path.read_text().startswith('# ours\nmemory_limit = "2GB"\n')
    read = Settings()
    assert [str(s) for s in read.servers] == ["http://127.0.0.1:8000/v1 with the key in OPENAI_API_KEY"]
    assert (read.python_of("vllm"), read.memory_limit) == (Path(sys.executable), "2GB")
    for engine, python in (
        ("telepathy", Path(sys.executable)),
        ("vllm", Path("/no/such/python")),
        ("vllm", Path("python3")),
    ):
        with pytest.raises(CapsafeError):
            Settings().allow_python(engine, python)
    assert set(read.pythons) <= set(ENGINES)


def test_a_variable_that_hides_the_file_is_said(workspace: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSAFE_SERVERS", "[]")
    with pytest.raises(CapsafeError, match="CAPSAFE_SERVERS is set"):
        Settings().allow_server(Server(base_url="http://h/v1"))


@pytest.fixture
def runs_page(workspace: Settings) -> Iterator[AppTest]:
    try:
        page = AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=60)
        page.run()
        yield page.switch_page(str(ROOT / "pages" / "runs.py"))
    finally:
        close_owner()


def button(page: AppTest, label: str) -> Any:
    return next(b for b in page.button if b.label.startswith(label))


def test_a_study_is_adopted_on_the_runs_page(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path, runs_page: AppTest
) -> None:
    study, text = study_of(attacker, private)
    unpack_bundle(bundle_of(tmp_path / "gift.zip", study, text), workspace.jobs_path)
    page = runs_page.run()
    shown = " ".join(c.value for c in page.code)
    assert all(part in shown for part in (attacker.base_url, "SOMEBODYS_SECRET", str(private)))
    assert button(page, "Adopt").disabled
    next(c for c in page.checkbox if "trust it" in c.label).check().run()
    button(page, "Adopt").click().run()
    assert not page.exception
    assert foreign_studies(workspace.jobs_path) == []
    assert attacker.bodies == []


def test_an_address_is_allowed_where_a_run_is_started(
    workspace: Settings, runs_page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAPSAFE_SERVERS", raising=False)
    page = runs_page.run()
    next(w for w in page.selectbox if w.label.startswith("Engine")).select("openai").run()
    assert button(page, "Start").disabled
    next(w for w in page.text_input if w.label.startswith("Address")).set_value("http://127.0.0.1:9/v1").run()
    assert button(page, "Start").disabled
    assert Settings().servers == ()
    button(page, "Allow it").click().run()
    assert not page.exception
    assert Settings().servers == (Server(base_url="http://127.0.0.1:9/v1"),)
    assert not button(page, "Start").disabled


def test_a_mark_that_cannot_be_read_is_a_mark(tmp_path: Path) -> None:
    job = job_for(tmp_path, "marked")
    for content in (b"", b"{", b"[]", b"\xff", b"{}", b"[" * 100_000, b'{"source": 1, "studies": 3}'):
        (job.folder / "foreign.json").write_bytes(content)
        assert is_foreign(job.folder), content[:20]
        with pytest.raises(NotAllowedError):
            permit(job.folder, open_job(job.folder).manifest, Settings())
    mark_foreign(job.folder, "a bundle", ["x"])
    assert foreign_studies(tmp_path) == ["x"]
    assert foreign_uses(tmp_path, "x").engines == ()
