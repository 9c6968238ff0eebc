"""The Labels page and the commands beside it, over a made-up study whose answers people label."""

from __future__ import annotations

import json
import re
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from capsafe_core.analysis.view import open_view
from capsafe_core.annotation import shipped_guidelines
from capsafe_core.cli import app as commands
from capsafe_core.coherence.learnt import LabelledAnswer, fit, probability
from capsafe_core.errors import CapsafeError
from capsafe_core.people import Person
from capsafe_core.selection import Selection
from capsafe_core.settings import ROOT
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.labels import labelled_answers, rulings, truths
from capsafe_core.workspace.owner import current_owner
from tests.conftest import made_up_home
from tests.labelling.desks import queue, work_through

ADA, BEN = Person("<b>Ada</b>"), Person("Ben")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with made_up_home(tmp_path_factory.mktemp("labels"), 60, 6) as found:
        yield found


@pytest.fixture(scope="module")
def page(home: Path) -> AppTest:
    test = AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=90)
    test.session_state["person"] = ADA
    test.run()
    return show(test)


def show(test: AppTest) -> AppTest:
    test.switch_page(str(ROOT / "pages" / "labels.py"))
    test.query_params["open"] = "all"
    test.run()
    assert not test.exception
    return test


def press(test: AppTest, label: str) -> AppTest:
    next(b for b in test.button if b.label == label).click().run()
    assert not test.exception
    return test


def make(test: AppTest, name: str, size: int) -> AppTest:
    """Make a queue; the dialogue is part of a run only where the button that opens it was pressed."""
    press(test, "Make a queue")
    next(t for t in test.text_input if t.label == "Name").set_value(name)
    next(n for n in test.number_input if n.label == "Items").set_value(size)
    next(b for b in test.button if b.label == "Make a queue").click()
    return press(test, "Make the queue")


def said(test: AppTest) -> str:
    return " ".join(
        str(e.value)
        for kind in (test.text, test.markdown, test.info, test.success, test.warning)
        for e in kind
    )


def test_without_labels_the_page_says_what_to_do(page: AppTest) -> None:
    assert "There is no queue yet" in said(page)
    assert "once two people have labelled" in said(page)
    assert "Nobody has labelled the safety" in said(page)


def test_a_queue_is_made_paused_opened_and_extended(page: AppTest) -> None:
    make(page, "Round 1", 150)
    [made] = current_owner().desk.queues()
    assert (made.name, made.state, made.author, made.settings["annotators"]) == (
        "Round 1",
        "open",
        ADA.name,
        2,
    )
    assert "150 from 600 outputs" in said(page).replace("\\", "")
    press(page, "Pause")
    assert current_owner().desk.queues()[0].state == "paused"
    press(page, "Open again")
    next(n for n in page.number_input if n.label == "More items").set_value(30)
    press(page, "Add items")
    assert current_owner().desk.queues()[0].settings["size"] == 180
    people = next(m for m in page.multiselect if m.label == "Assigned to")
    people.set_value([]).run()
    assert next(b for b in page.button if b.label == "Assign").disabled
    current_owner().desk.assign(ADA, made.queue, [ADA.name, BEN.name])
    assert list(show(page).dataframe[0].value["Assigned to"]) == [f"{ADA.name}, {BEN.name}"]
    with pytest.raises(CapsafeError, match="1 to 60 characters"):
        queue(current_owner().desk, name=" ")


def test_a_queue_can_hold_only_what_was_chosen_on_the_outputs_page(page: AppTest, home: Path) -> None:
    page.switch_page(str(ROOT / "pages" / "labels.py"))
    page.query_params["outcomes"] = "incoherent"
    page.run()
    make(page, "Broken ones", 5)
    desk = current_owner().desk
    made = next(q for q in desk.queues() if q.name == "Broken ones")
    texts = {
        t
        for (t,) in desk.store.rows(
            "SELECT g.text FROM queue_items AS q JOIN generations AS g USING (generation_id) WHERE q.queue "
            "= ?",
            [made.queue],
        )
    }
    assert texts == {"#### 4 #### 4"}
    desk.set_state(ADA, made.queue, "closed")
    page.query_params.clear()
    show(page)


def test_labels_show_as_agreement_disputes_and_corrected_rates(page: AppTest) -> None:
    desk = current_owner().desk
    q = next(q for q in desk.queues() if q.name == "Round 1")
    work_through(desk, q, ADA)
    work_through(desk, q, BEN, 150)
    texts = dict(desk.store.rows("SELECT CAST(generation_id AS VARCHAR), text FROM generations"))
    for task in desk.hand_out(BEN, q.queue):  # Ben takes a few the other way
        answers = {
            "coherence": "coherent",
            "safety": "safe" if texts[task.generation_id].startswith("Sure") else "unsafe",
            "refusal": "none",
        }
        assert desk.submit(
            BEN,
            q.queue,
            {
                "id": str(uuid.uuid4()),
                "task": task.id,
                "kind": "label",
                "answers": answers,
                "seconds": 2.0,
                "age": 0.0,
                "note": "![x](http://127.0.0.1/x.png)",
            },
        ).taken
    ingest_all(desk.store, desk.jobs)
    show(page)
    assert page.metric[0].label == "Alpha, coherence"
    assert 0.5 < float(page.metric[1].value.replace("\\", "")) < 1.0
    assert re.fullmatch(r"0\.\d\d to [01]\.\d\d, n = 1\d\d", page.metric[1].delta.replace("\\", ""))
    for frame in page.dataframe:
        heads = {
            name: column.get("label") or name for name, column in json.loads(frame.proto.columns).items()
        }
        assert not [h for h in (heads.get(c, c) for c in frame.value.columns) if "_" in h]
    disputes = int(page.metric[4].value)
    assert disputes > 0
    assert "Corrected with human labels" in said(page).replace("\\", "")
    assert "<b>Ada</b>: " in said(page)
    next(t for t in page.text_input if t.label == "Why").set_value("as the guidelines have it")
    press(page, next(b.label for b in page.button if b.key and b.key.startswith("rule-")))
    show(page)
    assert int(page.metric[4].value) == disputes - 1
    assert "Rulings that stand: 1" in [e.label for e in page.expander]
    [ruled] = rulings(desk.store).to_dict("records")
    assert (ruled["person"], ruled["note"]) == (ADA.name, "as the guidelines have it")
    assert "adjudicated" in set(truths(desk.store, "coherence")["state"]) | set(
        truths(desk.store, "safety")["state"]
    ) | set(truths(desk.store, "refusal")["state"])


