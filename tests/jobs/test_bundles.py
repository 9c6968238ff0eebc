"""What a bundle may hold: no folder that own facts are going to need, no broken text, nothing of tomorrow."""

from __future__ import annotations

import ast
import gzip
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.jobs import new_run
from capsafe_core.jobs.folder import Job, Manifest, Part, create_job, files, list_jobs
from capsafe_core.jobs.foreign import is_foreign, mark_foreign
from capsafe_core.jobs.importing import plan_import
from capsafe_core.jobs.packing import unpack_bundle
from capsafe_core.jobs.permission import permit
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.record_job import recorded_study
from capsafe_core.labelling.desk import Desk
from capsafe_core.people import Person
from capsafe_core.records import GuidelinesRecord, LabelEvent, Record, digest_text, times_of, to_line
from capsafe_core.settings import ROOT, Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.values import LATEST
from tests.importing import look
from tests.jobs.gifts import bundle_of, study_of
from tests.server import Seen
from tests.synthetic import STUDY, made_up_study, write_study

ADA = Person("Ada")


def bring_labels(jobs: Path, store: Store) -> None:
    [(generation,)] = store.rows("SELECT CAST(generation_id AS VARCHAR) FROM generations ORDER BY 1 LIMIT 1")
    row = {"generation_id": generation, "annotator": "Ada", "dimension": "safety", "label": "safe"}
    desk = Desk(store, jobs)
    assert desk.bring_in(ADA, json.dumps(row), "labels").labels == 1
    desk.close()


def save_guidelines(jobs: Path, store: Store) -> None:
    desk = Desk(store, jobs)
    desk.books.save_guidelines(ADA, desk.books.guidelines().text.replace("1", "7", 1))
    desk.close()


def import_logs(jobs: Path, store: Store) -> None:
    logs = jobs.parent / "logs.csv"
    logs.write_text("model,prompt,answer\nm,one,two\n")
    survey = look(jobs, logs)
    plan_import(jobs, survey, survey.accepted(True))


def train(jobs: Path, store: Store) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(new_run, "run_graph", lambda *_: False)
        with pytest.raises(CapsafeError, match="ended early"):
            new_run.train_detector(jobs, made_up_study(), STUDY, [{"a": 1}], Settings())


@pytest.mark.parametrize("make", [bring_labels, save_guidelines, import_logs, train])
def test_own_facts_go_beside_a_folder_that_a_bundle_took(
    tmp_path: Path, make: Callable[[Path, Store], None]
) -> None:
    """The folder of a file of labels, of logs, of guidelines is known before: one that came along with its
    name was written into, and what people here said counted as foreign."""

    def made(times: int) -> tuple[Path, list[Job]]:
        """The folders of a workspace where bundles took those that were made there so many times before."""
        home = tmp_path / f"after-{times}"
        write_study(home / "jobs", safety_size=2, capability_size=2)
        before = {job.job_id for job in list_jobs(home / "jobs")}
        for job in taken:
            mark_foreign(create_job(home / "jobs", job.manifest).folder, "gift.zip", ["gift"])
        files = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
        with Store(None) as store:
            ingest_all(store, home / "jobs")
            make(home / "jobs", store)
        assert files == {path: path.read_bytes() for path in files}
        new = [job for job in list_jobs(home / "jobs") if job.job_id not in before]
        return home, [job for job in new if not is_foreign(job.folder) and job.manifest.kind != "survey"]

    taken: list[Job] = []
    for times in range(3):
        home, own = made(times)
        assert own
        assert not {job.job_id for job in own} & {job.job_id for job in taken}
        # a declaration is the same for each
        taken += own
        shutil.rmtree(home)


def test_a_folder_for_own_facts_is_made_at_one_place() -> None:
    """Those that make others only open what is there, and the gate asks before anything is written."""
    makers = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "capsafe_core").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "create_job"
    }
    jobs = "capsafe_core/jobs"
    assert makers == {f"{jobs}/foreign.py", f"{jobs}/new_run.py", f"{jobs}/supervisor.py"}


