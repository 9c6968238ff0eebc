"""What commands may do to a store beyond reading it; the running app does it for them over its socket."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from capsafe_core.analysis.view import open_view
from capsafe_core.annotation import QueueSettings
from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.exporters.every_eval_ever import every_eval_ever_into
from capsafe_core.jobs.foreign import foreign_folders
from capsafe_core.jobs.packing import pack_bundle
from capsafe_core.labelling.desk import Desk
from capsafe_core.labelling.formats import write_labels
from capsafe_core.labelling.queues import extend_queue, make_queue
from capsafe_core.people import ANNOTATOR, EVERYBODY, RESEARCHER, VIEWER, Person
from capsafe_core.records import QueueRecord
from capsafe_core.selection import Selection
from capsafe_core.store.batches import imported_words, retracted_jobs, set_retracted
from capsafe_core.store.contents import outputs_by_content
from capsafe_core.store.export import jobs_of, new_export, snapshot_into, tables_into
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.label_rows import label_rows
from capsafe_core.store.labels import labelled_answers
from capsafe_core.store.overlap import overlap
from capsafe_core.store.studies import study_texts
from capsafe_core.workspace.audit import doing, read_audit
from capsafe_core.workspace.reporting import REPORTING
from capsafe_core.writing import whole

Answer = dict[str, Any]


def _make(desk: Desk, person: Person, settings: dict[str, Any], selection: dict[str, str]) -> Answer:
    made = make_queue(
        desk,
        open_view(desk.store, Selection.from_query(selection)),
        person,
        QueueSettings.from_dict(settings),
    )
    return {"queue": made.queue, "words": made.words, "strata": list(made.strata)}


def _list(desk: Desk, person: Person) -> Answer:
    rows = []
    for queue in desk.queues():
        progress = desk.progress(person, queue.queue)
        rows.append(
            {
                "queue": queue.queue,
                "name": queue.name,
                "state": queue.state,
                "labels": progress.done,
                "of": progress.total,
                "assigned": ", ".join(queue.settings["assigned"]) or EVERYBODY,
                "drew": queue.words,
            }
        )
    return {"rows": rows}


def _extend(desk: Desk, person: Person, queue: str, more: int) -> Answer:
    return {"words": extend_queue(desk, person, find_queue(desk, queue), more).words}


def _state(desk: Desk, person: Person, queue: str, state: str) -> Answer:
    return {"state": desk.set_state(person, find_queue(desk, queue).queue, state).state}


def _assign(desk: Desk, person: Person, queue: str, people: list[str]) -> Answer:
    kept = desk.assign(person, find_queue(desk, queue).queue, people)
    return {"assigned": list(kept.settings["assigned"])}


def _bring_in(desk: Desk, person: Person, text: str, name: str) -> Answer:
    found = desk.bring_in(person, text, name)
    return {"words": found.words, "problems": found.problems}


def _take_out(desk: Desk, person: Person, queue: str, form: str) -> Answer:
    return {
        "text": write_labels(label_rows(desk.store, find_queue(desk, queue).queue if queue else ""), form)
    }


def _labelled(desk: Desk, person: Person, study: str) -> Answer:
    return {"rows": labelled_answers(desk.store, study)}


def _guidelines(desk: Desk, person: Person, text: str = "") -> Answer:
    return dataclasses.asdict(desk.books.save_guidelines(person, text) if text else desk.books.guidelines())


def _find_outputs(desk: Desk, person: Person, contents: list[str]) -> Answer:
    return {"known": outputs_by_content(desk.store, contents)}


def _look(desk: Desk, person: Person, job: str = "", study: str = "") -> Answer:
    """Read what is new in the job folders, now rather than in a moment; what a job brought, and what a
    foreign study did."""
    found, problems = ingest_all(desk.store, desk.jobs)
    return {
        "rows": found.rows,
        "conflicts": found.conflicts,
        "problems": [str(p) for p in problems],
        "retracted": retracted_jobs(desk.store),
        "brought": imported_words(desk.store, job) if job else "",
        "overlap": overlap(desk.store, [f.name for f in foreign_folders(desk.jobs, study)]).words,
    }


def _export(desk: Desk, person: Person, form: str, name: str, study: str = "", texts: bool = True) -> Answer:
    """Write into the exports folder: the whole store, its tables, or a study."""
    store = desk.store
    if form == "snapshot":
        return {"path": str(snapshot_into(store, name or "snapshot.duckdb"))}
    if form in ("parquet", "csv"):
        return {"path": str(tables_into(store, name or f"tables-{form}", form))}
    view = open_view(store, Selection(study=study))
    folder = new_export(store, name or f"{view.study.name}-{form}" + (".zip" if form == "bundle" else ""))
    if form == "bundle":
        text = next(
            str(t)
            for n, t in study_texts(store)[["name", "text"]].itertuples(index=False)
            if n == view.study.name
        )
        pack_bundle(view.study, text, desk.jobs, jobs_of(store, view.study.name), folder)
    elif form == "every-eval-ever":
        with whole(folder) as new:
            every_eval_ever_into(view, new, texts)
    elif form == "model-card":
        from capsafe_core.report.model_card import model_cards_into

        with whole(folder) as new:
            model_cards_into(view, new)
    else:
        raise UnknownNameError("export", form, EXPORTS)
    return {"path": str(folder)}


EXPORTS = ("snapshot", "parquet", "csv", "every-eval-ever", "bundle", "model-card")
"""what can be taken out"""


def _retract(desk: Desk, person: Person, job: str, undo: bool) -> Answer:
    set_retracted(desk.store, job, undo)
    return _look(desk, person, job)


def _audit(desk: Desk, person: Person, most: int = 200) -> Answer:
    return dataclasses.asdict(read_audit(desk.jobs, most))


@dataclass(frozen=True)
class Action:
    """What may be asked of the owner of a store.

    Attributes:
        do: what does it, with the desk, the person and the arguments.
        role: that it needs at least.
        looks: whether it changes nothing and takes no labels or texts out; it goes on where the log of
            actions cannot be written.
    """

    do: Callable[..., Answer]
    role: str = RESEARCHER
    looks: bool = False


ACTIONS: dict[str, Action] = {
    "make queue": Action(_make),
    "list queues": Action(_list, ANNOTATOR, looks=True),
    "extend queue": Action(_extend),
    "queue state": Action(_state),
    "assign queue": Action(_assign),
    "bring labels in": Action(_bring_in),
    "take labels out": Action(_take_out),
    "labelled answers": Action(_labelled, looks=True),
    "guidelines": Action(_guidelines),
    "find outputs": Action(_find_outputs, looks=True),
    "look": Action(_look, VIEWER, looks=True),
    "retract": Action(_retract),
    "export": Action(_export),
    "audit": Action(_audit, looks=True),
    **{name: Action(do, VIEWER, looks=True) for name, do in REPORTING.items()},
}


def act(desk: Desk, name: str, person: Person, arguments: dict[str, Any]) -> Answer:
    """Do one of ACTIONS, and note who did it.

    Raises:
        NotAllowedError: the person's role is too low for it.
        CapsafeError: there is no such action, or what it raises.
    """
    if name not in ACTIONS:
        raise UnknownNameError("action", name, ACTIONS)
    settings = arguments.get("settings")
    named = {"name": settings["name"]} if isinstance(settings, dict) and "name" in settings else {}
    action = ACTIONS[name]
    with doing(desk.jobs, person, name, {**named, **arguments}, action.role, action.looks):
        return action.do(desk, person, **arguments)


def find_queue(desk: Desk, name: str) -> QueueRecord:
    """A queue by its id, or by its name.

    Raises:
        CapsafeError: there is none, or several have this name.
    """
    known = desk.queues()
    found = [q for q in known if q.queue == name] or [q for q in known if q.name == name]
    if len(found) != 1:
        raise CapsafeError(
            f"{len(found) or 'No'} queues are called {name!r}.",
            "`capsafe queue list` shows their ids." if known else "Make one: `capsafe queue make NAME`.",
        )
    return found[0]
