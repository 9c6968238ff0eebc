"""Commands that start the dashboard."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from capsafe_core.cli.terminal import say
from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.jobs.packing import unpack_jobs
from capsafe_core.places import DATA, ROOT
from capsafe_core.settings import Settings
from capsafe_core.store.ingest import ingest_all
from capsafe_core.workspace.service import open_store

commands = typer.Typer()


Port = Annotated[int, typer.Option(min=1, max=65535)]
NoToken = Annotated[
    bool, typer.Option("--no-token", help="let everybody in who reaches the port, without a token")
]


@commands.command("app")
def start_app(
    port: Port = 8501,
    no_token: NoToken = False,
    replica_of: Annotated[
        str, typer.Option(help="only look, over the job folders of the app at this address")
    ] = "",
) -> None:
    """Start the dashboard, and print the address to open, with its token."""
    settings = Settings(replica_of=replica_of) if replica_of else Settings()
    if settings.replica_of and settings.jobs is None:
        raise CapsafeError(
            "A replica has a store of its own over another app's job folders, and these are not named.",
            "Set CAPSAFE_JOBS to that app's folder of jobs, and CAPSAFE_HOME to a folder of its own.",
        )
    _become_server(settings, port, no_token, {**os.environ, "CAPSAFE_REPLICA_OF": settings.replica_of})


SHIPPED = {"small-steps": DATA / "demo", "paper-small": DATA / "studies" / "paper-small"}
"""the studies that ship with capsafe, packed"""


@commands.command()
def demo(
    study: Annotated[str, typer.Argument(help=f"which one: {' or '.join(SHIPPED)}")] = "small-steps",
    port: Port = 8501,
    no_token: NoToken = False,
) -> None:
    """Start the dashboard on a study that ships with capsafe, in a workspace of its own."""
    if study not in SHIPPED:
        raise UnknownNameError("study that ships", study, SHIPPED)
    home = Settings().home / ("demo" if study == "small-steps" else f"demo-{study}")
    settings = Settings(home=home, store=home / "store.duckdb", jobs=home / "jobs")
    _fill(settings, SHIPPED[study])
    apart = ("CAPSAFE_STORE", "CAPSAFE_JOBS")
    _become_server(settings, port, no_token, {k: v for k, v in os.environ.items() if k not in apart})


def _become_server(settings: Settings, port: int, no_token: bool, environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by the server, so that signals reach it."""
    environment = {**environment, "CAPSAFE_HOME": str(settings.home.absolute())}
    if no_token:
        environment["CAPSAFE_NO_TOKEN"] = "1"
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)]
    sys.stdout.flush()
    os.execve(command[0], command, environment)


@commands.command()
def demo_store(source: Path) -> None:
    """Fill the workspace from packed job folders, such as data/demo; quick where it was done before."""
    _fill(Settings(), source)


def _fill(settings: Settings, source: Path) -> None:
    """Unpack job folders into a workspace and read them into its store; what does not ship with capsafe is
    foreign.

    Raises:
        CapsafeError: some of it cannot be used; the rest is in the store.
    """
    shipped = source.resolve().is_relative_to(DATA)
    unpack_jobs(source, settings.jobs_path, "" if shipped else str(source))
    with open_store(settings) as store:
        result, problems = ingest_all(store, settings.jobs_path)
    say(f"{result.rows} new rows")
    if problems:
        raise CapsafeError("\n".join(str(problem) for problem in problems))
