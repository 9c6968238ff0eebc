"""Commands that carry out work: a study, one more judge, the detector; and the jobs of the workspace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from capsafe_core import catalogue
from capsafe_core.cli.owner_calls import do
from capsafe_core.cli.terminal import say, tell
from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.jobs import supervisor
from capsafe_core.jobs.engine_environment import prepare
from capsafe_core.jobs.folder import Job, Manifest, list_jobs, read_jobs
from capsafe_core.jobs.folder.rewrites import rewrites_words
from capsafe_core.jobs.folder.work import FinetuneWork, JudgeWork
from capsafe_core.jobs.new_run import (
    add_judge,
    cost_of,
    duration,
    planned,
    probe_job,
    train_detector,
)
from capsafe_core.jobs.own_checkpoints import find_checkpoints, require_whole
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.previewing import learnt_of, preview_job, rewrites_of
from capsafe_core.jobs.record_job import record_study, recorded_study
from capsafe_core.jobs.stressing import stress_jobs
from capsafe_core.jobs.supervisor import look_again_after, run_graph
from capsafe_core.jobs.turns import Share
from capsafe_core.jobs.watching import watch_over
from capsafe_core.records import canonical_json
from capsafe_core.settings import Settings
from capsafe_core.study import JudgeSettings, Study, load_study

commands = typer.Typer()


@commands.command()
def run(
    study: Path,
    limit: Annotated[float | None, typer.Option(help="start no further job after this many minutes")] = None,
    part: Annotated[
        str,
        typer.Option(
            help="this worker's part of the work, as 3/8; start the other seven elsewhere, on the same jobs "
            "folder. One that has done its part goes on with what nobody has begun"
        ),
    ] = "1/1",
    only: Annotated[
        list[str] | None, typer.Option(help="only jobs of this kind: finetune, mitigate, generate or judge")
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            help="go on with checkpoints that appear while somebody trains; until every step that the study "
            "names is there, or Ctrl-C"
        ),
    ] = False,
) -> None:
    """Carry out a study: fine-tune, generate, judge. What is done is skipped, what failed is tried again."""
    settings = Settings()
    share = _share(part)
    parsed, text = load_study(study)
    if parsed.is_imported:
        raise CapsafeError(
            f"The outputs of {parsed.name!r} were imported; nothing of it can be generated here.",
            "`capsafe declare` makes a changed study file count; `capsafe judge` lets another judge look.",
        )
    record_study(settings.jobs_path, parsed, text)
    unknown = set(only or ()) - {"finetune", "mitigate", "generate", "judge"}
    if unknown:
        raise CapsafeError(
            f"There are no jobs of kind {unknown.pop()!r}.", "Use finetune, mitigate, generate or judge."
        )
    if not watch:
        for recipe in parsed.recipes:
            if recipe.folders:
                require_whole(recipe, find_checkpoints(recipe))
    seconds = limit and limit * 60

    def graph() -> list[Manifest]:
        jobs = planned(settings.jobs_path, parsed, watch, share.of)
        return [m for m in jobs if not only or m.kind in only]

    def pass_over() -> bool:
        return run_graph(graph(), settings.jobs_path, say, settings, seconds, share)

    if share.index == 0:  # others of a share come to the same
        _require_learnable(settings, parsed, graph())

    if not (watch_over(parsed, settings.jobs_path, pass_over, seconds) if watch else pass_over()):
        raise CapsafeError(
            "Not everything is done.",
            f"Run `capsafe run {study}` again to go on; `capsafe jobs` shows what stands where.",
        )


def _require_learnable(settings: Settings, study: Study, jobs: Sequence[Manifest]) -> None:
    """Look at the data of fine-tunings that are not done, and say how much of it is cut off.

    Raises:
        CapsafeError: some of it cannot be learnt; nothing was started.
    """
    root = settings.jobs_path
    todo = [m for m in jobs if m.kind == "finetune" and Job(root / m.job_id, m).state != "done"]
    if not todo:
        return
    look = preview_job(root, study.name, todo)
    run_graph([look.manifest], root, lambda _: None, settings)
    for learnt in learnt_of(look) or ():
        if not learnt.can_be_learnt:
            raise CapsafeError(learnt.words, "Nothing was started. Fix that, then run it again.")
        if learnt.cut:
            say(learnt.words)


@commands.command()
def learnt(
    study: str, json: Annotated[bool, typer.Option("--json", help="print JSON records")] = False
) -> None:
    """What a study's fine-tuning learns: ten conversations of each data set, what carries loss in ⟦ ⟧."""
    settings = Settings()
    parsed = _study(study)[0]
    look = preview_job(settings.jobs_path, parsed.name, plan_study(parsed))
    run_graph([look.manifest], settings.jobs_path, lambda _: None, settings)
    found = learnt_of(look)
    if found is None:
        raise CapsafeError(f"The look ended early: {look.status().message}", look.status().hint)
    if json:
        say(canonical_json([asdict(one) for one in found]))
        return
    for one in found:
        say(one.words)
        for example in one.examples:
            text = "".join(f"⟦{piece}⟧" if is_learnt else piece for piece, is_learnt in example["pieces"])
            say(f"--- {example['place']}{' (cut off)' if example['was_cut'] else ''}\n{text}")
    for job, rewrites in rewrites_of(settings.jobs_path, parsed.name):
        say(f"{job.manifest.name}. {rewrites_words(rewrites)}")


