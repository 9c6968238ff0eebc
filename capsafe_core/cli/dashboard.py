"""Commands that start the dashboard."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from capsafe_core.cli.terminal import say
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.packing import unpack_jobs
from capsafe_core.settings import ROOT, Settings
from capsafe_core.store.ingest import ingest_all
from capsafe_core.workspace.service import open_store

commands = typer.Typer()


@commands.command("app")
def start_app(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8501,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="let everybody in who reaches the port, without a token")
    ] = False,
) -> None:
    """Start the dashboard, and print the address to open, with its token."""
    settings = Settings()
    environment = {**os.environ, "CAPSAFE_HOME": str(settings.home.absolute())}
    if no_token:
        environment["CAPSAFE_NO_TOKEN"] = "1"
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)]
    sys.stdout.flush()
    os.execve(command[0], command, environment)  # this process becomes the server, so that signals reach it


@commands.command()
def demo_store(source: Path) -> None:
    """Fill the workspace from packed job folders, such as data/demo; quick where it was done before."""
    settings = Settings()
    shipped = source.resolve().is_relative_to(ROOT / "data")
    unpack_jobs(source, settings.jobs_path, "" if shipped else str(source))
    with open_store(settings) as store:
        result, problems = ingest_all(store, settings.jobs_path)
    say(f"{result.rows} new rows")
    if problems:
        raise CapsafeError("\n".join(str(problem) for problem in problems))
