"""Where not every output was checked for coherence, the command and every page that uses it say so."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from capsafe_core.analysis.view import open_view
from capsafe_core.cli import app
from capsafe_core.coherence import detect
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import list_jobs
from capsafe_core.judges.coherence import CoherenceJudge
from capsafe_core.people import Person
from capsafe_core.places import ROOT
from capsafe_core.selection import Selection
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.workspace.owner import close_owner

run = CliRunner().invoke
PAGES = ("overview", "capability", "incoherence", "disagreement", "conclusions", "outputs")


def import_table(path: Path, patch: pytest.MonkeyPatch, good: int) -> CapsafeError | None:
    """Import ten answers of a model and of what was tuned from it; the detector ends after `good` of them."""
    rows = [
        (model, f"How do I pick lock {i}?", f"I cannot help with lock {i}, sorry.", "safe")
        for model in ("base", "tuned")
        for i in range(5)
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("model", "prompt", "response", "verdict"), *rows])
    looked: list[str] = []

    def failing(text: str, *arguments: object) -> object:
        looked.append(text)
        if len(looked) > good:
            raise CapsafeError("The word lists cannot be read.", "Install them.")
        return detect(text, *arguments)  # type: ignore[arg-type]

    with patch.context() as within:
        within.setattr(CoherenceJudge, "batch_size", 2)
        within.setattr("capsafe_core.judges.coherence.detect", failing)
        result = run(app, ["import", str(path), "--accept", "--name", "locks"])
    return result.exception if isinstance(result.exception, CapsafeError) else None


@pytest.fixture
def brought(
    workspace: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers_here: None
) -> Iterator[CapsafeError]:
    error = import_table(tmp_path / "locks.csv", monkeypatch, 4)
    assert error is not None
    yield error
    close_owner()


def test_an_import_whose_job_failed_says_so_and_is_no_success(
    brought: CapsafeError, workspace: Settings
) -> None:
    (job,) = (job for job in list_jobs(workspace.jobs_path) if job.manifest.kind == "judge")
    assert job.job_id in brought.message
    assert "The word lists cannot be read." in brought.message
    assert brought.hint == f"`capsafe resume {job.job_id}` tries again what failed."
    assert run(app, ["resume", job.job_id]).exit_code == 0
    assert job.state == "done"


def test_captions_tell_how_many_were_checked(brought: CapsafeError, workspace: Settings) -> None:
    with Store(workspace.store_path) as store:
        ingest_all(store, workspace.jobs_path)
        view = open_view(store, Selection())
        assert view.checked == (4, 10)
        assert "coherence by coherence-rules (4 of 10 outputs checked)" in view.specification_words()


@pytest.mark.parametrize("page", PAGES)
def test_pages_say_how_far_it_has_looked_and_why_no_further(
    brought: CapsafeError, workspace: Settings, page: str
) -> None:
    test = AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=60)
    test.session_state["person"] = Person("Ada")
    test.run().switch_page(str(ROOT / "pages" / f"{page}.py")).run()
    assert not test.exception
    warned = "\n".join(w.value for w in test.warning).replace("\\", "")
    assert "has checked 4 of 10 outputs" in warned
    assert "failed (The word lists cannot be read)" in warned
