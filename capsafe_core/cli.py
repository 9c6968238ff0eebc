"""The `capsafe` command."""

from __future__ import annotations

import dataclasses
import getpass
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import pandas as pd
import typer
from plotly.io import from_json

from capsafe_core import catalogue
from capsafe_core.analysis.by_name import TABLES, table
from capsafe_core.annotation import QUESTIONS, QueueSettings
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, list_jobs, read_jobs
from capsafe_core.jobs.foreign import adopt as adopt_study
from capsafe_core.jobs.foreign import foreign_studies
from capsafe_core.jobs.importing import Survey, after_import, plan_import, read_survey, slug, survey_job
from capsafe_core.jobs.new_run import add_judge, cost_of, duration, planned, probe_job, train_detector
from capsafe_core.jobs.packing import pack_jobs, unpack_bundle, unpack_jobs
from capsafe_core.jobs.permission import UNTOLD, foreign_uses
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.record_job import record_study, recorded_study
from capsafe_core.jobs.supervisor import Share, look_again_after, run_graph, start_worker
from capsafe_core.labelling.desk import Desk
from capsafe_core.mapping import ImportMapping, parse_mapping
from capsafe_core.people import person_named
from capsafe_core.report.document import Report, items_of, read_provenance
from capsafe_core.report.html import to_pdf
from capsafe_core.report.printed import to_figure_pdf, to_svg
from capsafe_core.selection import Selection
from capsafe_core.settings import ENGINES, ROOT, Server, Settings
from capsafe_core.store import Store
from capsafe_core.store.export import guarded_csv
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.rebuild import check_all, rebuild_store
from capsafe_core.study import JudgeSettings, Study, load_study
from capsafe_core.text import visible
from capsafe_core.workspace.actions import act
from capsafe_core.workspace.service import ask, ask_to, from_owner, open_store
from capsafe_core.writing import refusal, whole

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="What fine-tuning bought, what it cost in safety, and how far to trust that number.",
    pretty_exceptions_enable=False,
)
T = TypeVar("T")
PROBLEMS = 40
"""sentences about what was set aside that are printed"""
Names = Annotated[list[str] | None, typer.Option()]
Goals = Annotated[
    list[str] | None, typer.Option(help="another capability goal, as sums=0.6; one for each data set")
]


def say(text: object, err: bool = False, nl: bool = True) -> None:
    """The one place that prints: what would steer a terminal, or cannot be seen on one, is written out."""
    typer.echo(visible(str(text)), err=err, nl=nl)


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


@app.command("app")
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


def _table_command(name: str) -> None:
    def command(
        study: str = "",
        benchmark: Names = None,
        judge: Names = None,
        recipe: Names = None,
        policy: Annotated[str, typer.Option(help="as_judged, counted_safe, counted_unsafe or excluded")] = "",
        search: Annotated[str, typer.Option(help="only answers that contain this")] = "",
        goal: Goals = None,
        crossing: Annotated[
            str, typer.Option(help="which crossing of the goal counts: first, last or safest")
        ] = "",
        claim: Annotated[
            str, typer.Option(help="what `conclusions` tests, as `capsafe claims` lists it")
        ] = "",
        truncated: Annotated[bool, typer.Option(help="keep outputs cut off by the token limit")] = True,
        json: Annotated[bool, typer.Option("--json", help="print JSON records")] = False,
        csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
        latex: Annotated[bool, typer.Option("--latex", help="print a LaTeX table (booktabs)")] = False,
    ) -> None:
        chosen = Selection(
            study=study,
            benchmarks=tuple(benchmark or ()),
            judges=tuple(judge or ()),
            recipes=tuple(recipe or ()),
            policy=policy,
            search=search,
            truncated=truncated,
            claim=claim,
            goals=_goals(goal or []),
            crossing=crossing,
        )
        _print(fetch_table(Settings(), name, chosen), json, csv, latex)

    command.__doc__ = (TABLES[name].__doc__ or f"The {name} table.").split("\n")[0]
    app.command(name)(command)


def _way(
    study: str,
    benchmark: list[str] | None,
    judge: list[str] | None,
    policy: str = "",
    crossing: str = "",
    goal: list[str] | None = None,
) -> dict[str, str]:
    """A way of asking as the command line has it, as URL parameters."""
    return Selection(
        study=study,
        benchmarks=tuple(benchmark or ()),
        judges=tuple(judge or ()),
        policy=policy,
        crossing=crossing,
        goals=_goals(goal or []),
    ).to_query()


