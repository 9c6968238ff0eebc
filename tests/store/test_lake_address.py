"""What is said of a lake where none is needed to say it: its address, its secrets, what is missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import duckdb
import pytest

from capsafe_core.errors import CapsafeError
from capsafe_core.store.lake import parse_address
from capsafe_core.store.lake.address import refusal_of
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
