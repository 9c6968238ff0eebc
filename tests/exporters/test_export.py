"""Taking data out, and opening it again: tables, Every Eval Ever, bundles, snapshots and the notebook."""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as parquet
import pytest
from typer.testing import CliRunner

import capsafe_core
from capsafe_core.cli import app, do, fetch_table
from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.jobs.folder import Manifest, Part, create_job, list_jobs
from capsafe_core.jobs.foreign import adopt
from capsafe_core.jobs.permission import HERE, foreign_uses
from capsafe_core.jobs.supervisor import start_worker
from capsafe_core.labelling.desk import Desk
from capsafe_core.people import Person
from capsafe_core.records import Generation
from capsafe_core.selection import Selection
from capsafe_core.settings import ROOT, Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.workspace.service import Service
from tests.labelling.desks import queue, work_through
from tests.published import SHARED
from tests.synthetic import CONDITION, benchmark, checkpoint, write_study

ADA = Person("Ada")
FORMULA = '=HYPERLINK("http://127.0.0.1/","click")'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up study, with one answer that a spreadsheet would run, and labels of a queue."""
    root = tmp_path_factory.mktemp("export")
    write_study(root / "jobs", safety_size=12, capability_size=6)
    bench, prompts = benchmark("requests", "safety", 12)
    with Part(create_job(root / "jobs", Manifest("import", "formula", {}))) as part:
        part.write(
            "x",
            [
                Generation(
                    checkpoint("harsh", 0, 40).id,
                    bench.id,
                    CONDITION.id,
                    prompts[0].id,
                    1,
                    0,
                    FORMULA,
                    "stop",
                    9,
                )
            ],
        )
    with Store(root / "store.duckdb", root / "exports") as store:
        ingest_all(store, root / "jobs")
        desk = Desk(store, root / "jobs")
        work_through(desk, queue(desk, size=20), ADA, 20)
        desk.close()
    return root


@pytest.fixture
def settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CAPSAFE_HOME", str(home))
    return Settings()


def command(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output.strip()


def test_a_snapshot_and_its_frames(settings: Settings) -> None:
    path = command("snapshot", "copy.duckdb")
    with capsafe_core.open(path) as reader:
        [study] = reader.studies
        outputs, judgments, labels = reader.outputs(study), reader.judgments(study), reader.labels(study)
        paths = reader.table("paths", study=study)
    with Store(settings.store_path) as store:
        assert outputs["generation_id"].nunique() == store.rows("SELECT count(*) FROM generations")[0][0]
        assert len(judgments) == store.rows("SELECT count(*) FROM current_judgments")[0][0]
        assert len(labels) == store.rows("SELECT count(*) FROM current_labels")[0][0]
    assert len(labels) > 0
    pd.testing.assert_frame_equal(paths, fetch_table(settings, "paths", Selection(study=study)))
    with pytest.raises(CapsafeError, match="exists already"):
        command("snapshot", "copy.duckdb")


def test_tables_are_whole_and_start_no_formula(settings: Settings) -> None:
    whole, flat = Path(command("export", "parquet", "p")), Path(command("export", "csv", "c"))
    with Store(settings.store_path) as store:
        for table in ("generations", "judgments", "prompts", "label_events", "studies"):
            n = store.rows(f"SELECT count(*) FROM {table}")[0][0]
            assert parquet.read_metadata(whole / f"{table}.parquet").num_rows == n
            with (flat / f"{table}.csv").open(encoding="utf-8", newline="") as stream:
                rows = list(csv.reader(stream))
            assert len(rows) == n + 1
            assert not any(
                cell[:1] in "=+-@"
                for row in rows[1:]
                for cell in row
                if cell and not cell.lstrip("-").replace(".", "").replace("e", "").isdigit()
            )
    assert FORMULA in parquet.read_table(whole / "generations.parquet").column("text").to_pylist()
    assert f"'{FORMULA}" in pd.read_csv(flat / "generations.csv")["text"].tolist()


def test_every_eval_ever_records_come_back(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(command("export", "every-eval-ever", "eee"))
    records = [json.loads(p.read_text()) for p in sorted(folder.rglob("*.json"))]
    rates = fetch_table(settings, "rates", Selection())
    known = {
        (r["benchmark"], r["judge"], r["dimension"], round(r["rate"], 12), r["n"])
        for r in rates.to_dict("records")
        if r["n"]
    }
    for record in records:
        about = record["detailed_evaluation_results"]
        samples = (folder / about["file_path"]).read_bytes()
        assert hashlib.sha256(samples).hexdigest() == about["checksum"]
        assert samples.count(b"\n") == about["total_rows"]
        for result in record["evaluation_results"]:
            more = result["metric_config"]["additional_details"]
            score = result["score_details"]
            assert (
                result["source_data"]["dataset_name"],
                more["judge"],
                more["dimension"],
                round(score["score"], 12),
                score["uncertainty"]["num_samples"],
            ) in known
    without = Path(command("export", "every-eval-ever", "eee-redacted", "--no-texts"))
    assert not any(FORMULA in p.read_text() for p in without.rglob("*.json*"))
    # another workspace reads them
    monkeypatch.setenv("CAPSAFE_HOME", str(tmp_path))
    said = command("import", str(folder), "--name", "back")
    with Store(settings.store_path) as store:
        judged = store.rows(
            "SELECT count(DISTINCT generation_id) FROM current_judgments WHERE status = 'ok'"
        )[0][0]
    assert f"{judged:,} outputs of" in said


@pytest.mark.skipif(
    not (SHARED / "formats").exists(),
    reason="the schemas of Every Eval Ever are not beside the repository; records of it are read back in "
    "every run",
)
def test_every_eval_ever_records_follow_the_schema(settings: Settings) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    folder = Path(command("export", "every-eval-ever", "eee-checked"))
    schemas = [
        json.loads((SHARED / "formats" / "every_eval_ever" / name).read_text())
        for name in ("eval.schema.json", "instance_level_eval.schema.json")
    ]
    aggregate, instance = (jsonschema.validators.validator_for(s)(s) for s in schemas)
    for path in folder.rglob("*.json"):
        assert list(aggregate.iter_errors(json.loads(path.read_text()))) == []
    lines = [line for path in folder.rglob("*.jsonl") for line in path.read_text().splitlines()]
    assert len(lines) > 500
    for line in lines[:: len(lines) // 300]:
        assert list(instance.iter_errors(json.loads(line))) == []


def test_a_bundle_opens_elsewhere_with_the_same_numbers(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = command("export", "bundle", "study.zip")
    tables = {
        name: fetch_table(settings, name, Selection())
        for name in ("paths", "match", "agreement-overall", "correct", "annotators")
    }
    monkeypatch.setenv("CAPSAFE_HOME", str(tmp_path))
    assert "is here" in command("unbundle", path)
    for name, frame in tables.items():
        pd.testing.assert_frame_equal(fetch_table(Settings(), name, Selection()), frame)
    command("check")
    assert "is here" in command("unbundle", path)  # again changes nothing
    assert do(Settings(), "look")["rows"] == 0


@pytest.mark.parametrize("names", [["../evil"], ["versions.json", "jobs/../../evil"], ["other"]])
def test_a_strange_bundle_is_refused(workspace: Settings, tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    with pytest.raises(CapsafeError, match="is not a bundle"):
        command("unbundle", str(path))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CapsafeError, match="cannot be read as a bundle"):
        command("unbundle", str(path))


def test_exports_also_while_the_app_runs(settings: Settings) -> None:
    with Store(settings.store_path, settings.exports_path) as store:
        service = Service(Desk(store, settings.jobs_path), settings.socket_path)
        service.start()
        try:
            assert Path(command("export", "snapshot", "running.duckdb")).exists()
            with pytest.raises(CapsafeError, match="is not a file name"):
                command("export", "snapshot", "../outside.duckdb")
        finally:
            service.close()


def test_the_notebook_runs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSAFE_SNAPSHOT", command("snapshot", "notebook.duckdb"))
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())
    names: dict[str, Any] = {}
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for source in cells:
        exec(compile(source, "notebook", "exec"), names)
    assert len(names["outputs"]) > 100
    assert set(names["judgments"]["dimension"]) >= {"safety", "coherence"}


def test_a_bundle_leaves_out_what_was_undone_and_chooses_no_program(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(command("export", "bundle", "to-change.zip"))
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        changed = tmp_path / "changed.zip"
        with zipfile.ZipFile(changed, "w") as out:
            for name in names:
                data = archive.read(name)
                if name.endswith("manifest.json"):
                    data = json.dumps(
                        {
                            **json.loads(data),
                            "python": "/bin/evil",
                            "work": {**json.loads(data)["work"], "trusted": True},
                        }
                    ).encode()
                out.writestr(name, data)
    monkeypatch.setenv("CAPSAFE_HOME", str(tmp_path / "home"))
    command("unbundle", str(changed))
    jobs = list_jobs(tmp_path / "home" / "jobs")
    assert jobs
    for job in jobs:
        with pytest.raises(NotAllowedError, match="came from elsewhere"):
            start_worker(job)
    assert "/bin/evil" in " ".join(foreign_uses(tmp_path / "home" / "jobs", "made-up").sentences)
    adopt(tmp_path / "home" / "jobs", "made-up", "me")
    for job in jobs:
        if job.manifest.kind not in HERE:
            with pytest.raises(NotAllowedError, match="/bin/evil"):
                start_worker(job)


def test_a_retracted_job_is_not_in_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSAFE_HOME", str(tmp_path))
    write_study(tmp_path / "jobs", safety_size=4, capability_size=4)
    do(Settings(), "look")
    undone = list_jobs(tmp_path / "jobs")[-1].job_id
    command("retract", undone)
    with zipfile.ZipFile(command("export", "bundle", "b.zip")) as archive:
        assert not any(undone in name for name in archive.namelist())
