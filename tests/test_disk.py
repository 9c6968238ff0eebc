"""Disks that are full or may only be read, and paths with signs in them: a sentence, and nothing half-written
is left."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from capsafe_core.errors import CapsafeError
from capsafe_core.settings import ROOT
from capsafe_core.store import Store
from capsafe_core.store.export import snapshot_into, tables_into
from capsafe_core.store.ingest import ingest_all
from capsafe_core.writing import whole
from tests.commands import command
from tests.logs import write_forms
from tests.synthetic import write_study

ODD = 'it\'s a "home" 100% ünï;\n#'


def refused(done: subprocess.CompletedProcess[str], reason: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert reason in done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("disk")
    write_study(found / "jobs", safety_size=12, capability_size=10)
    return found


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    root = tmp_path_factory.mktemp("exporting")
    write_study(root / "jobs", safety_size=2, capability_size=1)
    with Store(None, root / "ex'ports") as store:
        ingest_all(store, root / "jobs")
        yield store


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 128 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)], capture_output=True
    ).returncode:
        pytest.skip("a disk may not be mounted here: run as root to try a full one")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def full(place: Path) -> None:
    filler = (place / "filler").open("wb", buffering=0)
    with pytest.raises(OSError, match="No space"):
        filler.writelines(bytes(4096) for _ in range(1000))
    filler.close()


def exports(home: Path, place: Path) -> Path:
    """The workspace's exports folder, on another disk."""
    link = home / "exports"
    link.unlink(missing_ok=True)
    link.symlink_to(place)
    return place


FORMS = [
    ("snapshot",),
    ("export", "bundle"),
    ("export", "parquet"),
    ("export", "csv"),
    ("export", "every-eval-ever"),
]


def test_exports_to_a_full_disk_end_with_a_sentence_and_leave_nothing(home: Path, small: Path) -> None:
    exports(home, small)
    full(small)
    for form in FORMS:
        refused(command(home, *form), "No space left on device")
        assert sorted(p.name for p in small.iterdir()) == ["filler"], form


def test_exports_to_a_disk_that_may_only_be_read(home: Path, small: Path) -> None:
    exports(home, small)
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    for form in FORMS:
        refused(command(home, *form), "Read-only file system")
        assert list(small.iterdir()) == [], form


def test_a_bundle_and_logs_that_come_to_a_full_disk(home: Path, small: Path, tmp_path: Path) -> None:
    exports(home, tmp_path)
    assert command(home, "export", "bundle", "b.zip").returncode == 0
    write_forms(tmp_path / "logs")
    full(small)
    for arguments in (("unbundle", str(tmp_path / "b.zip")), ("import", str(tmp_path / "logs" / "table"))):
        refused(command(tmp_path / "other", *arguments, CAPSAFE_JOBS=str(small)), "No space left on device")
        assert sorted(p.name for p in small.iterdir()) == ["filler"], arguments


def test_a_report_to_a_full_disk_a_folder_that_is_a_file_and_one_that_is_not_there(
    home: Path, small: Path, tmp_path: Path
) -> None:
    full(small)
    (tmp_path / "file").write_text("")
    for place, reason in (
        (small, "No space left"),
        (tmp_path / "file", "Not a directory"),
        (tmp_path / "none", "No such file"),
    ):
        refused(command(home, "report", str(place / "r.html"), "--item", "incoherence"), reason)
    assert [p.name for p in small.iterdir()] == ["filler"]


def test_a_workspace_with_signs_in_its_path_exports_and_opens(tmp_path: Path) -> None:
    home = tmp_path / ODD
    write_study(home / "jobs", safety_size=3, capability_size=3)
    for form in FORMS:
        done = command(home, *form, CAPSAFE_STORE=str(home / 'it\'s "the" store.duckdb'))
        assert done.returncode == 0, done.stderr
    bundle = next((home / "exports").glob("*.zip"))
    done = command(tmp_path / f"other {ODD}", "unbundle", str(bundle))
    assert done.returncode == 0, done.stderr
    write_forms(tmp_path / "logs")
    (tmp_path / "logs" / "table").rename(home / "the log's 100%")
    done = command(home, "import", str(home / "the log's 100%"))
    assert done.returncode == 0, done.stderr


def test_a_question_mark_in_the_path_of_a_store_is_said(tmp_path: Path) -> None:
    write_study(tmp_path / "why?" / "jobs", safety_size=2, capability_size=1)
    refused(command(tmp_path / "why?", "snapshot"), "has a question mark in it")


@pytest.mark.parametrize("name", ["it's", 'a"b', "50%", "a b", "ünï", "a;b", "$HOME", "#", "-x", "x.duckdb"])
def test_a_name_of_an_export_may_hold_any_sign_that_is_seen(name: str, filled: Store) -> None:
    with Store(snapshot_into(filled, name)) as copy:
        assert copy.rows("SELECT count(*) FROM generations") == filled.rows(
            "SELECT count(*) FROM generations"
        )
    assert len(list(tables_into(filled, f"{name} 2", "csv").iterdir())) > 5


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a\nb", "a\0b", "\u202ea", "x" * 300])
def test_what_is_no_name_of_a_file_is_refused(name: str, tmp_path: Path) -> None:
    with Store(None, tmp_path / "exports") as store, pytest.raises(CapsafeError, match="is not a file name"):
        snapshot_into(store, name)
    assert list((tmp_path / "exports").iterdir()) == []


def test_a_limit_on_files_is_a_disk_that_refuses(tmp_path: Path) -> None:
    """Where no disk may be mounted: the kernel ends a write at a limit."""
    program = (
        "from pathlib import Path\nfrom capsafe_core.writing import whole\nwith whole(Path('out')) as "
        "new:\n    new.write_bytes(bytes(100_000))"
    )

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        preexec_fn=limited,
    )
    assert "CapsafeError: out could not be written: File too large." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays_until_the_new_is_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def half() -> None:
        with whole(tmp_path / "a") as new:
            new.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "old")]
