"""What a bundle may hold, and what of it enters."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.jobs import packing
from capsafe_core.jobs.folder import Manifest, create_job, list_jobs
from capsafe_core.jobs.folder.work import StudyWork
from capsafe_core.jobs.foreign import adopt, foreign_studies, is_foreign, mark_foreign
from capsafe_core.jobs.packing import unpack_bundle
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.record_job import record_study, recorded_study
from capsafe_core.jobs.supervisor import QUEUED, run_graph
from capsafe_core.records import digest_text, to_line
from capsafe_core.settings import Settings
from capsafe_core.study import parse_study
from tests.jobs.gifts import bundle_of, study_of
from tests.server import Seen, serving


def test_a_second_bundle_is_foreign_again(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path
) -> None:
    study, text = study_of(attacker, private)
    unpack_bundle(bundle_of(tmp_path / "gift.zip", study, text), workspace.jobs_path)
    adopt(workspace.jobs_path, "gift", "me")
    changed = text.replace("SOMEBODYS_SECRET", "OTHER_SECRET")
    again = unpack_bundle(
        bundle_of(tmp_path / "again.zip", parse_study(changed), changed), workspace.jobs_path
    )
    assert again.differs
    assert "differs" in again.words
    assert foreign_studies(workspace.jobs_path) == ["gift"]
    with pytest.raises(NotAllowedError):
        run_graph(plan_study(study), workspace.jobs_path, lambda _: None, Settings())


def test_a_folder_that_is_here_gets_nothing_from_a_bundle(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path
) -> None:
    study, text = study_of(attacker, private)
    manifest = next(m for m in plan_study(study) if m.kind == "generate")
    own = create_job(workspace.jobs_path, manifest)
    planted = {"part-000.status.json": json.dumps({"state": "done"}), "head.json": "{}", QUEUED: "0"}
    unpacked = unpack_bundle(bundle_of(tmp_path / "gift.zip", study, text, planted), workspace.jobs_path)
    assert unpacked.there == 1
    assert sorted(p.name for p in own.folder.iterdir()) == ["manifest.json"]
    assert not is_foreign(own.folder)


NAMES = st.one_of(
    st.sampled_from(
        [
            "queued",
            "stop",
            "foreign.json",
            "foreign.json.gz",
            "result.json",
            "manifest.json.gz",
            "part-000.lock",
        ]
    ),
    st.sampled_from(
        [
            "part-000.log",
            "part-000.errors.jsonl",
            "part-0.shard.jsonl.gz",
            "part-٠٠٠.status.json",
            "checkpoints",
        ]
    ),
    st.from_regex(r"[\w.+-]{1,40}", fullmatch=True),
)


ENTERS = {
    "manifest.json",
    "head.json",
    "inputs.jsonl",
    "fitted.json",
    "part-000.shard.jsonl",
    "part-000.status.json",
    "foreign.json",
}


@given(names=st.lists(NAMES, max_size=8, unique=True))
def test_only_known_file_names_enter(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    home = tmp_path_factory.mktemp("names")
    with serving() as seen:
        study, text = study_of(seen, home / "private.csv")
    known = ENTERS - {"foreign.json"}
    more = {
        name: "0"
        for name in names
        if name not in known and not name.startswith("part-000.sh") and ".." not in name
    }
    bundle = bundle_of(home / "gift.zip", study, text, more)
    try:
        unpack_bundle(bundle, home / "jobs")
    except CapsafeError:  # a name that no bundle holds: nothing of it is here
        assert not list((home / "jobs").glob("*/manifest.json"))
        return
    for folder in (home / "jobs").iterdir():
        assert {path.name for path in folder.iterdir()} <= ENTERS
        assert is_foreign(folder)


@given(changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=4))
@example(changes=[(6, 1)])
def test_a_damaged_bundle_is_whole_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    """Flags and methods of packing that Python does not know included: the archive's heads are changed most
    often."""
    home = tmp_path_factory.mktemp("damaged")
    study, text = study_of(Seen("http://127.0.0.1:9/v1"), home / "private.csv")
    bundle = bundle_of(home / "gift.zip", study, text)
    raw = bytearray(bundle.read_bytes())
    heads = [m.start() for m in re.finditer(rb"PK\x01\x02|PK\x03\x04", raw)]
    for place, value in changes:
        raw[heads[place % len(heads)] + place // len(heads) % 40 if place % 3 else place % len(raw)] = value
    bundle.write_bytes(raw)
    with contextlib.suppress(CapsafeError):
        unpack_bundle(bundle, home / "jobs")
    assert all(is_foreign(path) for path in (home / "jobs").glob("*"))


@pytest.mark.parametrize("flag", [1, 0x20, 0x41])
@pytest.mark.parametrize("method", [0, 1, 9, 12, 14, 93, 99])
def test_a_locked_or_strangely_packed_bundle_is_a_sentence(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path, flag: int, method: int
) -> None:
    bundle = bundle_of(tmp_path / "gift.zip", *study_of(attacker, private))
    raw = bytearray(bundle.read_bytes())
    for head in re.finditer(rb"PK\x01\x02|PK\x03\x04", bytes(raw)):
        place = head.start() + (8 if head.group() == b"PK\x01\x02" else 6)
        raw[place : place + 4] = flag.to_bytes(2, "little") + method.to_bytes(2, "little")
    bundle.write_bytes(raw)
    with pytest.raises(CapsafeError, match="cannot be read as a bundle"):
        unpack_bundle(bundle, workspace.jobs_path)
    assert not list(workspace.jobs_path.glob("*"))


@pytest.mark.parametrize("state", ["done", "stopped"])
@pytest.mark.parametrize("taken", [1, 3])
def test_a_folder_that_a_bundle_took_keeps_no_own_text_out(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path, taken: int, state: str
) -> None:
    """The folder of a text is known before the text is declared: one that came along, with another text in
    it, was taken for the declaration."""
    study, text = study_of(attacker, private)
    jobs = workspace.jobs_path
    other = text.replace("somebody else", "nobody")
    line = to_line(study.record(other, time.time() + 1e4)) + '{"type": "commit", "unit": "study"}\n'
    for again in range(taken):
        job = create_job(jobs, Manifest.of("gift", "gift-study", StudyWork(digest_text(text), again)))
        job.path(0, "shard.jsonl").write_text(line if state == "done" else "")
        job.path(0, "status.json").write_text(json.dumps({"state": state}))
        mark_foreign(job.folder, "gift.zip", ["gift"])
    before = {path: path.read_bytes() for path in jobs.rglob("*") if path.is_file()}
    for _ in range(2):
        own = record_study(jobs, study, text)
        assert not is_foreign(own.folder)
        assert recorded_study(jobs, "gift")[1] == text
    assert len([job for job in list_jobs(jobs) if not is_foreign(job.folder)]) == 1
    assert before == {path: path.read_bytes() for path in before}


def test_what_all_jobs_unpack_to_is_bounded_together(
    workspace: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each was bounded alone: a small file could fill any disk."""
    study, text = study_of(Seen("http://127.0.0.1:9/v1"), tmp_path / "private.csv")
    zeros = {"part-000.shard.jsonl.gz": gzip.compress(b"\n" * 600_000)}
    bundle = bundle_of(tmp_path / "gift.zip", study, text, zeros)
    monkeypatch.setattr(packing, "LARGEST", 1 << 20)
    with pytest.raises(CapsafeError, match="together"):
        unpack_bundle(bundle, workspace.jobs_path)
    assert not list(workspace.jobs_path.glob("*"))
    monkeypatch.setattr(packing, "LARGEST", 1 << 21)
    assert unpack_bundle(bundle, workspace.jobs_path).jobs == 1 + len(plan_study(study))