def _share(text: str) -> Share:
    """A worker's share as the command line has it, such as 3/8.

    Raises:
        CapsafeError: it is not a part of a whole.
    """
    index, _, of = text.partition("/")
    if not (index.isdigit() and of.isdigit() and 1 <= int(index) <= int(of)):
        raise CapsafeError(
            f"The part {text!r} cannot be read.", "Write which of how many, such as --part 3/8."
        )
    return Share(int(index) - 1, int(of))


def _study(name: str) -> tuple[Study, str]:
    """A study by its file, or by its name where it was run in this workspace."""
    return (
        load_study(Path(name)) if Path(name).suffix == ".toml" else recorded_study(Settings().jobs_path, name)
    )


@commands.command()
def judge(
    study: Annotated[str, typer.Argument(help="a study file, or the name of a study that was run here")],
    name: Annotated[
        str,
        typer.Argument(help="the judge, as `capsafe catalogue` lists it or as your own file is to be called"),
    ],
    model: Annotated[
        str,
        typer.Option(
            help="the model of a judge that is one: a folder or a hub id; without it, the judge's own weights"
        ),
    ] = "",
    file: Annotated[Path | None, typer.Option(help="a TOML file with a judge of your own")] = None,
    answer: Annotated[str, typer.Option(help='"constrained" to read P(unsafe) at the first word')] = "",
    trusted: Annotated[bool, typer.Option(help="let code that comes with the model run")] = False,
    pickles: Annotated[bool, typer.Option(help="let weights be loaded that are not safetensors")] = False,
) -> None:
    """Let one more judge look at the outputs that a study has; nothing is generated again."""
    settings = Settings()
    parsed, text = _study(study)
    chosen = JudgeSettings(
        name=name,
        model=model or None,
        file=file and file.resolve(),
        config={"answer": answer} if answer else {},
        trusted=trusted,
        pickles=pickles,
    )
    job = add_judge(settings.jobs_path, parsed, text, chosen)
    whole = run_graph([job.manifest], settings.jobs_path, say, settings)
    _take_in(settings, job)
    if not whole:
        raise CapsafeError("The judging is not finished.", f"`capsafe resume {job.job_id}` goes on.")


@commands.command()
def stress(
    study: Annotated[str, typer.Argument(help="a study file, or the name of a study that was run here")],
    judge: Annotated[list[str] | None, typer.Option(help="only this judge; may be repeated")] = None,
    answers: Annotated[
        int, typer.Option(min=1, help="coherent responses of each of a judge's verdicts")
    ] = 40,
) -> None:
    """Let the judges look at coherent responses that are broken on purpose: which verdicts change, when."""
    settings = Settings()
    jobs = stress_jobs(settings.jobs_path, _study(study)[0], judge or (), answers)
    whole = run_graph([job.manifest for job in jobs], settings.jobs_path, say, settings)
    for job in jobs:
        _take_in(settings, job)
    if not whole:
        raise CapsafeError("Not everything is done.", "Run the command again to go on.")


def _take_in(settings: Settings, job: Job) -> None:
    """Have the store read what a job made, or say that it has not and what will."""
    made = f"{job.job_id}: {sum(status.done for status in job.begun):,} records"
    try:
        problems = do(settings, "look")["problems"]
    except CapsafeError as error:
        say(
            f"{made}. The store has not read them yet: {error.message} The app reads them when it runs, and "
            "`capsafe ingest` does so now."
        )
        return
    say(f"{made}, in the store.")
    tell(problems)


@commands.command("catalogue")
def list_catalogue() -> None:
    """The judges of the catalogue: what each says, and what it makes of broken text."""
    for name, entry in catalogue.judges().items():
        say(
            f"{name:30} {', '.join(entry['dimensions']):28} "
            + ("UNVERIFIED; " if entry.get("unverified") else "")
            + entry["stance"]
        )


