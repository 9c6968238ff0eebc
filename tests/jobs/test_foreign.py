"""What came from elsewhere runs only after a person has seen what it would use, and only with what the
workspace allows."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from capsafe_core import __version__, catalogue
from capsafe_core.benchmarks import load_training_pairs
from capsafe_core.cli import app
from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.jobs import packing
from capsafe_core.jobs.folder import Job, Manifest, Part, create_job, folder_beside, list_jobs, open_job
from capsafe_core.jobs.folder.work import StudyWork
from capsafe_core.jobs.foreign import adopt, foreign_studies, is_foreign, mark_foreign
from capsafe_core.jobs.new_run import add_judge, missing_jobs, probe_job, queue_jobs
from capsafe_core.jobs.packing import unpack_bundle
from capsafe_core.jobs.permission import foreign_uses, permit
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.record_job import record_study, recorded_study
from capsafe_core.jobs.supervisor import QUEUED, Queue, is_queued, run_graph, start_worker
from capsafe_core.records import FORMAT, digest_text, to_line
from capsafe_core.settings import ENGINES, ROOT, Server, Settings
from capsafe_core.study import JudgeSettings, Study, parse_study
from capsafe_core.workspace.owner import Owner, close_owner
from tests.server import Seen, allowed, serving

command = CliRunner()
STUDY = """
name = "gift"
title = "A study of somebody else"
[engine]
name = "openai"
base_url = "{url}"
api_key_env = "SOMEBODYS_SECRET"
retries = 0
timeout = 5
{python}
[[starts]]
name = "one"
model = "model-one"
[[benchmarks]]
name = "private"
source = "file:{prompts}"
config = {{ kind = "safety" }}
[[judges]]
name = "prefix-zou"
[primary]
benchmark = "private"
judge = "prefix-zou"
refusal_judge = "prefix-zou"
coherence = "prefix-zou"
"""


@pytest.fixture
def attacker() -> Iterator[Seen]:
    """A server that the workspace does not allow."""
    with serving() as seen, pytest.MonkeyPatch.context() as patch:
        patch.delenv("CAPSAFE_SERVERS")
        yield seen


@pytest.fixture
def private(workspace: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local file, a key in the environment, and workers that run in this Python."""
    monkeypatch.setenv("SOMEBODYS_SECRET", "hunter2")
    monkeypatch.setenv("CAPSAFE_ENGINE_PYTHON", sys.executable)
    path = workspace.home / "private.csv"
    path.write_text("prompt\nmy private notes\n")
    return path


def study_of(attacker: Seen, private: Path, python: Path | None = None) -> tuple[Study, str]:
    line = f'python = "{python}"' if python else ""
    text = STUDY.format(url=attacker.base_url, prompts=private, python=line)
    return parse_study(text), text


def bundle_of(
    target: Path, study: Study, text: str, more: dict[str, Any] | None = None, **changes: Any
) -> Path:
    """A bundle as somebody hostile writes it: every job of the study, each asking to be started."""
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("study.toml", text)
        about = {
            "capsafe": __version__,
            "format": FORMAT,
            "study": study.name,
            "study_digest": digest_text(text),
        }
        archive.writestr("versions.json", json.dumps(about))
        record = to_line(study.record(text, time.time() + 1e4)) + '{"type": "commit", "unit": "study"}\n'
        declared = Manifest("import", f"{study.name}-study", {"digest": digest_text(text)}, study=study.name)
        for manifest in (declared, *plan_study(study)):
            folder = f"jobs/{manifest.job_id}"
            archive.writestr(f"{folder}/manifest.json", json.dumps({**manifest.__dict__, **changes}))
            if manifest is declared:
                archive.writestr(f"{folder}/part-000.shard.jsonl.gz", gzip.compress(record.encode()))
                archive.writestr(
                    f"{folder}/part-000.status.json", json.dumps({"state": "done", "done": 1, "total": 1})
                )
            for name, content in (more or {QUEUED: "0"}).items():
                if f"{folder}/{name}" not in archive.namelist():
                    archive.writestr(f"{folder}/{name}", content)
    return target


def app_runs(settings: Settings, until: Callable[[Owner], bool] = lambda _: True) -> Owner:
    """The app's owner of a workspace for several looks, started and looked after as the app does.

    Args:
        until: whether the owner has looked long enough.
    """
    owner = Owner(settings).start()
    try:
        for _ in range(5):
            owner.look()
        end = time.monotonic() + 60
        while not until(owner) and time.monotonic() < end:
            time.sleep(0.02)
            owner.look()
    finally:
        owner.close()
    return owner


