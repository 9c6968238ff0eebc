"""The `capsafe` command: a file a subject, each with its own `commands`, put together here."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from capsafe_core.cli import (
    annotating,
    archiving,
    dashboard,
    data,
    launching,
    planning,
    reports,
    running,
    table_commands,
    upkeep,
)
from capsafe_core.cli.owner_calls import do, fetch_table
from capsafe_core.cli.terminal import say
from capsafe_core.errors import CapsafeError
from capsafe_core.writing import refusal

__all__ = ["app", "do", "fetch_table", "main", "say"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="What fine-tuning bought, what it cost in safety, and how far to trust that number.",
    pretty_exceptions_enable=False,
)
SUBJECTS = (
    *(dashboard, running, launching, planning, table_commands, annotating, data, archiving, reports),
    upkeep,
)
for subject in SUBJECTS:
    app.add_typer(subject.commands)


def main() -> None:
    """Run a command; a mistake ends it with a sentence, not a traceback."""
    try:
        app()
    except CapsafeError as error:
        _end(error)
    except OSError as error:
        if error.errno is None:
            raise
        _end(refusal(error))


def _end(error: CapsafeError) -> NoReturn:
    say(f"capsafe: {error.message}", err=True)
    if error.hint:
        say(error.hint, err=True)
    sys.exit(2)
