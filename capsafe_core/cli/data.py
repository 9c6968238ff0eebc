"""Commands that bring data in and take data out."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from capsafe_core.cli.owner_calls import do
from capsafe_core.cli.terminal import read_text, say, show_table, tell, write_file
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, open_job
from capsafe_core.jobs.importing import after_import, plan_import, read_survey, slug, survey_job
from capsafe_core.jobs.looking import (
    LOG_COLUMNS,
    Survey,
    conflict_words,
    reading_values,
    unknown_words,
    values_words,
)
from capsafe_core.jobs.packing import pack_jobs, unpack_bundle
from capsafe_core.jobs.record_job import record_study
from capsafe_core.jobs.supervisor import run_graph
from capsafe_core.mapping import ImportMapping, parse_mapping
from capsafe_core.settings import Settings
from capsafe_core.study import load_study

commands = typer.Typer()
MOST_TOLD = 20
"""failures of a job that are told one by one"""


@commands.command("import")
def import_logs(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="files and folders with logs of Inspect, lm-eval, HELM, HarmBench, JailbreakBench, XSTest "
            "and others, or tables"
        ),
    ],
    name: Annotated[str, typer.Option(help="the study that they become, or are added to")] = "",
    mapping: Annotated[Path | None, typer.Option(help="a TOML file that states what the logs do not")] = None,
    pattern: Annotated[
        str,
        typer.Option(
            help='where a path says which checkpoint it is: "{base}-{data}-s{seed}/checkpoint-{step}"'
        ),
    ] = "",
    conflicts: Annotated[
        str, typer.Option(help="where files say different things, which counts: first or last that was read")
    ] = "",
    dry_run: Annotated[bool, typer.Option(help="only say what would come of it")] = False,
    accept: Annotated[bool, typer.Option(help="take the guessed readings of judges too")] = False,
    strict: Annotated[bool, typer.Option(help="end at the first thing that cannot be used")] = False,
    save: Annotated[
        Path | None, typer.Option(help="write the mapping here, to be corrected and used again")
    ] = None,
) -> None:
    """Bring in other tools' logs: look at them, say what was recognised, and import them.

    Importing twice changes nothing.
    """
    settings = Settings()
    survey = _survey_of(settings, paths, _stated(paths, name, mapping, pattern, conflicts), strict)
    show_survey(survey)
    if save:
        write_file(save, survey.mapping.to_toml().encode())
        say(f"The mapping is in {save}.")
    if not dry_run:
        _import(settings, survey, accept)


def _stated(paths: Sequence[Path], name: str, mapping: Path | None, pattern: str, conflicts: str) -> str:
    """What the user states, as the text of a mapping; nothing where nothing is stated."""
    text = read_text(mapping) if mapping else ""
    if not (pattern or name or conflicts):
        return text
    base = parse_mapping(text, str(mapping)) if text else ImportMapping(name=slug(name or paths[0].stem))
    stated = {"pattern": pattern, "conflicts": conflicts, "name": slug(name) if name else ""}
    changed = base.model_copy(update={key: value for key, value in stated.items() if value})
    return parse_mapping(changed.to_toml()).to_toml()


def _survey_of(settings: Settings, paths: Sequence[Path], stated: str, strict: bool) -> Survey:
    """What a worker sees in the logs; its job leaves nothing behind.

    Raises:
        CapsafeError: looking at them ended early.
    """
    job = survey_job(settings.jobs_path, paths, stated, strict=strict)
    try:
        if not run_graph([job.manifest], settings.jobs_path, lambda _: None, settings):
            raise CapsafeError(job.status().message or "Looking at the logs ended early.", job.status().hint)
        survey = read_survey(job)
    finally:
        shutil.rmtree(job.folder, ignore_errors=True)
    assert survey is not None
    return survey


def _import(settings: Settings, survey: Survey, accept: bool) -> None:
    """Import what was recognised, put it back where it was retracted before, and say what came.

    Raises:
        CapsafeError: some of it could not be used; the rest is in the store.
    """
    known = do(settings, "find outputs", contents=survey.contents)["known"] if survey.contents else {}
    chosen = survey.accepted(accept)
    job, study = plan_import(settings.jobs_path, survey, chosen, known)
    then = after_import(job, study)
    whole = run_graph([job.manifest, *then], settings.jobs_path, lambda _: None, settings)
    result = do(settings, "look", job=job.job_id)
    if job.job_id in result["retracted"]:
        result = do(settings, "retract", job=job.job_id, undo=False)
    left = len(survey.mapping.judges) - len(chosen.judges)
    say(
        f"{job.job_id}: {result['brought']}"
        + (f" {left} guessed readings were left out; --accept takes them." if left else "")
    )
    begun = [job, *(open_job(settings.jobs_path / manifest.job_id) for manifest in then)]
    broken = [] if whole else [one for one in begun if one.state != "done"]
    if broken or result["problems"]:
        raise CapsafeError(
            "\n".join([*(sentence for one in broken for sentence in _failed(one)), *result["problems"]]),
            " ".join(f"`capsafe resume {one.job_id}` tries again what failed." for one in broken),
        )


def _failed(job: Job) -> list[str]:
    """Why a job did not do all of its work: the first of its failures, or how it ended."""
    told = [line["message"] for part in job.parts_with("errors.jsonl") for line in job.failures(part)]
    ends = [status.message for status in job.begun if status.message]
    more = [f"{len(told) - MOST_TOLD:,} more failed."] if len(told) > MOST_TOLD else []
    return [f"{job.job_id}: {job.state}. {' '.join(ends)}".strip(), *told[:MOST_TOLD], *more]


def show_survey(survey: Survey) -> None:
    """What was recognised, what each judge's values are taken to say, and what cannot be used."""
    say(survey.words)
    logs = pd.DataFrame(survey.logs)
    if len(logs):
        show_table(logs[list(LOG_COLUMNS)])
    if survey.mapping.pattern:
        say(f"pattern: {survey.mapping.pattern}")
    for column in survey.columns:
        where = f" ({column['files']:,} files)" if column["files"] > 1 else f" ({column['first']})"
        say(f"column {column['column'] or '(no name)'}: {column['use']}{where}")
    for label, step in survey.mapping.places.items():
        say(f"place {label}: step {step}")
    for name, benchmark in survey.mapping.benchmarks.items():
        say(
            f"benchmark {name}: {benchmark.kind}"
            + (f", called {benchmark.name}" if benchmark.name != name else "")
        )
    for i, reading in enumerate(survey.mapping.judges):
        say(
            ("guess: " if i in survey.guesses else "")
            + f"{reading.by} is {reading.dimension} by {reading.name}: {reading.words}"
            + (f", on {reading.benchmark}" if reading.benchmark else "")
            + f"; values: {values_words(reading_values(survey, reading)) or 'none'}"
        )
    for judge in survey.unread:
        values = values_words(judge["values"]) or "no values"
        say(
            f"not read: {judge['by']} on {judge['benchmark']} ({values});"
            " state what it says under [[judges]] in a mapping (--save)"
        )
    problems = [
        *filter(None, (survey.unplaced, unknown_words(survey))),
        *filter(None, [conflict_words(survey, survey.mapping.conflicts)]),
        *survey.left_out,
        *(p for f in survey.files for p in f["problems"]),
    ]
    tell(problems)