@pytest.mark.parametrize("about", ["[]", "3", '"x"', "null", "{}", '{"study": 3}', "[" * 9999])
def test_a_bundle_that_does_not_say_what_it_is_is_a_sentence(
    workspace: Settings, tmp_path: Path, about: str
) -> None:
    with zipfile.ZipFile(tmp_path / "gift.zip", "w") as archive:
        archive.writestr("versions.json", about)
    with pytest.raises(CapsafeError, match="cannot be read as a bundle"):
        unpack_bundle(tmp_path / "gift.zip", workspace.jobs_path)


def test_a_bundle_names_one_study(workspace: Settings, attacker: Seen, private: Path, tmp_path: Path) -> None:
    """Else a text of another study would come in beside the one that the bundle is said to be about."""
    _study, text = study_of(attacker, private)
    other = text.replace('name = "gift"', 'name = "other"')
    path = bundle_of(tmp_path / "gift.zip", parse_study(other), other)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "forged.zip", "w") as forged:
        for name in archive.namelist():
            data = archive.read(name)
            forged.writestr(name, data.replace(b'"other"', b'"gift"') if name == "versions.json" else data)
    with pytest.raises(CapsafeError, match="a text of another study"):
        unpack_bundle(tmp_path / "forged.zip", workspace.jobs_path)
    assert list_jobs(workspace.jobs_path) == []


@pytest.mark.parametrize("broken", ["left out", "another name", "no study"])
def test_a_bundle_without_the_text_of_its_study_leaves_nothing(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path, broken: str
) -> None:
    study, text = study_of(attacker, private)
    if broken == "no study":
        text = "name = 1"
    path = bundle_of(tmp_path / "gift.zip", study, text)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "forged.zip", "w") as forged:
        for name in archive.namelist():
            data = archive.read(name)
            if broken == "another name" and name == "versions.json":
                data = data.replace(b'"gift"', b'"elsewhere"')
            if not (broken == "left out" and "gift-study" in name):
                forged.writestr(name, data)
    said = {
        "left out": "holds no text of the study",
        "another name": "a text of another study",
        "no study": "name",
    }[broken]
    with pytest.raises(CapsafeError, match=said):
        unpack_bundle(tmp_path / "forged.zip", workspace.jobs_path)
    assert list(workspace.jobs_path.iterdir()) == []
