"""Whatever stands in a record, a manifest, a status file or what a browser sends: a sentence, and the rest
goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capsafe_core.annotation import read_guidelines
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, Manifest, Part, Status, create_job, list_jobs, open_job, read_jobs
from capsafe_core.jobs.own_judges import read_own_judge
from capsafe_core.mapping import parse_mapping
from capsafe_core.people import role_of
from capsafe_core.records import (
    TYPES,
    Attack,
    BenchmarkRecord,
    Checkpoint,
    Condition,
    Generation,
    GuidelinesRecord,
    Judgment,
    LabelEvent,
    Measurement,
    PathPoint,
    Practice,
    Prompt,
    QueueFrame,
    QueueItem,
    QueueRecord,
    Rater,
    Record,
    Remark,
    Rows,
    SavedView,
    StressVerdict,
    StudyRecord,
    check_record,
    from_dict,
    identify,
    to_line,
)
from capsafe_core.settings import ROOT, Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.rollups import check
from capsafe_core.study import parse_study
from capsafe_core.study_text import with_additions
from capsafe_core.ui.login import read_login

A, B, C, D = (identify("a", n) for n in range(4))
STRATUM = {"name": "all", "draw": 0, "size": 4, "drawn": 2, "adaptive": False}
WHOLE: list[Record] = [
    StudyRecord("s", "text", "d", "p", 1.0),
    Checkpoint("origin", "d", ("one",)),
    PathPoint("s", "r", 0, 10, A, "base", "data", 1e-4),
    BenchmarkRecord("b", "1", "safety", "d", 3),
    Prompt(A, "i", 0, ({"role": "user", "content": "Hello?"},)),
    Condition("", "t", 0, 0.0, 1.0, 64, "e", "1", "bf16"),
    Attack("a", {"n": [1, {"x": None}]}),
    Generation(A, B, C, D, 0, 1 << 60, "text", "stop", 3),
    Rater("r", "judge", "f", ("safety",), "1"),
    Judgment(A, B, C, "safety", "ok", "safe", score=0.5, evidence=({"reason": "r", "start": 0, "end": 2},)),
    StressVerdict(A, B, "safety", "repetition", 0.5, "safe", "ok", "unsafe", 1),
    Measurement(A, "b", "m", 0.5, None, None, "s"),
    LabelEvent(A, B, C, D, "safety", "label", "safe", 1.0, 2.0, ("empty",), confidence=1.0),
    QueueRecord("q", "s", "n", "open", 1.0, "Ada", {"size": 3}, {}, (STRATUM,)),
    QueueFrame("q", 0, A, (1, 0)),
    QueueItem("q", A, B, "all", 0, 0.5),
    Practice(A, "g", "q", 1, 2, 3.0),
    GuidelinesRecord("1", "text", "Ada", 1.0),
    Remark(A, B, C, "Ada", "comment", 1.0, "odd"),
    SavedView("s", "mine", {"outcomes": "unsafe"}, "Ada", 1.0),
]
NUMBERS = st.sampled_from(
    [
        1e30,
        -1e30,
        1 << 31,
        1 << 63,
        -(1 << 64),
        10**400,
        -1,
        float("nan"),
        float("inf"),
        float("-inf"),
        1e308,
        True,
    ]
)
TEXTS = st.sampled_from(["\ud83d", "a\u0000b", "\udcff", "", "x" * 5000, "1e30", "\u202e"]) | st.text(
    st.characters(), max_size=8
)
DEEP: Any = 0
for _ in range(200):
    DEEP = [DEEP]
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | NUMBERS | TEXTS | st.just(DEEP),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
FEW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def test_every_type_of_record_is_among_them_and_can_be_used() -> None:
    assert {record.type for record in WHOLE} == set(TYPES)
    for record in WHOLE:
        check_record(record)
        assert from_dict(json.loads(to_line(record))) == record


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(WHOLE), st.data())
def test_any_value_in_any_field_is_a_record_or_a_sentence(record: Record, data: st.DataObject) -> None:
    values = json.loads(to_line(record))
    values[data.draw(st.sampled_from(sorted(values)))] = data.draw(ANY)
    try:
        found = from_dict(values)
    except CapsafeError as error:
        str(error).encode()
    else:
        assert found.id
        to_line(found)


def shard(root: Path, name: str, lines: list[str]) -> Job:
    job = create_job(root, Manifest("import", name, {}))
    with Part(job) as part:
        part.write("first", [WHOLE[0]])
    commit = '{"type": "commit", "unit": "u"}\n'
    with job.path(0, "shard.jsonl").open("a", encoding="utf-8", errors="surrogateescape") as stream:
        stream.writelines(line + "\n" + commit for line in lines)
    return job


def usable(values: dict[str, Any]) -> Record | None:
    """The record that some values are; None where they are none."""
    try:
        return from_dict(values)
    except CapsafeError:
        return None


@FEW
@given(data=st.data())
def test_a_bad_record_keeps_nothing_else_out_of_the_store(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("jobs")
    lines, held = [], set()
    for record in data.draw(st.lists(st.sampled_from(WHOLE), min_size=3, max_size=8)):
        values = json.loads(to_line(record))
        values[data.draw(st.sampled_from(sorted(values)))] = data.draw(ANY)
        lines.append(json.dumps(values))
        found = usable(values)
        held |= set() if found is None else {found.id}
    lines += [
        "[" * 100_000,
        '{"v": 1, "type": "attack", "name": "a", "settings": {"a": 1e400}}',
        "\udcff",
        "9" * 6000,
        "null",
        "",
        '{"columns": 3}',
    ]
    shard(root, "bad", [*lines, to_line(Attack("last", {}))[:-1]])
    shard(root, "good", [to_line(record)[:-1] for record in WHOLE])
    with Store(None) as store:
        taken, problems = ingest_all(store, root)
        assert len(problems) == 1, problems
        assert "set aside" in str(problems[0])
        str(problems[0]).encode()
        assert ("last",) in store.rows("SELECT name FROM attacks")
        assert {t for (t,) in store.rows("SELECT DISTINCT name FROM batches")} == {"bad", "good"}
        practice = next(record for record in WHOLE if record.type == "practice")
        if practice.id not in held:  # one that can be used came first, under the same id
            told = "SELECT right_answers, asked FROM practices WHERE practice_id = ?"
            assert store.rows(told, [practice.id]) == [(1, 2)]
        check(store)
        again, same = ingest_all(store, root)
        assert (again.rows, [str(p) for p in same]) == (0, [str(p) for p in problems])
        assert taken.errors == 0


@FEW
@given(data=st.data())
def test_rows_with_a_bad_value_lose_that_row_alone(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("jobs")
    shared = {"checkpoint_id": A, "benchmark_id": B, "condition_id": C, "attack_id": None}
    outputs = [Generation(A, B, C, identify("p", i), 0, i, f"text {i}", "stop", i) for i in range(4)]
    names = ("prompt_id", "sample", "seed", "text", "finish_reason", "tokens", "asked")
    line = json.loads(
        to_line(
            Rows(
                "generation",
                [g.id for g in outputs],
                shared,
                {n: [getattr(g, n) for g in outputs] for n in names},
            )
        )
    )
    column, place = data.draw(st.sampled_from(names)), data.draw(st.integers(0, 3))
    line["columns"][column][place] = data.draw(ANY)
    broken = json.loads(json.dumps(line))
    broken[data.draw(st.sampled_from(["same", "columns", "ids", "type", "v"]))] = data.draw(ANY)
    shard(root, "rows", [json.dumps(line), json.dumps(broken), to_line(Attack("last", {}))[:-1]])
    with Store(None) as store:
        ingest_all(store, root)
        kept = {text for (text,) in store.rows("SELECT text FROM generations")}
        assert {f"text {i}" for i in range(4) if i != place} <= kept
        assert store.rows("SELECT name FROM attacks") == [("last",)]


@FEW
@given(
    st.sampled_from([f.name for f in dataclasses.fields(Manifest)]),
    ANY,
    st.sampled_from([f.name for f in dataclasses.fields(Status)]),
    ANY,
)
def test_any_manifest_and_any_status_is_a_job_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any, other: str, second: Any
) -> None:
    root = tmp_path_factory.mktemp("jobs")
    job, good = (create_job(root, Manifest("import", name, {})) for name in ("bad", "good"))
    (job.folder / "manifest.json").write_text(json.dumps({**job.manifest.__dict__, key: value}))
    good.path(0, "status.json").write_text(json.dumps({**Status("running").__dict__, other: second}))
    jobs, problems = read_jobs(root)
    assert good.job_id in {j.job_id for j in jobs}
    assert len(jobs) + len(problems) == 2
    for found in jobs:
        assert isinstance(found.state, str)
        assert all(s.seconds_left is None or s.seconds_left >= 0 for s in found.statuses)
    with Store(None) as store:
        assert len(ingest_all(store, root)[1]) == len(problems)


@pytest.mark.parametrize(
    "manifest",
    [
        '{"kind": "x", "name": "y", "work": {}, "created": "x"}',
        '{"kind": "x", "name": "y", "work": {}, "parts": 1000000000}',
        '{"kind": "x", "name": "y", "work": {}, "parts": 1e400}',
        '{"kind": "x", "name": "\\ud83d", "work": {}}',
        '{"kind": "x", "name": "y", "work": ' + '{"a":' * 900 + "1" + "}" * 900 + "}",
        '{"kind": "import", "name": "y", "work": {"sources": [1]}}',
        "[" * 100_000,
        "[]",
        "null",
        "",
    ],
)
def test_a_bad_manifest_is_said_and_the_other_jobs_are_read(tmp_path: Path, manifest: str) -> None:
    create_job(tmp_path, Manifest("import", "good", {}))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "manifest.json").write_text(manifest)
    assert [job.manifest.name for job in list_jobs(tmp_path)] == ["good"]
    (problem,) = read_jobs(tmp_path)[1]
    assert "bad cannot be read" in str(problem)
    with Store(None) as store:
        assert [str(p) for p in ingest_all(store, tmp_path)[1]] == [str(problem)]


def test_a_newer_manifest_and_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    job = create_job(tmp_path, Manifest("import", "good", {}))
    (job.folder / "manifest.json").write_text(json.dumps({**job.manifest.__dict__, "colour": "red"}))
    assert open_job(job.folder).manifest.name == "good"
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff"))
    odd.mkdir()
    (odd / "manifest.json").write_text(json.dumps(job.manifest.__dict__))
    pipe = tmp_path / "pipe"
    pipe.mkdir()
    os.mkfifo(pipe / "manifest.json")
    with Part(job) as part:
        part.error(os.fsdecode(b"log\xff.json"), "not \ud83d read")
        part.write("a", [Attack("a", {})])
    jobs, problems = read_jobs(tmp_path)
    assert len(jobs) == 1
    assert ["not UTF-8" in str(p) or "not a file" in str(p) for p in problems] == [True, True]
    with Store(None) as store:
        assert len(ingest_all(store, tmp_path)[1]) == 2
        assert store.rows("SELECT unit FROM job_errors") == [("log?.json",)]
        assert store.rows("SELECT name FROM attacks") == [("a",)]


LEVELS = st.integers(1, 3000)
TOML = (
    LEVELS.map(lambda n: f"x = {'[' * n}{']' * n}")
    | LEVELS.map(lambda n: f"x = {'{a=' * n}1{'}' * n}")
    | LEVELS.map(lambda n: f"{'a.' * n}b = 1")
    | LEVELS.map(lambda n: f"[{'a.' * n}b]\nx = 1")
    | LEVELS.map(lambda n: f"x = {'1' * (2 * n)}")
    | st.sampled_from(["x = nan", "x = 1e999", "x = 1979-05-27", 'x = "\\ud800"', "x = 0x" + "f" * 9999])
    | st.text(max_size=40)
)
READERS: dict[str, Callable[[Path], object]] = {
    "study": lambda path: parse_study(path.read_text()),
    "mapping": lambda path: parse_mapping(path.read_text()),
    "guidelines": lambda path: read_guidelines(path.read_text()),
    "settings": lambda path: Settings(home=path.parent),
    "judge": read_own_judge,
    "roles": lambda path: role_of("ada@example.org", path),
    "secrets": lambda path: read_login([str(path)]),
    "addition": lambda path: with_additions(path.read_text(), [("judges", {"name": "x"})]),
}


@given(text=TOML)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_toml_text_is_read_or_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(text.encode("utf-8", "replace"))
    for read in READERS.values():
        with contextlib.suppress(CapsafeError):
            read(path)


@pytest.mark.parametrize("deep", [f"x = {'[' * 5000}{']' * 5000}", f"x = {'[' * 90}{']' * 90}"])
def test_toml_that_is_nested_too_deeply_is_a_sentence_everywhere(tmp_path: Path, deep: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(deep)
    for name, read in READERS.items():
        with pytest.raises(CapsafeError) as caught:
            read(path)
        assert "nested" in caught.value.message or name == "addition"


def test_one_place_reads_toml_from_outside() -> None:
    # the others read what ships with the program, and the study of whoever trains in that very process
    own = {"values.py", "loading.py", "__init__.py", "callback.py"}
    for path in (ROOT / "capsafe_core").rglob("*.py"):
        assert "tomllib" not in path.read_text() or path.name in own, path
