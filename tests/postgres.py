"""A PostgreSQL server of a test's own, on a Unix socket in a temporary folder, without root's rights."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PASSWORD = "open sesame, 42 of them"
USER = "keeper"


def postgres_folder() -> Path | None:
    """Where PostgreSQL's programs are; None where it is not installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[4]))
    path = shutil.which("initdb")
    return debian[-1].parent if debian else Path(path).resolve().parent if path else None


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    programs: Path
    folder: Path

    def address(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    def create(self, database: str) -> str:
        """Make a database; its address."""
        self.run("postgres", f"CREATE DATABASE {database}")
        return self.address(database)

    def run(self, database: str, sql: str) -> None:
        """Run a statement in a database."""
        here = {**os.environ, "PGHOST": str(self.folder), "PGUSER": USER, "PGPASSWORD": PASSWORD}
        command = [self.programs / "psql", "-qXd", database, "-c", sql]
        subprocess.run(command, env=here, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def postgres(programs: Path) -> Iterator[Server]:
    """A server with a superuser USER, whom it lets in with PASSWORD."""
    folder = Path(tempfile.mkdtemp(prefix="capsafe-pg-"))
    someone: dict[str, Any] = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        someone |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    make = ("initdb", "-D", "data", "-U", USER, "--pwfile=password", "--auth=scram-sha-256", "--no-sync")
    control = ("pg_ctl", "-D", "data", "-w", "-s")
    try:
        subprocess.run([programs / make[0], *make[1:], "-E", "UTF8", "--locale=C"], **someone)
        start = (*control[1:], "-l", "log", "-o", options, "start")
        subprocess.run([programs / control[0], *start], **someone)
        try:
            yield Server(programs, folder)
        finally:
            subprocess.run([programs / control[0], *control[1:], "-m", "immediate", "stop"], **someone)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
