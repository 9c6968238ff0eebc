"""The address of a lake, and what is said when PostgreSQL or DuckLake refuses it. No secret is in either."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from capsafe_core.errors import CapsafeError
from capsafe_core.patterns import linear

EXAMPLE = "Give it as postgresql://ada@db.example.org/lake."
OPTIONS = ("host", "port", "service", "sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout")
"""what may stand behind a ? in an address"""
SECRETS = ("PGPASSWORD", "PGSSLPASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""environment variables whose values are in no sentence"""
PATIENCE = "10"
"""seconds until a server counts as unreachable, where nothing else is said"""
_PLAIN = re.compile(r"[\x21-\x7e]{1,2000}")


@dataclass(frozen=True)
class Address:
    """Where a lake's catalogue is.

    Attributes:
        url: as libpq takes it, without a password.
        name: as people are told it: user@server/database.
    """

    url: str
    name: str


def parse_address(text: str) -> Address:
    """The address of a PostgreSQL database.

    Raises:
        CapsafeError: it is not one, or holds a password; the text is not repeated, for it may hold one.
    """
    try:
        parts = urlsplit(text)
        port, host, user = parts.port, parts.hostname or "", unquote(parts.username or "")
        query = parts.query.replace("+", "%2B")  # libpq takes a + as itself
        options = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise CapsafeError("That is not the address of a PostgreSQL database.", EXAMPLE) from error
    if parts.password is not None or any("passw" in key.lower() for key, _ in options):
        raise CapsafeError(
            "An address of a lake holds no password: other users of this machine could read it.",
            "Set PGPASSWORD, or write it into ~/.pgpass.",
        )
    named = dict(options)
    database = unquote(parts.path.removeprefix("/"))
    if (
        parts.scheme not in ("postgresql", "postgres")
        or not _PLAIN.fullmatch(text)
        or parts.fragment
        or not (database or "service" in named)
    ):
        raise CapsafeError("That is not the address of a PostgreSQL database.", EXAMPLE)
    if strange := [key for key in named if key not in OPTIONS]:
        raise CapsafeError(
            f"The option {strange[0][:40]!r} cannot be part of an address of a lake.",
            f"Use {', '.join(OPTIONS)}.",
        )
    if "PGCONNECT_TIMEOUT" not in os.environ:
        named.setdefault("connect_timeout", PATIENCE)
    place = (f"{quote(user, safe='')}@" if user else "") + (f"[{host}]" if ":" in host else host)
    url = f"postgresql://{place}{f':{port}' if port else ''}/{quote(database, safe='')}"
    server = (host or named.get("host", "") or "localhost") + (f":{port}" if port else "")
    name = f"{f'{user}@' if user else ''}{server}/{database or named['service']}"
    return Address(f"{url}?{urlencode(named, quote_via=quote)}" if named else url, name)


def scrubbed(text: str) -> str:
    """A text in which no secret of the environment stands."""
    for value in filter(None, map(os.environ.get, SECRETS)):
        text = text.replace(value, "***")
    return text


class NoLakeError(CapsafeError):
    """A database holds no lake."""


_NO_LAKE = r"creating a new DuckLake is explicitly disabled"
_REFUSALS = (
    (
        r'password authentication failed|no password supplied|no pg_hba.conf entry|role ".*" does not exist',
        "PostgreSQL does not let you in: wrong user or password, or none.",
        "Set PGUSER and PGPASSWORD, or write a line into ~/.pgpass.",
    ),
    (
        _NO_LAKE,
        "There is no lake in that database.",
        "Correct the address, or make one with `capsafe archive create`.",
    ),
    (
        r'database ".*" does not exist',
        "There is no such database.",
        "Correct the address, or make the database with `createdb` and a lake with `capsafe archive create`.",
    ),
    (
        r"catalog version|version mismatch|DuckLake version",
        "Its catalogue is of another version of DuckLake than the extension here.",
        "Install the version of capsafe that its other users have, or have them update together.",
    ),
    (
        r"permission denied|Permission denied|AccessDenied|HTTP 403|Forbidden",
        "Something of it may not be read or written by you.",
        "Ask whoever runs it for the rights, on the database and on its files.",
    ),
    (
        r"(?i)no space left|disk full|disk quota|not enough disk space|read-only file system",
        "A disk is full or may only be read.",
        "Look at the disks of its files, of its database and of this machine's temporary folder; then run "
        "the same command again.",
    ),
    (
        r"Cannot open file|No files found|HTTP 404|magic bytes|[Pp]arquet|ZSTD",
        "A file of it is missing or damaged, or its bucket is missing.",
        "Restore the lake's files and database from a copy of the same time; nothing was changed here.",
    ),
    (
        r'server closed the connection|terminating connection|no connection to the server|"ROLLBACK"',
        "Its PostgreSQL ended the connection.",
        "Run the same command again: it adds only what is missing.",
    ),
    (
        r"Unable to connect|could not translate|timeout expired|Connection refused",
        "Its PostgreSQL cannot be reached.",
        "Check the server's name and port, and whether it runs.",
    ),
)
"""what an error says, the first that fits; the sentence and the next step"""


def refusal_of(name: str, error: Exception) -> CapsafeError:
    """An error of DuckLake or of its PostgreSQL as a sentence with a next step; a NoLakeError where there is
    no lake.

    Args:
        name: of the lake.
    """
    words = str(error)
    for pattern, sentence, hint in _REFUSALS:
        if linear(pattern).fits(words):
            kind = NoLakeError if pattern is _NO_LAKE else CapsafeError
            return kind(f"The lake {name}: {sentence}", hint)
    first = (scrubbed(words).strip().splitlines() or [type(error).__name__])[0]
    return CapsafeError(
        f"The lake {name} cannot be used: {first}",
        "Check that its database runs and that its files are in place.",
    )