def _goals(texts: list[str]) -> tuple[tuple[str, float], ...]:
    """Goals as the command line has them.

    Raises:
        CapsafeError: one of them is no data set and share.
    """
    out = []
    for text in texts:
        name, _, value = text.partition("=")
        try:
            goal = float(value)
        except ValueError:
            goal = -1.0
        if not name or not 0 <= goal <= 1:
            raise CapsafeError(
                f"The goal {text!r} cannot be read.",
                "Write a data set and a share of right answers, such as --goal sums=0.6.",
            )
        out.append((name, goal))
    return tuple(out)


def fetch_table(settings: Settings, name: str, chosen: Selection) -> pd.DataFrame:
    """A table from the running app where it owns the store, else from the store itself.

    Raises:
        CapsafeError: neither can be had.
    """
    return from_owner(
        settings, lambda path: ask(path, name, chosen), lambda store: table(store, name, chosen)
    )


def do(settings: Settings, action: str, /, **arguments: Any) -> dict[str, Any]:
    """One of `workspace.actions`, by the running app where it owns the store, else here.

    Raises:
        CapsafeError: it cannot be done.
    """
    person = person_named(getpass.getuser())

    def alone(store: Store) -> dict[str, Any]:
        ingest_all(store, settings.jobs_path)
        desk = Desk(store, settings.jobs_path)
        try:
            return act(desk, action, person, arguments)
        finally:
            desk.close()

    return from_owner(settings, lambda path: ask_to(path, action, person, arguments), alone)


def _print(frame: pd.DataFrame, as_json: bool = False, as_csv: bool = False, as_latex: bool = False) -> None:
    if as_json:
        say(frame.to_json(orient="records", indent=1))
    elif as_csv:
        say(guarded_csv(frame).replace("\r\n", "\n"), nl=False)
    elif as_latex:
        say(frame.to_latex(index=False, float_format="%.3g", escape=True, na_rep="--"), nl=False)
    else:
        say(frame.to_string(index=False, max_colwidth=40) if len(frame) else "nothing")


for _name in TABLES:
    _table_command(_name)


@app.command()
def run(
    study: Path,
    limit: Annotated[float | None, typer.Option(help="start no further job after this many minutes")] = None,
    part: Annotated[
        str,
        typer.Option(
            help="this worker's part of the work, as 3/8; start the other seven elsewhere, on the same jobs folder"
        ),
    ] = "1/1",
    only: Annotated[
        list[str] | None, typer.Option(help="only jobs of this kind: finetune, generate or judge")
    ] = None,
) -> None:
    """Carry out a study: fine-tune, generate, judge. What is done is not done again, what failed is tried again."""
    settings = Settings()
    share = _share(part)
    parsed, text = load_study(study)
    if parsed.is_imported:
        raise CapsafeError(
            f"The outputs of {parsed.name!r} were imported; nothing of it can be generated here.",
            "`capsafe declare` makes a changed study file count; `capsafe judge` lets another judge look.",
        )
    record_study(settings.jobs_path, parsed, text)
    unknown = set(only or ()) - {"finetune", "generate", "judge"}
    if unknown:
        raise CapsafeError(
            f"There are no jobs of kind {unknown.pop()!r}.", "Use finetune, generate or judge."
        )
    graph = planned(settings.jobs_path, parsed) if share.of == 1 else plan_study(parsed, share.of)
    manifests = [m for m in graph if not only or m.kind in only]
    if not run_graph(manifests, settings.jobs_path, say, settings, limit and limit * 60, share):
        raise CapsafeError(
            "Not everything is done.",
            f"Run `capsafe run {study}` again to go on; `capsafe jobs` shows what stands where.",
        )


