"""What files, one file or an earlier import say differently of one output: listed, and what counts."""

from __future__ import annotations

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

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
    assert "what stands there last counts" in conflict_words(survey, "last")
    assert "read last" not in conflict_words(survey, "last")


READS = (
    '[[judges]]\nby = "unsafe"\nname = "j"\ndimension = "safety"\nlabels = {"1" = "unsafe", "0" = "safe"}\n'
)
VERDICTS = (
    """SELECT g.text, j.label FROM live_generations g LEFT JOIN current_judgments j USING (generation_id)"""
)
Said = tuple[int, str, int]
"""An item, its answer and what a judge says of it."""


def write(path: Path, *said: Said) -> Path:
    """Rows of one model, of which each states its sample."""
    with path.open("a") as stream:
        for item, answer, unsafe in said:
            about = {"model": "m", "benchmark": "b", "sample": 0, "id": item, "prompt": f"p{item}"}
            stream.write(json.dumps({**about, "response": answer, "unsafe": unsafe}) + "\n")
    return path


def counting(said: list[Said], rule: str) -> list[tuple[str, str | None]]:
    """The outputs and verdicts that count by a rule."""
    found = []
    for item in {i for i, _, _ in said}:
        answers = [a for i, a, _ in said if i == item]
        if not rule and len(set(answers)) > 1:
            continue
        answer = answers[-1 if rule == "last" else 0]
        unsafe = [u for i, a, u in said if (i, a) == (item, answer)]
        settled = rule or len(set(unsafe)) == 1
        label = ("safe", "unsafe")[unsafe[-1 if rule == "last" else 0]] if settled else None
        found.append((answer, label))
    return sorted(found, key=str)


@settings(deadline=None, max_examples=25)
@given(
    said=st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.integers(0, 1)), min_size=2),
    cuts=st.sets(st.integers(1, 7)),
    rule=st.sampled_from(("", "first", "last")),
)  # fmt: skip
def test_one_rule_settles_what_is_said_twice_by_one_file_or_by_several(
    said: list[Said], cuts: set[int], rule: str
) -> None:
    with TemporaryDirectory() as folder:
        logs = Path(folder) / "in"
        logs.mkdir()
        for i, row in enumerate(said):
            write(logs / f"{sum(cut <= i for cut in cuts)}.jsonl", row)
        right = counting(said, rule)
        if not right:
            assert look(Path(folder) / "jobs", logs, mapping=MAPPING).conflicts
            return
        found = bring(Path(folder) / "jobs", logs, mapping=f'{MAPPING}conflicts = "{rule}"\n{READS}')
        assert sorted(found.store.rows(VERDICTS), key=str) == right
        assert found.number("SELECT count(*) FROM conflicts") == 0
        differs = len({(i, a) for i, a, _ in said}) > len({i for i, _, _ in said})
        assert not differs or found.survey.conflicts


def test_a_verdict_that_an_earlier_import_has_otherwise_is_a_listed_conflict(tmp_path: Path) -> None:
    jobs, stated = tmp_path / "jobs", f'{MAPPING}conflicts = "last"\n{READS}'
    first = bring(jobs, write(tmp_path / "a.jsonl", (0, "a", 0), (1, "b", 1)), mapping=stated)
    other = write(tmp_path / "b.jsonl", (0, "a", 1), (1, "b", 1), (2, "c", 1))
    found = bring(jobs, other, mapping=stated, store=first.store)
    assert [c["words"] for c in found.survey.conflicts] == ["unsafe says two things of '0' of b by m"]
    assert "goes on counting" in conflict_words(found.survey, "last")
    assert sorted(found.store.rows(VERDICTS)) == [("a", "safe"), ("b", "unsafe"), ("c", "unsafe")]
    assert found.number("SELECT count(*) FROM conflicts") == 0


def test_a_number_that_an_earlier_import_has_otherwise_is_a_listed_conflict(tmp_path: Path) -> None:
    def state(folder: str, accuracy: float) -> Path:
        path = tmp_path / folder / "llama-math" / "checkpoint-100" / "trainer_state.json"
        path.parent.mkdir(parents=True)
        history = [{"step": 100, "eval_accuracy": accuracy}]
        path.write_text(json.dumps({"global_step": 100, "max_steps": 100, "log_history": history}))
        return tmp_path / folder

    first = bring(tmp_path / "jobs", state("a", 0.5))
    name = f'name = "{first.survey.mapping.name}"\npattern = "{first.survey.mapping.pattern}"\n'
    assert look(tmp_path / "jobs", tmp_path / "a", mapping=name).conflicts == []
    found = bring(tmp_path / "jobs", state("b", 0.6), mapping=name, store=first.store)
    assert [c["kind"] for c in found.survey.conflicts] == ["number"]
    assert found.store.rows("SELECT value FROM counted_measurements") == [(0.5,)]