@commands.command()
def declare(study: Path) -> None:
    """Declare a study file without running anything, such as an import's draft with its goals filled in."""
    parsed, text = load_study(study)
    record_study(Settings().jobs_path, parsed, text)
    do(Settings(), "look")
    say(f"{parsed.name} is declared.")


@commands.command()
def snapshot(name: Annotated[str, typer.Argument()] = "snapshot.duckdb") -> None:
    """Copy the store into the exports folder, for notebooks; also while the app runs."""
    say(do(Settings(), "export", form="snapshot", name=name)["path"])


@commands.command()
def export(
    form: Annotated[
        str,
        typer.Argument(
            help="parquet or csv (every table), every-eval-ever, bundle (a study for another machine), "
            "model-card (sections and .eval_results beside published weights) or snapshot"
        ),
    ],
    name: Annotated[str, typer.Argument(help="of the new file or folder in the exports folder")] = "",
    study: str = "",
    texts: Annotated[bool, typer.Option(help="with --no-texts, Every Eval Ever gets no responses")] = True,
) -> None:
    """Take data out, into the exports folder."""
    say(do(Settings(), "export", form=form, name=name, study=study, texts=texts)["path"])


@commands.command()
def pack(study: Path, target: Path) -> None:
    """Pack the job folders of a study for shipping: manifests, status and compressed shards."""
    settings = Settings()
    parsed, text = load_study(study)
    record_study(settings.jobs_path, parsed, text)
    say(f"{pack_jobs(parsed, text, settings.jobs_path, target)} jobs in {target / 'jobs'}")


@commands.command()
def unbundle(file: Path) -> None:
    """Open a bundle that `capsafe export bundle` wrote. Nothing of it runs until you adopt it."""
    settings = Settings()
    unpacked = unpack_bundle(file, settings.jobs_path)
    found = do(settings, "look", study=unpacked.study)
    say(" ".join(filter(None, (unpacked.words, found["overlap"]))))
    if found["problems"]:
        raise CapsafeError("\n".join(found["problems"]))