def _share(text: str) -> Share:
    """A worker's share as the command line has it, such as 3/8.

    Raises:
        CapsafeError: it is no part of a whole.
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


@app.command()
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
    if not run_graph([job.manifest], settings.jobs_path, say, settings):
        raise CapsafeError("The judging is not finished.", f"`capsafe resume {job.job_id}` goes on.")
    say(f"{job.job_id}: {job.status().done} records.")


@app.command("catalogue")
def list_catalogue() -> None:
    """The judges of the catalogue: what each says, and what it makes of broken text."""
    for name, entry in catalogue.judges().items():
        say(
            f"{name:30} {', '.join(entry['dimensions']):28} {'UNVERIFIED; ' if entry.get('unverified') else ''}{entry['stance']}"
        )


@app.command()
def cost(study: str) -> None:
    """What a study's generating will cost: prompts, tokens and time, measured on a few answers."""
    settings = Settings()
    job = probe_job(settings.jobs_path, _study(study)[0])
    if not run_graph([job.manifest], settings.jobs_path, lambda _: None, settings):
        raise CapsafeError(f"The measurement ended early: {job.status().message}", job.status().hint)
    found = cost_of(job)
    say(found.words if found else "nothing was measured")


@app.command()
def finetune(study: Path, recipe: str) -> None:
    """Only the fine-tuning of one recipe of a study, and what it needs."""
    settings = Settings()
    parsed, _ = load_study(study)
    if recipe not in {r.name for r in parsed.recipes}:
        raise CapsafeError(
            f"The study has no recipe {recipe!r}.", f"There are: {', '.join(r.name for r in parsed.recipes)}."
        )
    jobs = [job for job in plan_study(parsed) if job.kind == "finetune"]
    needed = {job.job_id for job in jobs if job.work["path"]["recipe"] == recipe}
    for job in reversed(jobs):  # a job stands after those it needs
        needed |= set(job.after) if job.job_id in needed else set()
    if not run_graph([job for job in jobs if job.job_id in needed], settings.jobs_path, say, settings):
        raise CapsafeError("The fine-tuning is not finished.", "Run the command again to go on.")


queue = typer.Typer(no_args_is_help=True, help="Queues of outputs that people label.")
app.add_typer(queue, name="queue")
labels = typer.Typer(no_args_is_help=True, help="People's labels as files.")
app.add_typer(labels, name="labels")


@queue.command("make")
def make_queue(
    name: str,
    study: str = "",
    benchmark: Names = None,
    recipe: Names = None,
    checkpoint: Names = None,
    outcome: Annotated[
        list[str] | None,
        typer.Option(help="only outputs with this outcome: incoherent, unsafe, refusal or safe"),
    ] = None,
    search: Annotated[str, typer.Option(help="only answers that contain this")] = "",
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
) -> None:
    """Draw outputs for people to label, each with a known chance."""
    selection = Selection(
        study=study,
        benchmarks=tuple(benchmark or ()),
        recipes=tuple(recipe or ()),
        checkpoints=tuple(checkpoint or ()),
        outcomes=tuple(outcome or ()),
        search=search,
    )
    settings = QueueSettings(
        name, tuple(question or QUESTIONS), strategy, share, size, annotators, repeats, blind, seed
    )
    made = do(Settings(), "make queue", settings=dataclasses.asdict(settings), selection=selection.to_query())
    say(f"{made['queue']}: {made['words']}")


@queue.command("list")
def list_queues() -> None:
    """Every queue and how far it is."""
    _print(pd.DataFrame(do(Settings(), "list queues")["rows"]))


@queue.command("extend")
def extend_queue(name: str, more: int) -> None:
    """Add items to a queue, further along the same random order."""
    say(do(Settings(), "extend queue", queue=name, more=more)["words"])


@queue.command("state")
def queue_state(name: str, state: Annotated[str, typer.Argument(help="open, paused or closed")]) -> None:
    """Pause a queue, open it again, or close it."""
    say(do(Settings(), "queue state", queue=name, state=state)["state"])


@labels.command("out")
def labels_out(
    target: Path,
    queue_name: Annotated[
        str, typer.Option("--queue", help="only of this queue, with what is not labelled yet")
    ] = "",
    form: Annotated[str, typer.Option("--format", help="jsonl, csv, label-studio or argilla")] = "jsonl",
) -> None:
    """Write labels to a file."""
    _write(
        target,
        do(Settings(), "take labels out", queue=queue_name, form=form)["text"].encode("utf-8", "replace"),
    )
    say(str(target))


