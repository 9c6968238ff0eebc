"""Every table that a screen shows is a command."""

from __future__ import annotations

from typing import Annotated

import typer

from capsafe_core.analysis.by_name import AT_A_GOAL, TABLES
from capsafe_core.cli.options import CLAIM, FILTER, SCOPE, SPECIFICATION, VARIANTS, selecting
from capsafe_core.cli.owner_calls import fetch_table
from capsafe_core.cli.terminal import show_table, tell
from capsafe_core.selection import Selection
from capsafe_core.settings import Settings

commands = typer.Typer()


def _add_command(name: str) -> None:
    @selecting(SCOPE, SPECIFICATION, FILTER, CLAIM, VARIANTS if name == "conclusions" else {})
    def command(
        chosen: Selection,
        json: Annotated[bool, typer.Option("--json", help="print JSON records")] = False,
        csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
        latex: Annotated[bool, typer.Option("--latex", help="print a LaTeX table (booktabs)")] = False,
    ) -> None:
        found = fetch_table(Settings(), name, chosen)
        show_table(found, json, csv, latex)
        if found.empty and name in AT_A_GOAL:
            tell(list(fetch_table(Settings(), "lacking", chosen)["lacking"]))

    words = (TABLES[name].__doc__ or f"The {name} table.").split("\n")[0]
    commands.command(name, help=words)(command)


for _name in TABLES:
    _add_command(_name)
