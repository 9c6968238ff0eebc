"""The Data page over a look at logs: what every column became, one button for all readings, conflicts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from capsafe_core.cli import app as commands
from capsafe_core.jobs.folder import Part
from capsafe_core.jobs.importing import survey_job
from capsafe_core.people import Person
from capsafe_core.settings import ROOT, Settings
from capsafe_core.work import survey as survey_work


def write_logs(root: Path) -> Path:
    """Two tables of one model that agree on all but one verdict, and a judge with many words."""
    for name, flipped in (("a", False), ("b", True)):
        rows = [
            {
                "Unnamed: 0": i,
                "model": "m",
                "benchmark": "mine",
                "id": i,
                "sample": 0,
                "prompt": f"p{i}",
                "response": "r",
                "unsafe": (i % 2 == 0) != (flipped and i == 3),
                "says": f"word {i}",
            }
            for i in range(12)
        ]
        root.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return root


@pytest.fixture
def page(workspace: Settings, tmp_path: Path) -> AppTest:
    job = survey_job(workspace.jobs_path, [write_logs(tmp_path / "logs")])
    with Part(job) as part:
        survey_work.work(part)
    test = AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=90)
    test.session_state["person"] = Person("Ada")
    test.query_params["survey"] = job.job_id
    test.run()
    test.switch_page(str(ROOT / "pages" / "data.py"))
    test.query_params["survey"] = job.job_id
    test.run()
    assert not test.exception
    return test


def warned(test: AppTest) -> str:
    return " ".join(str(e.value) for e in test.warning).replace("\\", "")


def test_readings_are_accepted_together_and_what_is_left_out_is_amber(page: AppTest) -> None:
    frames = [e.value for e in page.dataframe]
    columns = next(f for f in frames if "is taken to be" in f)
    uses = dict(zip(columns["column"], columns["is taken to be"], strict=True))
    assert uses["Unnamed: 0"] == "left out: a row's number"
    assert uses["unsafe"] == uses["says"] == "values of a judge"
    assert len(uses) == 9  # every column
    assert "2 of 2 judges' scores will not be imported" in warned(page)
    assert "What mine (it counts as safety" in warned(page)
    assert "1 thing is said differently" in warned(page)
    next(b for b in page.button if b.label == "Accept the reading").click().run()
    assert not page.exception
    assert not any(b.label.startswith("Accept") for b in page.button)
    assert "1 of 2 judges' scores will not be imported" in warned(page)


def test_the_command_shows_as_much(workspace: Settings, tmp_path: Path) -> None:
    result = CliRunner().invoke(commands, ["import", str(write_logs(tmp_path / "logs")), "--dry-run"])
    assert result.exit_code == 0, result.output
    for text in (
        "column Unnamed: 0: left out: a row's number (2 files)",
        "column unsafe: values of a judge",
        "benchmark mine: unknown",
        "guess: unsafe is safety by unsafe: true = unsafe, false = safe, on mine; values: True ×",
        "1 thing is said differently: unsafe says two things of '3' of mine by m",
        *(f"word {i} ×2" for i in range(12)),
    ):
        assert text in result.output.replace("\n", " "), (text, result.output)
