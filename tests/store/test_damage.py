"""A store whose owner was killed, and whose file, log or count of writes was damaged then: a sentence or the
same numbers, and a rebuilding brings everything back."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.records import Attack
from capsafe_core.settings import ROOT
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from tests.store.test_rebuild import DROPPED, content, opened, rebuild
from tests.synthetic import write_study

LOOK = "import sys\nfrom capsafe_core.cli import main\nsys.argv = ['capsafe', 'rates']\nmain()\n"


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace as a killed owner leaves it: some of what it wrote is in the log only."""
    home = tmp_path_factory.mktemp("killed")
    write_study(home / "jobs", safety_size=8, capability_size=6)
    with Store(home / "store.duckdb") as store:
        ingest_all(store, home / "jobs")
    with Part(create_job(home / "jobs", Manifest("import", "more", {}))) as part:
        part.write("x", [Attack(f"attack {n}", {}) for n in range(50)])
    subprocess.run([sys.executable, "-c", DROPPED, str(home)], cwd=ROOT, check=False)
    assert (home / "store.duckdb.wal").stat().st_size > 0
    return home


@pytest.fixture(scope="module")
def told(killed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, str]:
    """What its store holds, and what a command prints of it, where nothing is damaged."""
    home = tmp_path_factory.mktemp("whole") / "home"
    shutil.copytree(killed, home)
    printed = look(home)
    assert printed.returncode == 0, printed.stderr
    with opened(home) as store:
        return content(store), printed.stdout


def look(home: Path) -> subprocess.CompletedProcess[str]:
    environment = {"CAPSAFE_HOME": str(home), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, "-c", LOOK], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def damage(path: Path, how: str, chance: random.Random) -> None:
    raw = bytearray(path.read_bytes())
    at = chance.randrange(len(raw))
    if how == "cut":
        del raw[at:]
    elif how == "hole":
        raw[at : at + 4096] = bytes(len(raw[at : at + 4096]))
    else:
        raw[at] ^= 1 << chance.randrange(8)
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("store.duckdb", "flip"),
        ("store.duckdb", "cut"),
        ("store.duckdb", "hole"),
        ("store.duckdb.wal", "flip"),
        ("store.duckdb.wal", "cut"),
        ("store.duckdb.writes", "cut"),
    ],
)
def test_what_was_damaged_is_said_or_means_nothing_and_a_rebuilding_brings_it_back(
    killed: Path, told: tuple[object, str], tmp_path: Path, name: str, how: str
) -> None:
    home = tmp_path / "home"
    shutil.copytree(killed, home)
    damage(home / name, how, random.Random(f"{name} {how}"))
    said = look(home)
    assert "Traceback" not in said.stderr, said.stderr
    if said.returncode == 0:
        assert said.stdout == told[1]
    else:
        assert said.returncode == 2, (said.returncode, said.stderr)
        assert said.stderr.startswith("capsafe: ")
        assert "rebuild" in said.stderr
    rebuild(home)
    with opened(home) as store:
        assert content(store) == told[0]
