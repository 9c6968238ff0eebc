"""The annotation bench: one component that holds the next items; here it is fed, and what it sends is taken
in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import streamlit as st

from capsafe_core.annotation import QUESTIONS, Example, Guidelines, label_words
from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.labelling.desk import Desk, Receipt
from capsafe_core.labelling.open_queue import Task
from capsafe_core.labelling.waiting import waiting_queues
from capsafe_core.people import Person
from capsafe_core.records import QueueRecord
from capsafe_core.store.labels import item_texts
from capsafe_core.ui import identity
from capsafe_core.ui.acting import actor
from capsafe_core.ui.annotate_keys import ANSWER_KEYS, COMMAND_KEYS, reasons
from capsafe_core.ui.safe_text import plain_label
from capsafe_core.ui.screen import PAGES
from capsafe_core.workspace.owner import Owner

_HERE = Path(__file__).parent
_HTML, _CSS, _JS = (
    (_HERE / f"annotate.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
)
_COMPONENT = st.components.v2.component("capsafe_annotate", html=_HTML, css=_CSS, js=_JS)


@st.fragment
def bench(owner: Owner, queue: QueueRecord) -> None:
    """Items of a queue, one at a time, until it is done.

    Who labels is asked each time: a role may have changed.
    """
    desk, person, guidelines = owner.desk, identity.person(), owner.desk.books.guidelines()
    key = f"annotate-{queue.queue}-{person.name}-{guidelines.version}"
    known = f"{key}-practised"
    if known not in st.session_state:
        st.session_state[known] = desk.has_practised(person, guidelines.version)

    def take() -> None:
        sent = st.session_state[key].outbox
        sent = sent if isinstance(sent, dict) else {}
        entries, practised = sent.get("entries"), sent.get("practised")
        try:
            _must_still_be(person)
        except CapsafeError as error:
            st.session_state[f"{key}-warning"] = f"{error.message} {error.hint}"
            return
        st.session_state[f"{key}-receipts"], st.session_state[f"{key}-warning"] = _take(
            desk, person, queue.queue, entries if isinstance(entries, list) else []
        )
        if isinstance(practised, dict):
            try:
                desk.practised(
                    person, queue.queue, guidelines.version, practised.get("right"), practised.get("asked")
                )
            except CapsafeError as error:
                st.session_state[f"{key}-warning"] = f"{error.message} {error.hint}"
            else:
                st.session_state[known] = True

    data = _next(owner, person, queue)
    data["receipts"] = [receipt.__dict__ for receipt in st.session_state.pop(f"{key}-receipts", [])]
    data["warning"] = st.session_state.pop(f"{key}-warning", "")
    data["practice"] = None if st.session_state[known] else [_example(e) for e in guidelines.practice]
    with st.container():  # always there, so that the bench keeps its place, and with it what it holds
        if data["empty"]:
            _onward(desk, person, queue)
    _COMPONENT(
        key=key, data={**data, **_fixed(person, queue, guidelines)}, on_outbox_change=take, height="content"
    )


def _onward(desk: Desk, person: Person, queue: QueueRecord) -> None:
    """Where nothing is left in a queue: the next one that has something for this person."""
    for other in waiting_queues(desk, person):
        if other.left and other.record.queue != queue.queue:
            st.page_link(
                str(PAGES / "annotate.py"),
                label=f"Continue with {plain_label(other.words)}",
                icon=":material/arrow_forward:",
                query_params={"queue": other.record.queue},
            )
            return


def _must_still_be(person: Person) -> None:
    """Refuse what a browser sends once its person has gone or may not label any more; it keeps it.

    Raises:
        CapsafeError: somebody else is there now, or their role is too low.
    """
    now = actor()
    now.must_be("annotator")
    if now.name != person.name:
        raise NotAllowedError("Somebody else is at this browser now.", "Reload the page.")


def _take(desk: Desk, person: Person, queue: str, entries: list[Any]) -> tuple[list[Receipt], str]:
    """Take in what the browser sent, in its order; what cannot be written now stays with the browser."""
    receipts = []
    for entry in entries:
        try:
            receipts.append(desk.submit(person, queue, entry))
        except CapsafeError as error:
            return receipts, f"{error.message} {error.hint}"
    return receipts, next((r.message for r in receipts if r.taken and r.message), "")


def _next(owner: Owner, person: Person, queue: QueueRecord) -> dict[str, Any]:
    """The items in hand, the last ones done, and how far everything is."""
    desk = owner.desk
    message, tasks = "", list[dict[str, Any]]()
    try:
        while handed := desk.hand_out(person, queue.queue):
            texts = _texts(owner, handed)
            missing = [t.generation_id for t in handed if t.generation_id not in texts]
            tasks = [
                _task(t, texts[t.generation_id], bool(queue.settings["blind"]))
                for t in handed
                if t.generation_id in texts
            ]
            if not missing:
                break
            desk.mark_gone(queue.queue, missing)
        recent = desk.recent(person, queue.queue)
        progress = desk.progress(person, queue.queue).__dict__
    except CapsafeError as error:
        return {
            "tasks": [],
            "recent": [],
            "progress": _progress(desk, person, queue),
            "message": f"{error.message} {error.hint}",
            "empty": True,
        }
    texts = _texts(owner, [task for task, _ in recent])
    past = [
        {
            **_task(task, texts[task.id], True),
            "answers": {e.dimension: e.label for e in events if e.label},
            "said": _said({e.dimension: e.label for e in events if e.label}) or "skipped",
        }
        for task, events in recent
        if task.id in texts
    ]
    if not tasks:
        gone = desk.gone(queue.queue)
        message = "Nothing is left for you in this queue: thank you." + (
            f" {gone} of its outputs were taken out of the store and are not asked about." if gone else ""
        )
    return {"tasks": tasks, "recent": past, "progress": progress, "message": message, "empty": not tasks}


def _progress(desk: Desk, person: Person, queue: QueueRecord) -> dict[str, int]:
    """How far a queue is that hands out nothing: it is paused, closed, somebody else's, or gone."""
    try:
        return dict(desk.progress(person, queue.queue).__dict__)
    except CapsafeError:
        return {"mine": 0, "today": 0, "done": 0, "total": 0}


