"""Names of a million characters: refused where they enter, and what is good beside them is kept."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import pytest

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.records import Attack, Measurement, Rater, Record
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.study import parse_study
from capsafe_core.values import LONGEST_NAME
from tests.commands import command
from tests.synthetic import MITIGATED, RATERS, benchmark, checkpoint

LONG = "x" * 1_000_000
POINT, (BENCH, _) = checkpoint("gentle", 0, 10), benchmark("requests", "safety", 1)
NAMED: list[Record] = [
    *(msgspec.structs.replace(RATERS["verifier"], **{part: LONG}) for part in ("name", "family", "version")),
    msgspec.structs.replace(POINT, origin=LONG),
    msgspec.structs.replace(BENCH, name=LONG),
    Attack(LONG),
    Measurement(POINT.id, LONG, "accuracy", 0.5, None, None, "x"),
    Measurement(POINT.id, "sums", LONG, 0.5, None, None, "x"),
]


@pytest.mark.parametrize("record", NAMED, ids=lambda r: r.type)
def test_a_record_with_such_a_name_is_set_aside(tmp_path: Path, record: Record) -> None:
    good = Rater("good", "judge", "f", ("safety",), "1")
    with Part(create_job(tmp_path, Manifest("import", "one", {}))) as part:
        part.write("both", [record, good])
    with Store(None) as store:
        _, problems = ingest_all(store, tmp_path)
        assert store.rows("SELECT name FROM raters") == [("good",)]
        for table in ("checkpoints", "benchmarks", "attacks", "measurements"):
            assert store.rows(f"SELECT count(*) FROM {table}") == [(0,)]
    [problem] = problems
    assert "1,000 characters" in str(problem)
    assert len(str(problem)) < 2000


@pytest.mark.parametrize("name", ["made-up", "gentle", "aligned", "requests", "tuned"])
def test_a_study_with_such_a_name_is_a_sentence(name: str) -> None:
    text = MITIGATED.replace(f'"{name}"', f'"{LONG[:200_000]}"')
    with pytest.raises(CapsafeError, match="at most 1000 characters") as refused:
        parse_study(text)
    assert len(str(refused.value)) < 2000
    parse_study(MITIGATED.replace(f'"{name}"', f'"{"x" * LONGEST_NAME}"'))


@pytest.mark.parametrize("column", ["model", "benchmark", "category", "id", "prompt"])
def test_a_table_with_such_a_name_is_imported_or_a_sentence(workspace: Settings, column: str) -> None:
    rows = [
        {"model": "m", "benchmark": "b", "id": str(i), "category": "c", "prompt": f"p{i}", "response": "no"}
        for i in range(3)
    ]
    rows[0][column] = LONG
    table = workspace.home / "t.csv"
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    done = command(workspace.home, "import", str(table))
    assert done.returncode == 0 or "at most 1000 characters" in done.stderr
    assert ("brought 3 outputs" in done.stdout) == (done.returncode == 0)
    assert (column in ("model", "benchmark")) == bool(done.returncode)