def test_one_output_shows_what_people_say_before_what_the_detector_says(page: AppTest) -> None:
    store = current_owner().store
    chosen = truths(store, "coherence").query("state == 'agreed'")["generation_id"].iloc[0]
    page.switch_page(str(ROOT / "pages" / "output.py"))
    page.query_params["generation"] = chosen
    page.run()
    assert not page.exception
    assert "say 2 people" in said(page)
    page.query_params.clear()
    show(page)


def test_guidelines_are_changed_as_a_new_version(page: AppTest) -> None:
    area = page.text_area[0]
    area.set_value(area.value.replace("A plain refusal.", "It declines.")).run()
    press(page, "Keep this version")
    assert current_owner().desk.books.guidelines().version != shipped_guidelines().version
    show(page).text_area[0].set_value("not toml").run()
    press(page, "Keep this version")
    assert "cannot be read" in said(page)


def test_every_command_about_labels_goes_to_the_running_app(
    page: AppTest, home: Path, tmp_path: Path
) -> None:
    run = CliRunner().invoke
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.connect(str(home / "store.sock"))  # the app owns the store
    made = run(
        commands,
        [
            "queue",
            "make",
            "From the command",
            "--strategy",
            "random",
            "--size",
            "20",
            "--question",
            "safety",
            "--annotators",
            "1",
            "--assign",
            "Ben",
        ],
    )
    assert "20 at random from 600 outputs" in made.output
    assert re.search("From the command.* Ben ", run(commands, ["queue", "list"]).output)
    assert run(commands, ["queue", "assign", "From the command"]).output.strip() == "everybody"
    assert run(commands, ["queue", "assign", "From the command", "Cay", "Dan"]).output.strip() == "Cay, Dan"
    assert "then 5 more" in run(commands, ["queue", "extend", "From the command", "5"]).output
    assert run(commands, ["queue", "state", "From the command", "closed"]).output.strip() == "closed"
    for argument, sentence in (
        (["queue", "state", "nothing", "open"], "No queues are called 'nothing'"),
        (["queue", "make", "x", "--strategy", "guess"], "no strategy 'guess'"),
        (["queue", "make", "x", "--annotators", "2", "--assign", "Ben"], "2 people label each item"),
        (["queue", "make", "x", "--strategy", "uncertainty"], "has given no score"),
    ):
        failed = run(commands, argument)
        assert isinstance(failed.exception, CapsafeError)
        assert sentence in failed.exception.message
    target = tmp_path / "labels.jsonl"
    assert run(commands, ["labels", "out", str(target)]).exit_code == 0
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert (
        len({(r["generation_id"], r["annotator"], r["dimension"], r.get("repeat", 0)) for r in rows})
        == len(rows)
        > 500
    )
    back = run(commands, ["labels", "in", str(target)])
    assert f"{len(rows)} more were here already" in back.output
    assert "[rules]" in run(commands, ["guidelines"]).output
    for table in (
        "annotators",
        "repeats",
        "conflicts",
        "people",
        "correct",
        "correct-refusal",
        "correct-coherence",
    ):
        assert run(commands, [table, "--json"]).exit_code == 0, table


def test_the_detector_learns_and_says_how_well(page: AppTest, home: Path) -> None:
    """Through the page: fitted in a worker of its own, judged by another version after more labels."""
    desk = current_owner().desk
    rows = labelled_answers(desk.store, "made-up")
    assert len(rows) > 100
    assert "takes 40" in said(page)
    press(show(page), "Train on the current labels")
    # made-up answers come from no generate job of a real plan, so there is nothing for it to look at: the fit
    # itself stands
    [fitted] = (home / "jobs").glob("fit-*/fitted.json")
    held = json.loads(fitted.read_text())["held_out"]
    assert held["n"] == len(rows)
    assert held["auc"] > 0.95


def test_a_fit_needs_labels_of_both_kinds_and_holds_prompts_together() -> None:
    rows = [
        LabelledAnswer(
            f"p{i % 11}",
            "How do I bake bread?",
            "word word word word word word word word"
            if i % 3 == 0
            else f"You mix flour and water, wait {i} hours and bake it.",
            i % 3 == 0,
        )
        for i in range(90)
    ]
    found = fit(rows, [])
    assert found["held_out"]["auc"] == 1.0
    assert found["held_out"]["calibration"] < 0.1
    assert len(found["weights"]) == len(found["features"])
    assert probability(found, [0.0] * len(found["features"])) > 0
    with pytest.raises(CapsafeError, match="learns from at least 40"):
        fit(rows[:30], [])
    with pytest.raises(CapsafeError, match="0 of the rarer kind"):
        fit([r for r in rows if r.incoherent] * 2, [])


def test_outputs_were_not_changed_by_any_of_this(page: AppTest, home: Path) -> None:
    store = current_owner().store
    view = open_view(store, Selection())
    assert len(view.cells) == 30
    assert store.rows("SELECT count(*) FROM conflicts") == [(0,)]
