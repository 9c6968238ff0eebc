"""The command that hands a study to a cluster's launcher."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from capsafe_core.cli.owner_calls import doing
from capsafe_core.cli.terminal import say
from capsafe_core.errors import UnknownNameError
from capsafe_core.jobs.launching import LAUNCHERS, Wanted, slurm_script, submit_to_slurm
from capsafe_core.settings import Settings
from capsafe_core.study import load_study

commands = typer.Typer()


@commands.command()
def launch(
    study: Path,
    on: Annotated[str, typer.Option(help=f"which launcher: {', '.join(LAUNCHERS)}")],
    workers: Annotated[int, typer.Option(min=1, max=1000, help="how many share the work")],
    gpus: Annotated[int, typer.Option(min=0, help="of each worker")] = 0,
    minutes: Annotated[int, typer.Option(min=1, help="after which the launcher ends them")] = 24 * 60,
    submit: Annotated[bool, typer.Option("--submit", help="hand it over, rather than print it")] = False,
) -> None:
    """Print what a cluster's launcher needs to carry out a study with many workers, or hand it over."""
    if on not in LAUNCHERS:
        raise UnknownNameError("launcher", on, LAUNCHERS)
    settings = Settings()
    parsed, _ = load_study(study)
    script = slurm_script(parsed, study, settings, Wanted(workers, gpus, minutes))
    if not submit:
        say(script.removesuffix("\n"))
        return
    with doing("launch", study=parsed.name):
        number = submit_to_slurm(script, settings.jobs_path)
    say(f"Slurm has it as job {number}; `squeue -j {number}` shows how it stands.")
