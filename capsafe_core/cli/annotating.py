"""Commands about people's labels: queues, files of labels, guidelines."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from capsafe_core.annotation import QUESTIONS, QueueSettings
from capsafe_core.cli.options import ANSWERS, FILTER, SCOPE, selecting
from capsafe_core.cli.owner_calls import do
from capsafe_core.cli.terminal import read_text, say, show_table, write_file
from capsafe_core.people import EVERYBODY
from capsafe_core.selection import Selection
from capsafe_core.settings import Settings

commands = typer.Typer()
queue = typer.Typer(no_args_is_help=True, help="Queues of outputs that people label.")
labels = typer.Typer(no_args_is_help=True, help="People's labels as files.")
commands.add_typer(queue, name="queue")
commands.add_typer(labels, name="labels")


@queue.command("make")
@selecting(SCOPE, ANSWERS, FILTER)
def make_queue(
    chosen: Selection,
    name: str,
    question: Annotated[
        list[str] | None,
        typer.Option(
            help="coherence, safety or refusal, in the order in which they are asked; all where left out"
        ),
    ] = None,
    strategy: Annotated[
        str, typer.Option(help="stratified, random, disagreement or uncertainty")
    ] = "stratified",
    size: int = 200,
    share: Annotated[
        float, typer.Option(help="of a disagreement or uncertainty queue, drawn at random from everything")
    ] = 0.5,
    annotators: Annotated[int, typer.Option(help="people for each item")] = 1,
    repeats: Annotated[float, typer.Option(help="share of items that a person sees twice")] = 0.1,
    blind: bool = True,
    seed: int = 0,
    assign: Annotated[
        list[str] | None,
        typer.Option(help="a person to whom it is handed out, by the name they label under; several times"),
    ] = None,
) -> None:
    """Draw outputs for people to label, each with a known chance."""
    settings = QueueSettings(
        name,
        tuple(question or QUESTIONS),
        strategy,
        share,
        size,
        annotators,
        repeats,
        blind,
        seed,
        assigned=tuple(assign or ()),
    )
    made = do(Settings(), "make queue", settings=dataclasses.asdict(settings), selection=chosen.to_query())
    say(f"{made['queue']}: {made['words']}")


@queue.command("list")
def list_queues() -> None:
    """Every queue and how far it is."""
    show_table(pd.DataFrame(do(Settings(), "list queues")["rows"]))


@queue.command("extend")
def extend_queue(name: str, more: int) -> None:
    """Add items to a queue, further along the same random order."""
    say(do(Settings(), "extend queue", queue=name, more=more)["words"])


@queue.command("state")
def queue_state(name: str, state: Annotated[str, typer.Argument(help="open, paused or closed")]) -> None:
    """Pause a queue, open it again, or close it."""
    say(do(Settings(), "queue state", queue=name, state=state)["state"])


@queue.command("assign")
def assign_queue(
    name: str,
    people: Annotated[
        list[str] | None, typer.Argument(help="by the names they label under; everybody where left out")
    ] = None,
) -> None:
    """Say to whom a queue is handed out."""
    assigned = do(Settings(), "assign queue", queue=name, people=people or [])["assigned"]
    say(", ".join(assigned) or EVERYBODY)


@labels.command("out")
def labels_out(
    target: Path,
    queue_name: Annotated[
        str, typer.Option("--queue", help="only of this queue, with what is not labelled yet")
    ] = "",
    form: Annotated[str, typer.Option("--format", help="jsonl, csv, label-studio or argilla")] = "jsonl",
) -> None:
    """Write labels to a file."""
    write_file(
        target,
        do(Settings(), "take labels out", queue=queue_name, form=form)["text"].encode("utf-8", "replace"),
    )
    say(str(target))


@labels.command("in")
def labels_in(source: Path) -> None:
    """Bring in labels that were made elsewhere: JSONL, CSV, or an export of Label Studio or Argilla."""
    found = do(Settings(), "bring labels in", text=read_text(source), name=source.stem)
    for problem in found["problems"]:
        say(problem, err=True)
    say(found["words"] + (f" {len(found['problems'])} could not be used." if found["problems"] else ""))


@commands.command()
def guidelines(
    file: Annotated[
        Path | None, typer.Argument(help="a new version, as TOML; without it the one in force is printed")
    ] = None,
) -> None:
    """What annotators go by."""
    now = do(Settings(), "guidelines", text=read_text(file) if file else "")
    say(f"version {now['version']}" if file else now["text"])