@labels.command("in")
def labels_in(source: Path) -> None:
    """Bring in labels that were made elsewhere: JSONL, CSV, or an export of Label Studio or Argilla."""
    found = do(Settings(), "bring labels in", text=_read_text(source), name=source.stem)
    for problem in found["problems"]:
        say(problem, err=True)
    say(found["words"] + (f" {len(found['problems'])} could not be used." if found["problems"] else ""))


@app.command()
def guidelines(
    file: Annotated[
        Path | None, typer.Argument(help="a new version, as TOML; without it the one in force is printed")
    ] = None,
) -> None:
    """What annotators go by."""
    now = do(Settings(), "guidelines", text=_read_text(file) if file else "")
    say(f"version {now['version']}" if file else now["text"])


@app.command()
def detector(study: Annotated[str, typer.Argument(help="the name of a study that was run here")]) -> None:
    """Train the detector of incoherence on people's labels, and let it look at every output of a study."""
    settings = Settings()
    parsed, text = recorded_study(settings.jobs_path, study)
    job = train_detector(
        settings.jobs_path, parsed, text, do(settings, "labelled answers", study=study)["rows"], settings
    )
    if not run_graph([job.manifest], settings.jobs_path, say, settings):
        raise CapsafeError("The judging is not finished.", f"`capsafe resume {job.job_id}` goes on.")
    held = job.manifest.work["config"]["fitted"]["held_out"]
    say(
        f"{job.job_id}: on held-out prompts recall {held['recall']:.2f}, precision {held['precision']:.2f}, AUC {held['auc']:.2f}, of {held['n']} labels"
    )


@app.command()
def ingest() -> None:
    """Read what is new in the job folders into the store."""
    settings = Settings()
    with open_store(settings) as store:
        result, problems = ingest_all(store, settings.jobs_path)
    say(f"{result.rows} rows, {result.conflicts} conflicts, {result.errors} errors")
    if problems:
        raise CapsafeError("\n".join(str(problem) for problem in problems))


@app.command()
def rebuild() -> None:
    """Make the store again from the job folders; the old one is not opened, and is kept under a dated name."""
    settings = Settings()
    made = rebuild_store(settings.store_path, settings.jobs_path, settings.memory_limit, settings.threads)
    _tell(made.problems)
    say(
        f"{made.read.rows} rows from {len(list_jobs(settings.jobs_path))} jobs"
        + (f"; the old store is kept as {made.kept}" if made.kept else "")
    )


@app.command()
def check() -> None:
    """Look for damage in the store and in the job folders, and compare everything that is derived with the facts."""
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


@app.command()
def snapshot(name: Annotated[str, typer.Argument()] = "snapshot.duckdb") -> None:
    """Copy the store into the exports folder, for notebooks; also while the app runs."""
    say(do(Settings(), "export", form="snapshot", name=name)["path"])


@app.command()
def export(
    form: Annotated[
        str,
        typer.Argument(
            help="parquet or csv (every table), every-eval-ever, bundle (a study that another machine opens) or snapshot"
        ),
    ],
    name: Annotated[str, typer.Argument(help="of the new file or folder in the exports folder")] = "",
    study: str = "",
    texts: Annotated[bool, typer.Option(help="with --no-texts, Every Eval Ever gets no answers")] = True,
) -> None:
    """Take data out, into the exports folder."""
    say(do(Settings(), "export", form=form, name=name, study=study, texts=texts)["path"])


