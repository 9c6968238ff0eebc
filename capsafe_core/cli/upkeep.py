"""Commands about the workspace itself: reading in, rebuilding, checking, retracting, and what it allows."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from capsafe_core.cli.owner_calls import do, doing
from capsafe_core.cli.terminal import say, show_table, tell
from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.jobs.folder import list_jobs
from capsafe_core.jobs.foreign import adopt as adopt_study
from capsafe_core.jobs.foreign import foreign_studies
from capsafe_core.jobs.permission import UNTOLD, foreign_uses
from capsafe_core.settings import ENGINES, Server, Settings
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.rebuild import check_all, rebuild_store
from capsafe_core.workspace.audit import COLUMNS
from capsafe_core.workspace.service import open_store

commands = typer.Typer()
allow = typer.Typer(
    no_args_is_help=True, help="What this workspace lets studies use: servers with their keys, interpreters."
)
commands.add_typer(allow, name="allow")


@commands.command()
def ingest() -> None:
    """Read what is new in the job folders into the store."""
    settings = Settings()
    with open_store(settings) as store:
        result, problems = ingest_all(store, settings.jobs_path)
    say(f"{result.rows} rows, {result.conflicts} conflicts, {result.errors} errors")
    if problems:
        raise CapsafeError("\n".join(str(problem) for problem in problems))


@commands.command()
def rebuild() -> None:
    """Make the store again from the job folders; the old one is not opened, and kept under a dated name."""
    settings = Settings()
    with nullcontext() if settings.replica_of else doing("rebuild"):  # a replica's store is its own
        made = rebuild_store(settings.store_path, settings.jobs_path, settings.memory_limit, settings.threads)
    tell(made.problems)
    say(
        f"{made.read.rows} rows from {len(list_jobs(settings.jobs_path))} jobs"
        + (f"; the old store is kept as {made.kept}" if made.kept else "")
    )


@commands.command()
def check() -> None:
    """Look for damage in the store and the job folders, and compare what is derived with the facts."""
    settings = Settings()
    with open_store(settings) as store:
        found = check_all(store, settings.jobs_path)
    for sentence in found.unseen:
        say(sentence)
    if found.problems:
        raise CapsafeError(
            "\n".join(found.problems), "Restore damaged shards from a copy, then run `capsafe rebuild`."
        )
    say("The store is consistent, and the job folders are as they were written.")


@commands.command()
def audit(
    most: Annotated[int, typer.Option(min=1, max=1_000_000, help="how many, the newest first")] = 200,
    json: Annotated[bool, typer.Option("--json", help="print JSON records")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
) -> None:
    """Who did what in this workspace, the newest first."""
    found = do(Settings(), "audit", most=most)
    show_table(pd.DataFrame(found["rows"], columns=COLUMNS), json, csv)
    tell(found["problems"])


@commands.command()
def retract(job_id: str, restore: bool = False) -> None:
    """Take what a job brought out of every number, an import as a whole; or put it back with --restore."""
    do(Settings(), "retract", job=job_id, undo=not restore)


@commands.command()
def adopt(
    study: str,
    yes: Annotated[
        bool, typer.Option("--yes", help="do not ask; what it would use is printed all the same")
    ] = False,
) -> None:
    """Take a study from elsewhere as your own, so that it can run, after reading what it would use."""
    jobs_path = Settings().jobs_path
    others = foreign_studies(jobs_path)
    if study not in others:
        raise UnknownNameError("study from elsewhere", study, others)
    say(f"The study {study!r} came from elsewhere. Adopted, it would use:")
    for sentence in foreign_uses(jobs_path, study).sentences:
        say(f"  {sentence}")
    if not (yes or typer.confirm("Do you trust it?")):
        raise CapsafeError("It was not adopted.", "Its facts can be explored as before.")
    with doing("adopt", study=study) as person:
        say(f"Adopted: {adopt_study(jobs_path, study, person)} job folders.")


@allow.command("server")
def allow_server(
    address: Annotated[str, typer.Argument(help="as studies name it, such as http://127.0.0.1:8000/v1")],
    key: Annotated[str, typer.Option(help="the environment variable whose value is sent along")] = UNTOLD,
) -> None:
    """Let jobs of this workspace send prompts and a key to an address."""
    try:
        server = Server(base_url=address, api_key_env=key)
    except ValueError as error:
        raise CapsafeError(
            f"{address!r} with the key in {key!r} cannot be allowed.",
            "Write an address such as http://127.0.0.1:8000/v1 without a user, ? or #,"
            " and a variable such as OPENAI_API_KEY.",
        ) from error
    with doing("allow server", server=server.base_url):
        Settings().allow_server(server)
    say(f"Jobs of this workspace may send prompts to {server}.")


@allow.command("python")
def allow_python(
    engine: Annotated[str, typer.Argument(help="transformers, vllm or openai")],
    python: Annotated[Path, typer.Argument(help="the python of the environment that the engine lives in")],
) -> None:
    """Choose the interpreter that runs an engine in this workspace."""
    with doing("allow python", engine=engine):
        Settings().allow_python(engine, python)
    say(f"{engine} runs with {python}.")


@allow.command("list")
def list_allowed() -> None:
    """What this workspace lets studies use."""
    settings = Settings()
    for engine in ENGINES:
        say(f"{engine} runs with {settings.python_of(engine)}.")
    for server in settings.servers:
        say(f"Prompts may be sent to {server}.")