@commands.command()
def cost(study: str) -> None:
    """What a study's generating will cost: prompts, tokens and time, measured on a few answers."""
    settings = Settings()
    job = probe_job(settings.jobs_path, _study(study)[0])
    if not run_graph([job.manifest], settings.jobs_path, lambda _: None, settings):
        raise CapsafeError(f"The measurement ended early: {job.status().message}", job.status().hint)
    found = cost_of(job)
    say(found.words if found else "nothing was measured")


@commands.command()
def finetune(study: Path, recipe: str) -> None:
    """Only the fine-tuning of one recipe of a study, and what it needs."""
    settings = Settings()
    parsed, _ = load_study(study)
    if recipe not in {r.name for r in parsed.recipes}:
        raise CapsafeError(
            f"The study has no recipe {recipe!r}.", f"There are: {', '.join(r.name for r in parsed.recipes)}."
        )
    jobs = [job for job in plan_study(parsed) if job.kind == "finetune"]
    needed = {job.job_id for job in jobs if job.asks(FinetuneWork).path.recipe == recipe}
    for job in reversed(jobs):  # a job stands after those it needs
        needed |= set(job.after) if job.job_id in needed else set()
    _require_learnable(settings, parsed, [job for job in jobs if job.job_id in needed])
    if not run_graph([job for job in jobs if job.job_id in needed], settings.jobs_path, say, settings):
        raise CapsafeError("The fine-tuning is not finished.", "Run the command again to go on.")


@commands.command()
def detector(study: Annotated[str, typer.Argument(help="the name of a study that was run here")]) -> None:
    """Train the detector of incoherence on people's labels, and let it look at every output of a study."""
    settings = Settings()
    parsed, text = recorded_study(settings.jobs_path, study)
    job = train_detector(
        settings.jobs_path, parsed, text, do(settings, "labelled answers", study=study)["rows"], settings
    )
    whole = run_graph([job.manifest], settings.jobs_path, say, settings)
    _take_in(settings, job)
    if not whole:
        raise CapsafeError("The judging is not finished.", f"`capsafe resume {job.job_id}` goes on.")
    held = job.manifest.asks(JudgeWork).config["fitted"]["held_out"]
    say(
        f"{job.job_id}: on held-out prompts recall {held['recall']:.2f}, precision {held['precision']:.2f},"
        f" AUC {held['auc']:.2f}, of {held['n']} labels"
    )


@commands.command("engine")
def prepare_engine() -> None:
    """Prepare the environment that runs models: transformers, torch and a small model, about 1.2 GB."""
    state = prepare()
    if not state.ready:
        raise CapsafeError(f"The engine's environment {state.words}")
    say(f"The engine's environment is {state.words}")


@commands.command()
def jobs() -> None:
    """The jobs of the workspace."""
    known, unreadable = read_jobs(Settings().jobs_path)
    tell(unreadable)
    for job in known:
        if job.manifest.kind in ("annotate", "survey"):  # `capsafe queue list` shows what people do
            continue
        parts = job.begun
        status = next((p for p in parts if p.state != "done"), parts[0])
        left = f", {duration(status.seconds_left)} left" if status.seconds_left is not None else ""
        done, total = sum(p.done for p in parts), sum(p.total for p in parts)
        say(f"{job.state:8} {job.job_id} {done}/{total}{left} {status.message}".rstrip())


@commands.command()
def stop(job_id: str) -> None:
    """Ask a job to end after the batch it is at."""
    _find(job_id).ask_to_stop()


@commands.command()
def resume(job_id: str) -> None:
    """Go on with a job that was stopped, failed or was lost, or try again what failed in it: one part after
    the other, up to the first that ends early."""
    job = _find(job_id)
    missing = [name for name in job.manifest.after if not _find(name).ended]
    if missing:
        raise CapsafeError(
            f"{job_id} comes after jobs that are not done: {', '.join(missing[:3])}.", "Resume those first."
        )
    job.clear_stop()
    if job.state == "partial":
        look_again_after(job)
    supervisor.resume(job)
    _take_in(Settings(), job)
    if job.state != "done":
        status = next(s for s in job.statuses if s.state != "done")
        raise CapsafeError(f"{job_id} is {job.state}. {status.message}", status.hint)


def _find(job_id: str) -> Job:
    jobs = {job.job_id: job for job in list_jobs(Settings().jobs_path)}
    if job_id not in jobs:
        raise UnknownNameError("job", job_id, jobs, "`capsafe jobs` lists them.")
    return jobs[job_id]