@app.command()
def report(
    target: Annotated[
        Path | None,
        typer.Argument(help="the new file: .html, .pdf or .pptx; without it, what can be reported is listed"),
    ] = None,
    item: Annotated[
        list[str] | None,
        typer.Option(
            help="a finding, in the order of the report: overview[:RECIPE], capability, conclusion[:CLAIM], judges, incoherence, output:ID"
        ),
    ] = None,
    words: Annotated[
        list[str] | None,
        typer.Option(
            help="a sentence of your own for a finding, as KEY=SENTENCE; the drafted one stays beside it"
        ),
    ] = None,
    show: Annotated[
        list[str] | None,
        typer.Option(help="the id of an output whose text is shown; all others are redacted"),
    ] = None,
    audience: Annotated[
        str,
        typer.Option(
            help="stakeholder (plain words, one finding a page) or reviewer (methods, tables, everything left out)"
        ),
    ] = "stakeholder",
    title: str = "",
    study: str = "",
    benchmark: Names = None,
    judge: Names = None,
    policy: str = "",
    crossing: str = "",
    goal: Goals = None,
    verify: Annotated[
        Path | None,
        typer.Option(help="an HTML report whose numbers are computed again; those that differ are named"),
    ] = None,
) -> None:
    """Write a report of findings, or compute the numbers of one again."""
    settings = Settings()
    if verify:
        different = do(settings, "verify report", provenance=read_provenance(verify))["differences"]
        if different:
            raise CapsafeError(
                "\n".join(different), f"{len(different)} differ: the store has changed, or capsafe has."
            )
        say("Every number of the report comes out the same.")
        return
    selection = _way(study, benchmark, judge, policy, crossing, goal)
    if target is None:
        for row in do(settings, "list findings", selection=selection)["rows"]:
            say(f"{row['item']:44} {row['finding']}")
        return
    if target.suffix not in (".html", ".pdf", ".pptx"):
        raise CapsafeError(f"No report has the ending {target.suffix!r}.", "Use .html, .pdf or .pptx.")
    chosen = Report(title, items_of(item or (), words or (), show or ()), audience)
    made = do(
        settings,
        "report",
        report=dataclasses.asdict(chosen),
        selection=selection,
        form="pptx" if target.suffix == ".pptx" else "html",
    )
    _write(
        target,
        bytes.fromhex(made["pptx"])
        if target.suffix == ".pptx"
        else to_pdf(made["html"])
        if target.suffix == ".pdf"
        else made["html"].encode("utf-8", "replace"),
    )
    say(str(target))


@app.command()
def figure(
    item: Annotated[
        str, typer.Argument(help="overview[:RECIPE], capability, conclusion[:CLAIM], judges or incoherence")
    ],
    target: Annotated[Path, typer.Argument(help="the new file: .svg or .pdf")],
    width: Annotated[str, typer.Option(help="one or two columns of a journal: 85 or 175 mm")] = "one",
    study: str = "",
    benchmark: Names = None,
    judge: Names = None,
    policy: str = "",
    crossing: str = "",
    goal: Goals = None,
) -> None:
    """Write the figure of a finding for print; its alt text goes along."""
    selection = _way(study, benchmark, judge, policy, crossing, goal)
    if target.suffix not in (".svg", ".pdf"):
        raise CapsafeError(f"No figure has the ending {target.suffix!r}.", "Use .svg or .pdf.")
    made = do(Settings(), "figure", item=item, selection=selection)
    drawn = from_json(made["figure"])
    _write(
        target,
        to_svg(drawn, made["alt"], width).encode("utf-8", "replace")
        if target.suffix == ".svg"
        else to_figure_pdf(drawn, made["alt"], width),
    )
    say(f"{target}\nalt text: {made['alt']}")


@app.command()
def cite(study: str = "", benchmark: Names = None, judge: Names = None) -> None:
    """BibTeX of the benchmarks, judges and methods that a selection uses."""
    say(do(Settings(), "cite", selection=_way(study, benchmark, judge))["text"], nl=False)


@app.command()
def unbundle(file: Path) -> None:
    """Open a bundle that `capsafe export bundle` wrote, here or on another machine. Nothing of it runs until you adopt it."""
    settings = Settings()
    unpacked = unpack_bundle(file, settings.jobs_path)
    found = do(settings, "look")
    say(unpacked.words)
    if found["problems"]:
        raise CapsafeError("\n".join(found["problems"]))


@app.command()
def adopt(
    study: str,
    yes: Annotated[
        bool, typer.Option("--yes", help="do not ask; what it would use is printed all the same")
    ] = False,
) -> None:
    """Take a study that came from elsewhere as your own, so that it can run, after reading what it would use."""
    jobs_path = Settings().jobs_path
    if study not in foreign_studies(jobs_path):
        others = ", ".join(foreign_studies(jobs_path))
        raise CapsafeError(
            f"There is no study {study!r} to adopt.", f"These came from elsewhere: {others or 'none'}."
        )
    say(f"The study {study!r} came from elsewhere. Adopted, it would use:")
    for sentence in foreign_uses(jobs_path, study).sentences:
        say(f"  {sentence}")
    if not (yes or typer.confirm("Do you trust it?")):
        raise CapsafeError("It was not adopted.", "Its facts can be explored as before.")
    say(f"Adopted: {adopt_study(jobs_path, study, getpass.getuser())} job folders.")