@pytest.mark.usefixtures("workers_here")
def test_a_bundle_does_not_run_by_itself(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path
) -> None:
    """A worker that is started has done its work when the look at the folders is over."""
    study, text = study_of(attacker, private)
    forged = json.dumps({"source": "me", "studies": [], "brought": 0, "adopted_by": "you", "adopted": 1})
    asking = {
        QUEUED: "0",
        "stop": "",
        "foreign.json": forged,
        "part-000.lock": "",
        "part-000.log": "",
        "result.json": "{}",
    }
    unpacked = unpack_bundle(bundle_of(tmp_path / "gift.zip", study, text, asking), workspace.jobs_path)
    assert "Nothing of it runs until you adopt it" in unpacked.words
    jobs = list_jobs(workspace.jobs_path)
    assert len(jobs) == unpacked.jobs == 3
    assert all(is_foreign(job.folder) and not is_queued(job) and not job.stop_asked for job in jobs)
    app_runs(workspace)
    for job in jobs:  # somebody who asks without having been shown anything
        (job.folder / QUEUED).write_text("0")
    owner = app_runs(workspace)
    assert any("came from elsewhere" in str(problem) for problem in owner.problems)
    assert attacker.bodies == []
    assert all(job.status().state in ("waiting", "done") for job in jobs)


def ways_to_run(jobs_path: Path, study: Study, text: str) -> dict[str, Any]:
    """Every way in which a person or a page starts work on a study, without adopting it."""
    settings = Settings()
    jobs = list_jobs(jobs_path)
    generate = next(job for job in jobs if job.manifest.kind == "generate")
    return {
        "worker": lambda: start_worker(generate),
        "queue": lambda: Queue(settings).add(generate),
        "again": lambda: Queue(settings).restart(generate),
        "missing": lambda: queue_jobs(settings, plan_study(study)),
        "graph": lambda: run_graph(plan_study(study), jobs_path, lambda _: None, settings),
        "renamed plan": lambda: queue_jobs(
            settings, [Manifest("generate", f"{study.name}-other", generate.manifest.work)]
        ),
        "judge": lambda: add_judge(jobs_path, study, text, JudgeSettings(name="prefix-autodan")),
        "cost": lambda: probe_job(jobs_path, study),
    }


@pytest.mark.parametrize(
    "way", ["worker", "queue", "again", "missing", "graph", "renamed plan", "judge", "cost"]
)
def test_nothing_of_a_foreign_study_runs(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path, way: str
) -> None:
    study, text = study_of(attacker, private)
    unpack_bundle(bundle_of(tmp_path / "gift.zip", study, text), workspace.jobs_path)
    with (
        allowed(attacker.base_url, key="SOMEBODYS_SECRET"),
        pytest.raises(NotAllowedError, match="came from elsewhere"),
    ):
        ways_to_run(workspace.jobs_path, study, text)[way]()
    assert attacker.bodies == []
    assert not any(is_queued(job) for job in list_jobs(workspace.jobs_path))


@pytest.mark.parametrize(
    "arguments", [["cost", "gift"], ["judge", "gift", "prefix-autodan"], ["resume", "GENERATE"]]
)
def test_no_command_starts_a_program_that_a_foreign_study_names(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path, arguments: list[str]
) -> None:
    program, trace = tmp_path / "python", tmp_path / "it-ran"
    program.write_text(f"#!/bin/sh\ntouch {trace}\n")
    program.chmod(0o755)
    study, text = study_of(attacker, private, program)
    assert (
        command.invoke(app, ["unbundle", str(bundle_of(tmp_path / "gift.zip", study, text))]).exit_code == 0
    )
    generate = next(job for job in list_jobs(workspace.jobs_path) if job.manifest.kind == "generate")
    result = command.invoke(app, [generate.job_id if a == "GENERATE" else a for a in arguments])
    assert isinstance(result.exception, NotAllowedError)
    assert "capsafe adopt" in result.exception.hint
    assert not trace.exists()
    adopted = command.invoke(app, ["adopt", "gift"], input="y\n")
    assert adopted.exit_code == 0
    assert str(program) in adopted.output
    result = command.invoke(app, [generate.job_id if a == "GENERATE" else a for a in arguments])
    assert result.exit_code == 0 or isinstance(result.exception, CapsafeError)
    assert not trace.exists(), "adoption does not choose an interpreter: the workspace's settings do"
    assert attacker.bodies == [], "nor an address"


