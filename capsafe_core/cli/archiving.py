"""Commands about an archive that several people share: a DuckLake."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from capsafe_core.cli.owner_calls import do, doing
from capsafe_core.cli.terminal import say, show_table, tell
from capsafe_core.errors import CapsafeError
from capsafe_core.people import person_named
from capsafe_core.settings import Settings
from capsafe_core.store.lake import (
    amount,
    create_lake,
    open_lake,
    owners_table,
    parse_address,
    pull_jobs,
    push_jobs,
)

commands = typer.Typer()
archive = typer.Typer(
    no_args_is_help=True,
    help="An archive that several people share: a DuckLake with its catalogue on PostgreSQL. "
    "Passwords come from PGPASSWORD or ~/.pgpass.",
)
commands.add_typer(archive, name="archive")
LakeArgument = Annotated[
    str, typer.Argument(metavar="LAKE", help="its database, as postgresql://ada@db.example.org/lake")
]


@archive.command("create")
def create(
    lake: LakeArgument,
    files: Annotated[
        str,
        typer.Argument(help="an empty folder that all its users reach at this path, or s3://bucket/prefix"),
    ],
) -> None:
    """Make a lake in a PostgreSQL database, once for all its users."""
    address = parse_address(lake)
    with doing("archive create", name=address.name):
        place = create_lake(address, files, Settings())
    say(f"The lake {address.name} was created; its files are in {place}")


@archive.command("push")
def push(
    lake: LakeArgument,
    owner: Annotated[str, typer.Option(help="under whose name; yours on this machine if left out")] = "",
) -> None:
    """Add to a lake what is new in this workspace's own jobs: all of it or nothing. Weights stay here."""
    settings, address = Settings(), parse_address(lake)
    name = person_named(owner or getpass.getuser()).name
    with doing("archive push", name=address.name, people=name), open_lake(address, settings) as opened:
        pushed = push_jobs(opened, settings.jobs_path, name)
    say(pushed.words)
    tell(pushed.problems)
    if pushed.problems:
        rest = "The lake has the others." if pushed.jobs or pushed.kept else "What is wrong is said above."
        raise CapsafeError(f"Not pushed: {amount(len(pushed.problems), 'job')}.", rest)


@archive.command("pull")
def pull(
    lake: LakeArgument,
    owner: Annotated[
        list[str] | None, typer.Option(help="whose jobs, repeatable; everybody's if left out")
    ] = None,
) -> None:
    """Bring a lake's jobs here, or what is new of them. Nothing of them runs until you adopt it."""
    settings, address = Settings(), parse_address(lake)
    with doing("archive pull", name=address.name), open_lake(address, settings) as opened:
        pulled = pull_jobs(opened, settings.jobs_path, owner or ())
    say(pulled.words)
    if problems := do(settings, "look")["problems"]:
        raise CapsafeError("\n".join(problems))


@archive.command("list")
def show(
    lake: LakeArgument,
    json: Annotated[bool, typer.Option("--json", help="print JSON records")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
) -> None:
    """Who pushed how much into a lake, and when last (UTC)."""
    with open_lake(parse_address(lake), Settings()) as opened:
        table = owners_table(opened)
    show_table(table, json, csv)