allow = typer.Typer(
    no_args_is_help=True, help="What this workspace lets studies use: servers with their keys, interpreters."
)
app.add_typer(allow, name="allow")


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
            "Write an address such as http://127.0.0.1:8000/v1 without a user, ? or #, and a variable such as OPENAI_API_KEY.",
        ) from error
    Settings().allow_server(server)
    say(f"Jobs of this workspace may send prompts to {server}.")


@allow.command("python")
def allow_python(
    engine: Annotated[str, typer.Argument(help="transformers, vllm or openai")],
    python: Annotated[Path, typer.Argument(help="the python of the environment that the engine lives in")],
) -> None:
    """Choose the interpreter that runs an engine in this workspace."""
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


@app.command()
def retract(job_id: str, restore: bool = False) -> None:
    """Take what a job brought out of every number, an import as a whole; or put it back with --restore."""
    do(Settings(), "retract", job=job_id, undo=not restore)


@app.command("import")
def import_logs(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="files and folders with logs of Inspect, lm-eval, HELM, HarmBench, JailbreakBench, XSTest and others, or tables"
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
    dry_run: Annotated[bool, typer.Option(help="only say what would come of it")] = False,
    accept: Annotated[bool, typer.Option(help="take the guessed readings of judges too")] = False,
    strict: Annotated[bool, typer.Option(help="end at the first thing that cannot be used")] = False,
    save: Annotated[
        Path | None, typer.Option(help="write the mapping here, to be mended and used again")
    ] = None,
) -> None:
    """Bring in other tools' logs: look at them, say what was recognised, and import them. Importing twice changes nothing."""
    settings = Settings()
    stated = _read_text(mapping) if mapping else ""
    if pattern or name:
        base = (
            parse_mapping(stated, str(mapping)) if stated else ImportMapping(name=slug(name or paths[0].stem))
        )
        stated = parse_mapping(
            base.model_copy(
                update={
                    key: value
                    for key, value in (("pattern", pattern), ("name", slug(name) if name else ""))
                    if value
                }
            ).to_toml()
        ).to_toml()
    job = survey_job(settings.jobs_path, paths, stated, strict=strict)
    try:
        if not run_graph([job.manifest], settings.jobs_path, lambda _: None, settings):
            raise CapsafeError(job.status().message or "Looking at the logs ended early.", job.status().hint)
        survey = read_survey(job)
    finally:
        shutil.rmtree(job.folder, ignore_errors=True)
    assert survey is not None
    _print_survey(survey)
    if save:
        _write(save, survey.mapping.to_toml().encode())
        say(f"The mapping is in {save}.")
    if dry_run:
        return
    known = do(settings, "find outputs", contents=survey.contents)["known"] if survey.contents else {}
    chosen = survey.accepted(accept)
    job, study = plan_import(settings.jobs_path, survey, chosen, known)
    whole = run_graph([job.manifest, *after_import(job, study)], settings.jobs_path, lambda _: None, settings)
    found = do(settings, "look", job=job.job_id)
    if job.job_id in found["retracted"]:
        found = do(settings, "retract", job=job.job_id, undo=False)
    left = len(survey.mapping.judges) - len(chosen.judges)
    say(
        f"{job.job_id}: {found['brought']}"
        + (f" {left} guessed readings were left out; --accept takes them." if left else "")
    )
    failed = (
        [line["message"] for part in range(job.manifest.parts) for line in job.failures(part)]
        if not whole
        else []
    )
    if failed or found["problems"]:
        raise CapsafeError(
            "\n".join([*failed[:20], *found["problems"]]),
            f"`capsafe resume {job.job_id}` tries again what failed." if failed else "",
        )


def _tell(problems: Sequence[CapsafeError | str]) -> None:
    """What was set aside while the rest went on."""
    for problem in problems[:PROBLEMS]:
        say(str(problem), err=True)
    if len(problems) > PROBLEMS:
        say(f"and {len(problems) - PROBLEMS} more", err=True)