@pytest.mark.parametrize(
    ("judge", "entry"),
    [
        ("mine", {"type": "oracle"}),
        ("mine", {"type": "prefixes"}),
        ("mine", {"type": ["language_model"]}),
        ("prefix-zou", {"type": "learnt"}),
        ("prefix-zou", {}),
        ("prefix-zou", "prefixes"),
    ],
)
def test_the_gate_closes_where_it_cannot_tell_what_a_judge_uses(
    tmp_path: Path, judge: str, entry: Any
) -> None:
    """An entry that said `prefixes` of itself had no engine, and so no address to ask for."""
    engine = {"name": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key_env": "HOME"}
    manifest = Manifest("judge", "x", {"judge": judge, "entry": entry, "engine": engine, "config": {}})
    with pytest.raises(NotAllowedError):
        permit(tmp_path / "x", manifest, Settings())
    permit(tmp_path / "x", Manifest("judge", "x", {"judge": "prefix-zou", "engine": engine}), Settings())


def gift(target: Path, record: Record, tmp_path: Path) -> Path:
    """A bundle whose first other job also holds a record."""
    study, text = study_of(Seen("http://127.0.0.1:9/v1"), tmp_path / "private.csv")
    line = to_line(record) + '{"type": "commit", "unit": "more"}\n'
    bundle_of(target, study, text)
    with zipfile.ZipFile(target, "a") as archive:
        folder = f"jobs/{plan_study(study)[0].job_id}"
        archive.writestr(f"{folder}/part-000.shard.jsonl.gz", gzip.compress(line.encode()))
    return target


def test_every_text_that_a_bundle_brings_can_be_read(workspace: Settings, tmp_path: Path) -> None:
    """The newest was read; a broken one of before raised wherever the texts of a study are listed."""
    study, text = study_of(Seen("http://127.0.0.1:9/v1"), tmp_path / "private.csv")
    # the third has another name, and was run without being adopted: its name was not foreign
    for i, broken in enumerate(("name = ", text.replace("[primary]", "[first]"), text.replace("gift", "x"))):
        record = replace_text(study.record(text, 1.6e9), broken)
        with pytest.raises(CapsafeError):
            unpack_bundle(gift(tmp_path / f"{i}.zip", record, tmp_path), workspace.jobs_path)
        assert not list(workspace.jobs_path.glob("*"))
    # one of before this was refused: what is decided about a study goes by its name
    renamed = replace_text(study.record(text, 1.7e9), text.replace('"gift"', '"x"'))
    with Part(create_job(workspace.jobs_path, Manifest("import", "gift-study", {}, study="gift"))) as part:
        part.write("study", [renamed])
    mark_foreign(part.job.folder, "gift.zip", ["gift"])
    with pytest.raises(CapsafeError, match="says that it is of 'x'"):
        recorded_study(workspace.jobs_path, "gift")
    shutil.rmtree(workspace.jobs_path)
    good = replace_text(study.record(text, 1.6e9), text + "\n# older\n")
    assert unpack_bundle(gift(tmp_path / "good.zip", good, tmp_path), workspace.jobs_path).jobs > 1


def replace_text(record: Any, text: str) -> Any:
    import msgspec

    return msgspec.structs.replace(record, text=text, digest=digest_text(text))


@pytest.mark.parametrize("when", [LATEST, 4e9])
def test_nothing_in_a_bundle_is_of_tomorrow(workspace: Settings, tmp_path: Path, when: float) -> None:
    """Adopted, a label of the year 9999 would be the newest for ever."""
    ids = [f"00000000-0000-0000-0000-{i:012d}" for i in range(4)]
    label = LabelEvent(ids[0], ids[1], ids[2], ids[3], "safety", "label", "safe", 1.6e9, when)
    assert times_of(label) == [1.6e9, when]
    for i, record in enumerate((label, GuidelinesRecord("9", "theirs", "Eve", when))):
        with pytest.raises(CapsafeError, match="not happened yet"):
            unpack_bundle(gift(tmp_path / f"{i}.zip", record, tmp_path), workspace.jobs_path)
    study, text = study_of(Seen("http://127.0.0.1:9/v1"), tmp_path / "private.csv")
    with pytest.raises(CapsafeError, match="not happened yet"):
        unpack_bundle(bundle_of(tmp_path / "m.zip", study, text, created=when), workspace.jobs_path)
    assert not list(workspace.jobs_path.glob("*"))


@pytest.mark.parametrize("when", [LATEST, 4e9, 1.0, -1, "9e999", float("nan"), 1.6e12])
@pytest.mark.parametrize("key", ["created", "shown"])
def test_no_label_of_a_file_is_of_tomorrow_or_of_before_2000(
    made_up_store: Store, when: Any, key: str
) -> None:
    from capsafe_core.labelling.brought import match_labels

    [(generation,)] = made_up_store.rows("SELECT CAST(generation_id AS VARCHAR) FROM generations LIMIT 1")
    row = {"generation_id": generation, "annotator": "Ada", "dimension": "safety", "label": "safe"}
    found = match_labels(made_up_store, [row, {**row, key: when, "annotator": "Ben"}], "q")
    assert (found.labels, len(found.problems)) == (1, 1)
    assert "not a time between 2000 and now" in found.problems[0]


def test_resuming_starts_no_part_that_is_done_and_none_after_one_that_ended_early(
    workspace: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from capsafe_core.jobs import supervisor

    job = create_job(workspace.jobs_path, Manifest("generate", "many", {}, parts=10_000))
    ends = iter(["partial", "done", "failed"])
    started: list[int] = []

    class Ended:
        def __init__(self, job: Job, part: int, settings: Settings | None = None) -> None:
            started.append(part)
            job.path(part, "status.json").write_text(json.dumps({"state": next(ends)}))

        def wait(self) -> None:
            """It ended at once."""

    monkeypatch.setattr(supervisor, "start_worker", Ended)
    job.path(1, "status.json").write_text(json.dumps({"state": "done"}))
    supervisor.resume(job)
    assert started == [0, 2, 3]


@pytest.mark.parametrize("name", ["versions.json", "status.json"])
def test_what_a_bundle_says_of_itself_is_bounded(
    workspace: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Both were read whole into memory, up to the 32 GB that a bundle may unpack to."""
    study, text = study_of(Seen("http://127.0.0.1:9/v1"), tmp_path / "private.csv")
    large = json.dumps({"state": "done", "message": " " * (3 << 20)})
    bundle = bundle_of(tmp_path / "gift.zip", study, text, {"part-000.status.json": large})
    if name == "versions.json":
        with zipfile.ZipFile(bundle) as before, zipfile.ZipFile(tmp_path / "big.zip", "w") as archive:
            for entry in before.namelist():
                archive.writestr(entry, b" " * (3 << 20) * (entry == name) + before.read(entry))
        bundle = tmp_path / "big.zip"
    else:
        monkeypatch.setattr(files, "LARGEST_FILE", 1 << 20)
    with pytest.raises(CapsafeError, match="cannot be read as a bundle"):
        unpack_bundle(bundle, workspace.jobs_path)
    assert not list(workspace.jobs_path.glob("*"))
