"""What is said of a lake where none is needed to say it: its address, its secrets, what is missing."""

from __future__ import annotations

import importlib.util
from contextlib import nullcontext
from pathlib import Path

import duckdb
import pytest

from capsafe_core.cli import archiving
from capsafe_core.errors import CapsafeError
from capsafe_core.settings import Settings
from capsafe_core.store.lake import Pulled, Pushed, create_lake, parse_address
from capsafe_core.store.lake.address import NoLakeError, refusal_of
from tests.commands import command


def test_what_is_missing_is_said_with_where_to_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    for what in (("push",), ("pull",), ("list",)):
        done = command(tmp_path, "archive", *what, "postgresql://ada@localhost/lake")
        assert done.returncode == 2
        assert duckdb.__version__ in done.stderr
        assert "pip install 'capsafe[lake]'" in done.stderr


@pytest.mark.parametrize(
    ("text", "url", "name"),
    [
        ("postgresql://ada@db.org/lake", "postgresql://ada@db.org/lake", "ada@db.org/lake"),
        ("postgres://db:5433/l", "postgresql://db:5433/l", "db:5433/l"),
        ("postgresql://[::1]/l", "postgresql://[::1]/l", "::1/l"),
        ("postgresql:///l?host=/run/pg", "postgresql:///l?host=%2Frun%2Fpg", "/run/pg/l"),
        ("postgresql:///?service=s", "postgresql:///?service=s", "localhost/s"),
        ("postgresql://h/l?sslcert=a%20b+c", "postgresql://h/l?sslcert=a%20b%2Bc", "h/l"),
        ("postgresql://a%27b@h/x%27y", "postgresql://a%27b@h/x%27y", "a'b@h/x'y"),
    ],
)
def test_addresses(text: str, url: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "3")
    parsed = parse_address(text)
    assert (parsed.url, parsed.name) == (url, name)
    monkeypatch.delenv("PGCONNECT_TIMEOUT")
    assert "connect_timeout=10" in parse_address(text).url


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "lake",
            "mysql://h/l",
            "postgresql://h",
            "postgresql://h:port/l",
            "postgresql://h/l?options=-c+x",
        ),
        *(
            "postgresql://u:secret@h/l",
            "postgresql://u:@h/l",
            "postgresql://h/l?password=secret",
            "postgresql://h/l?a",
        ),
        *(
            "dbname=l password=secret",
            "postgresql://h/l\x1b[2J",
            "postgresql://h/'; DROP",
            "postgresql://[h/l",
        ),
        "postgresql://h/l?PASSWORD=secret",
    ],
)
def test_what_is_not_an_address_is_not_repeated(text: str) -> None:
    with pytest.raises(CapsafeError) as error:
        parse_address(text)
    assert error.value.hint
    assert "secret" not in str(error.value)


def test_secrets_of_the_environment_are_in_no_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, f"value of {name}")
        assert "value of" not in str(refusal_of("lake", duckdb.Error(f"failed over 'value of {name}'")))


def test_what_a_refusal_is_does_not_depend_on_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "DuckLake")
    assert isinstance(
        refusal_of("l", duckdb.Error("creating a new DuckLake is explicitly disabled")), NoLakeError
    )


@pytest.mark.parametrize(
    "words",
    [
        'IO Error: Cannot open file "/shared/lake/x.parquet": Read-only file system',
        'IO Error: Could not write file "/shared/lake/x.parquet": No space left on device',
        'ERROR: could not extend file "base/1/2": No space left on device',
        'could not write to file "base/pgsql_tmp": Disk quota exceeded',
    ],
)
def test_a_full_disk_is_not_a_damaged_lake(words: str) -> None:
    error = refusal_of("l", duckdb.IOException(words))
    assert "full" in error.message
    assert "Restore" not in error.hint


@pytest.mark.parametrize("place", ["S3://bucket/x", "gs://bucket/x", "file:///x", "s3:bucket", "s3://../x"])
def test_a_place_of_an_unknown_kind_is_not_a_folder(place: str) -> None:
    with pytest.raises(CapsafeError, match="not a place on S3"):
        create_lake(parse_address("postgresql://h/l"), place, Settings())


BROUGHT = [
    (Pulled(0, 0, 0), "Nothing is new: the lake is empty."),
    (Pulled(0, 0, 1), "Nothing is new: 1 job of the lake is here already."),
    (Pulled(0, 0, 2, asked=("ada", "ben")), "Nothing is new: 2 jobs of ada, ben are here already."),
    (
        Pulled(0, 0, 0, ("one",)),
        "Nothing was brought. Left alone, although the lake has more: 1 folder of your own, adopted, or from "
        "another source (one).",
    ),
    (
        Pulled(1, 2, 1, owners=("ada",), waiting=("s", "t"), own=("t",)),
        "Brought 1 new job and more of 2 jobs of ada; nothing is new of 1 other. The facts can be explored "
        "at once. Nothing of s, t runs until you adopt it: `capsafe adopt STUDY`. That holds for your own "
        "jobs of t too.",
    ),
]
PUSHED = [
    (
        Pushed(1, 1, 1, 1),
        "Pushed 1 job with 1 new line; the lake had all of 1 other. Left out until adopted: 1 job",
    ),
    (Pushed(kept=2), "Nothing is new; the lake had all of 2 others."),
    (Pushed(problems=(CapsafeError("Bad."),)), "Nothing was pushed."),
]


@pytest.mark.parametrize(("done", "words"), [*BROUGHT, *PUSHED])
def test_numbers_have_their_nouns(done: Pulled | Pushed, words: str) -> None:
    assert done.words.startswith(words)


def test_where_nothing_was_pushed_no_others_are_said_to_be_in_the_lake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "open_lake", lambda *_: nullcontext())
    for kept, says in ((0, "said above"), (1, "has the others")):
        pushed = Pushed(kept=kept, problems=(CapsafeError("Bad."),))
        monkeypatch.setattr(archiving, "push_jobs", lambda *_, pushed=pushed: pushed)
        done = command(tmp_path, "archive", "push", "postgresql://h/l")
        assert "Not pushed: 1 job." in done.stderr
        assert says in done.stderr