def _read_text(path: Path) -> str:
    """The text of a file that the user names.

    Raises:
        CapsafeError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CapsafeError(f"{path} cannot be read: {error}.", "Give a UTF-8 text file.") from error


def _write(path: Path, data: bytes) -> None:
    """Write a file that the user names.

    Raises:
        CapsafeError: it cannot be written.
    """
    with whole(path) as new:
        new.write_bytes(data)


def _print_survey(survey: Survey) -> None:
    """What was recognised, what each judge's values are taken to say, and what cannot be used."""
    say(survey.words)
    logs = pd.DataFrame(survey.logs)
    if len(logs):
        _print(
            logs[
                [
                    "tool",
                    "checkpoint",
                    "benchmark",
                    "attack",
                    "outputs",
                    "no_response",
                    "prompts",
                    "aggregates",
                    "files",
                ]
            ]
        )
    if survey.mapping.pattern:
        say(f"pattern: {survey.mapping.pattern}")
    for name, benchmark in survey.mapping.benchmarks.items():
        say(
            f"benchmark {name}: {benchmark.kind}"
            + (f", called {benchmark.name}" if benchmark.name != name else "")
        )
    for i, reading in enumerate(survey.mapping.judges):
        say(
            f"{'guess: ' if i in survey.guesses else ''}{reading.by} is {reading.dimension} by {reading.name}: {reading.words}"
        )
    for judge in survey.unread:
        say(
            f"not read: {judge['by']} on {judge['benchmark']} ({', '.join(list(judge['values'])[:6]) or 'no values'}); state what it says under [[judges]] in a mapping (--save)"
        )
    problems = [
        *([survey.unplaced] if survey.unplaced else []),
        *survey.left_out,
        *(p for f in survey.files for p in f["problems"]),
    ]
    _tell(problems)


@app.command()
def declare(study: Path) -> None:
    """Declare a study file without running anything, such as the draft of an import with its goals filled in."""
    parsed, text = load_study(study)
    record_study(Settings().jobs_path, parsed, text)
    do(Settings(), "look")
    say(f"{parsed.name} is declared.")


@app.command()
def jobs() -> None:
    """The jobs of the workspace."""
    known, unreadable = read_jobs(Settings().jobs_path)
    _tell(unreadable)
    for job in known:
        if job.manifest.kind in ("annotate", "survey"):  # `capsafe queue list` shows what people do
            continue
        parts = job.statuses
        status = next((p for p in parts if p.state != "done"), parts[0])
        left = f", {duration(status.seconds_left)} left" if status.seconds_left is not None else ""
        say(
            f"{job.state:8} {job.job_id} {sum(p.done for p in parts)}/{sum(p.total for p in parts)}{left} {status.message}".rstrip()
        )


@app.command()
def stop(job_id: str) -> None:
    """Ask a job to end after the batch it is at."""
    _find(job_id).ask_to_stop()


@app.command()
def resume(job_id: str) -> None:
    """Go on with a job that was stopped, failed or was lost, or try again what failed in it."""
    job = _find(job_id)
    missing = [name for name in job.manifest.after if not _find(name).ended]
    if missing:
        raise CapsafeError(
            f"{job_id} comes after jobs that are not done: {', '.join(missing[:3])}.", "Resume those first."
        )
    job.clear_stop()
    if job.state == "partial":
        look_again_after(job)
    for part in range(job.manifest.parts):
        start_worker(job, part).wait()
    if job.state != "done":
        status = next(s for s in job.statuses if s.state != "done")
        raise CapsafeError(f"{job_id} is {job.state}. {status.message}", status.hint)


def _find(job_id: str) -> Job:
    found = next((job for job in list_jobs(Settings().jobs_path) if job.job_id == job_id), None)
    if found is None:
        raise CapsafeError(f"There is no job {job_id!r} in this workspace.", "`capsafe jobs` lists them.")
    return found


@app.command()
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


@app.command()
def pack(study: Path, target: Path) -> None:
    """Pack the job folders of a study for shipping: manifests, status and compressed shards."""
    settings = Settings()
    parsed, text = load_study(study)
    record_study(settings.jobs_path, parsed, text)
    say(f"{pack_jobs(parsed, text, settings.jobs_path, target)} jobs in {target / 'jobs'}")


if __name__ == "__main__":
    main()