def _texts(owner: Owner, tasks: list[Task]) -> dict[str, dict[str, Any]]:
    """Prompts and answers by generation, kept in the session while they are in hand."""
    kept: dict[str, dict[str, Any]] = st.session_state.setdefault("item-texts", {})
    wanted = [t.generation_id for t in tasks]
    if missing := [g for g in wanted if g not in kept]:
        kept.update(item_texts(owner.store, missing))
    for old in list(kept)[: max(0, len(kept) - 200)]:
        if old not in wanted:
            del kept[old]
    return {g: kept[g] for g in wanted if g in kept}


def _task(task: Task, text: dict[str, Any], blind: bool) -> dict[str, Any]:
    messages = json.loads(text["messages"])
    prompt = (
        text["prompt"] if len(messages) < 2 else "\n\n".join(f"{m['role']}: {m['content']}" for m in messages)
    )
    return {
        "id": task.id,
        "prompt": prompt,
        "answer": text["answer"],
        "harm": text["harm"],
        "about": "" if blind else text["about"],
    }


def _fixed(person: Person, queue: QueueRecord, guidelines: Guidelines) -> dict[str, Any]:
    """What does not change while a person is at a queue."""
    asked = [QUESTIONS[d] for d in queue.settings["questions"]]
    return {
        "queue": queue.queue,
        "name": person.name,
        "daily": queue.settings["daily"],
        "harmful": "safety" in queue.settings["questions"],
        "guidelines": guidelines.version,
        "questions": [
            {
                "dimension": q.dimension,
                "words": q.words,
                "rules": guidelines.rules.get(q.dimension, ""),
                "options": [
                    {"label": k, "words": w, "key": ANSWER_KEYS[w], "means": label_words(q.dimension, k)}
                    for k, w in q.answers.items()
                ],
            }
            for q in asked
        ],
        "reasons": reasons(),
        "keys": COMMAND_KEYS,
        "examples": [_example(e) for e in guidelines.examples],
    }


def _said(labels: dict[str, str]) -> str:
    return ", ".join(label_words(dimension, label) for dimension, label in labels.items())


def _example(example: Example) -> dict[str, Any]:
    return {
        "id": f"practice {example.prompt} {example.answer}",
        "prompt": example.prompt,
        "answer": example.answer,
        "harm": example.harm,
        "labels": example.labels,
        "why": example.why,
        "said": _said(example.labels),
    }