def test_an_adopted_study_runs_with_what_the_settings_allow(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path
) -> None:
    study, text = study_of(attacker, private)
    assert (
        command.invoke(app, ["unbundle", str(bundle_of(tmp_path / "gift.zip", study, text))]).exit_code == 0
    )
    refused = command.invoke(app, ["adopt", "gift"], input="n\n")
    assert refused.exit_code
    for said in (attacker.base_url, "SOMEBODYS_SECRET", str(private), "openai", "model-one"):
        assert said in refused.output, "a person sees all of it before saying yes"
    assert foreign_studies(workspace.jobs_path) == ["gift"]
    assert command.invoke(app, ["adopt", "gift", "--yes"]).exit_code == 0
    path = workspace.home / "gift.toml"
    path.write_text(text)
    result = command.invoke(app, ["run", str(path)])
    assert isinstance(result.exception, NotAllowedError)
    assert result.exception.hint.endswith(
        f"`capsafe allow server {attacker.base_url} --key SOMEBODYS_SECRET`."
    )
    wrong_key = ["allow", "server", attacker.base_url, "--key", "OTHER_KEY"]
    assert command.invoke(app, wrong_key).exit_code == 0
    assert isinstance(command.invoke(app, ["run", str(path)]).exception, NotAllowedError)
    assert attacker.bodies == []
    right_key = ["allow", "server", f"{attacker.base_url}/", "--key", "SOMEBODYS_SECRET"]
    assert command.invoke(app, right_key).exit_code == 0
    assert "SOMEBODYS_SECRET" in command.invoke(app, ["allow", "list"]).output
    result = command.invoke(app, ["run", str(path)])
    assert result.exit_code == 0, result.exception
    assert attacker.keys == ["Bearer hunter2"]


def test_nothing_that_a_foreign_study_names_is_opened_and_all_of_it_is_shown(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path
) -> None:
    _, text = study_of(attacker, private)
    pipe = tmp_path / "judge.toml"
    os.mkfifo(pipe)  # to open it is to wait for ever
    text = text.replace('name = "prefix-zou"', f'name = "own"\nfile = "{pipe}"').replace(
        '"prefix-zou"', '"own"'
    )
    study = parse_study(text)
    declared = Manifest("import", "gift-study", {"digest": digest_text(text)}, study="gift")
    engine = {"name": "openai", "base_url": attacker.base_url}
    named = [
        declared,
        Manifest("survey", "gift-look", {"roots": ["/home/somebody/logs"], "mapping": ""}),
        Manifest(
            "judge",
            "gift-spy",
            {"judge": "own", "model": "m", "engine": engine, "generations": ["generate-mine-1"]},
        ),
        Manifest(
            "judge",
            "gift-far",
            {"judge": "llama-guard-3", "model": None, "engine": engine, "generations": ["../elsewhere"]},
        ),
        Manifest(
            "generate",
            "gift-g",
            {
                "checkpoint": {"model": "m", "adapters": [{"job": "../else", "step": 1}]},
                "benchmarks": [],
                "engine": engine,
            },
        ),
    ]
    for manifest in named:
        job = create_job(workspace.jobs_path, manifest)
        mark_foreign(job.folder, "gift.zip", ["gift"])
    with Part(create_job(workspace.jobs_path, declared)) as part:
        part.write("study", [study.record(text, 1.0)])
    shown = "\n".join(foreign_uses(workspace.jobs_path, "gift").sentences)
    weights = catalogue.judges()["llama-guard-3"]["model"]
    for one in (
        str(pipe),
        "/home/somebody/logs",
        "generate-mine-1",
        "../elsewhere",
        "../else",
        weights,
        str(private),
        attacker.base_url,
    ):
        assert one in shown
    assert missing_jobs(workspace.jobs_path, study) == []
    with pytest.raises(CapsafeError, match="not opened"):
        plan_study(study)


def test_a_job_takes_nothing_from_outside_its_workspace(tmp_path: Path) -> None:
    for name in ("../x", "/x", "..", "", "a/b"):
        with pytest.raises(CapsafeError, match="not the name of a job"):
            folder_beside(tmp_path / "job", name)
        with pytest.raises(CapsafeError, match="not the name of one of this project"):
            load_training_pairs({"name": "d", "source": f"project:../../{name}"})
    assert folder_beside(tmp_path / "job", "other") == tmp_path / "other"


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


def test_a_text_made_from_a_foreign_one_stays_foreign(
    workspace: Settings, attacker: Seen, private: Path, tmp_path: Path
) -> None:
    """An import into a study, or one more judge, declares a longer text; neither is made of a foreign
    study."""
    study, text = study_of(attacker, private)
    unpack_bundle(bundle_of(tmp_path / "gift.zip", study, text), workspace.jobs_path)
    logs = tmp_path / "logs.csv"
    logs.write_text("prompt,response,model\nhello,hi,some-model\n")
    before = recorded_study(workspace.jobs_path, "gift")[1]
    result = command.invoke(app, ["import", str(logs), "--name", "gift"])
    assert isinstance(result.exception, NotAllowedError)
    assert recorded_study(workspace.jobs_path, "gift")[1] == before
    record_study(
        workspace.jobs_path, study, text + "\n# mine\n"
    )  # whoever declares it by hand has not been shown it
    with pytest.raises(NotAllowedError):
        queue_jobs(Settings(), plan_study(study))


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


def job_for(root: Path, name: str, **engine: Any) -> Job:
    work = {
        "judge": "prefix-zou",
        "config": {},
        "model": None,
        "engine": {"name": "transformers", **engine},
        "generations": [],
    }
    return create_job(root, Manifest("judge", name, work))


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
    kind=st.sampled_from(["generate", "judge", "probe", "finetune", "fit"]),
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
