"""What files, one file or an earlier import say differently of one output: listed, and what counts."""

from __future__ import annotations

import json
import time
from pathlib import Path

from capsafe_core.jobs.folder import list_jobs
from capsafe_core.jobs.folder.retractions import Retraction, note_retraction
from capsafe_core.jobs.looking import conflict_words
from tests.importing import bring, look

MAPPING = 'name = "x"\n'


def answers(path: Path, *texts: str) -> Path:
    about = {"model": "m", "benchmark": "b"}
    rows = [{**about, "id": i, "prompt": f"p{i}", "response": text} for i, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_what_an_earlier_import_says_is_a_listed_conflict(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    first = bring(jobs, answers(tmp_path / "a.jsonl", "one", "two"), mapping=MAPPING)
    other = answers(tmp_path / "b.jsonl", "one", "another", "three")
    found = bring(jobs, other, mapping=MAPPING, store=first.store)
    assert [c["words"] for c in found.survey.conflicts] == ["'1' of b by m is answered differently"]
    assert "goes on counting" in conflict_words(found.survey, "last")
    assert (found.answers, found.number("SELECT count(*) FROM conflicts")) == (["one", "three", "two"], 0)


def test_an_import_that_was_undone_contradicts_nothing(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    bring(jobs, answers(tmp_path / "a.jsonl", "one"), mapping=MAPPING)
    other = answers(tmp_path / "b.jsonl", "another")
    assert len(look(jobs, other, mapping=MAPPING).conflicts) == 1
    [job] = [job for job in list_jobs(jobs) if job.manifest.imports]
    note_retraction(job, Retraction("retract", time.time()))
    assert look(jobs, other, mapping=MAPPING).conflicts == []


def test_the_same_again_is_no_conflict(tmp_path: Path) -> None:
    file = answers(tmp_path / "a.jsonl", "one", "two")
    first = bring(tmp_path / "jobs", file, mapping=MAPPING)
    again = bring(tmp_path / "jobs", file, mapping=MAPPING, store=first.store)
    assert (again.survey.conflicts, again.answers) == ([], ["one", "two"])


def test_a_file_that_contradicts_itself_is_worded_so(tmp_path: Path) -> None:
    rows = [
        {"model": "m", "benchmark": "b", "id": 0, "sample": 0, "prompt": "p", "response": "r", "unsafe": u}
        for u in (0, 1)
    ]
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    survey = look(tmp_path / "jobs", file, mapping=MAPPING)
    assert "Where one file contradicts itself, neither counts" in conflict_words(survey, "")
    assert "what stands there first counts" in conflict_words(survey, "last")
    assert "read last" not in conflict_words(survey, "last")
