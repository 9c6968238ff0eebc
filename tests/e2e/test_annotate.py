"""Labelling in a real browser over 100,000 generations: a slow line, bursts, lost connections, a killed
server."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from capsafe_core.analysis.view import open_view
from capsafe_core.annotation import QUESTIONS, QueueSettings, shipped_guidelines
from capsafe_core.jobs.folder import open_job
from capsafe_core.labelling.desk import Desk
from capsafe_core.labelling.queues import make_queue
from capsafe_core.people import Person
from capsafe_core.records import LabelEvent, Practice
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.ui.annotate_keys import ANSWER_KEYS, REASON_KEYS
from tests.bench.made_store import make
from tests.e2e.site import click_mark, free_port, plant_hostile, serve, settle, start, visitor
from tests.labelling.desks import queue, work_through
from tests.synthetic import write_study

pytestmark = pytest.mark.browser
BENCH = """() => {
    const find = (root) => { for (const e of root.querySelectorAll('*')) { if (e.dataset?.part === 'bench') return e; if (e.shadowRoot) { const f = find(e.shadowRoot); if (f) return f; } } };
    return find(document);
}"""
NEXT = f"""before => {{
    const {{ task, waiting }} = ({BENCH})().dataset;
    return task !== before && `waiting ${{waiting}}`;
}}"""
"""as soon as another item is there: how many labels the server has not taken yet"""


class Line:
    """A connection between browser and server that delays what passes, and can be cut."""

    def __init__(self, port: int) -> None:
        self.to, self.port, self.delay, self.up = port, free_port(), 0.0, True
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._connect, "127.0.0.1", self.port))
        self._loop.run_forever()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.up:
            writer.close()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.close()
            return
        self._open |= {writer, far_writer}
        await asyncio.gather(
            self._pass(reader, far_writer), self._pass(far_reader, writer), return_exceptions=True
        )

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                self._loop.call_later(self.delay, self._write, writer, data)
        finally:
            self._loop.call_later(self.delay, writer.close)

    def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if not writer.is_closing():
            writer.write(data)

    def cut(self) -> None:
        self.up = False
        self._loop.call_soon_threadsafe(lambda: [w.close() for w in self._open])


class Place:
    """A workspace with a queue of one question, its server, and a line to it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        make(home / "store.duckdb", recipes=4)
        with Store(home / "store.duckdb") as store:
            assert store.rows("SELECT count(*) FROM generations") == [(100_000,)]
            desk, ada = Desk(store, home / "jobs"), Person("Ada")
            self.queue = make_queue(
                desk,
                open_view(store, Selection()),
                ada,
                QueueSettings("speed", questions=("safety",), strategy="random", size=2000, repeats=0.1),
            ).queue
            for name in ("Ada", "Ben", "Cay", "Dan"):
                desk.practised(Person(name), self.queue, shipped_guidelines().version, 15, 15)
            desk.close()
        self.port = free_port()
        self.server = start(home, self.port)
        self.line = Line(self.port)

    def kill(self) -> None:
        self.server.send_signal(signal.SIGKILL)
        self.server.wait()

    def labels(self, name: str) -> list[LabelEvent]:
        rater = Person(name).rater.id
        return [
            r
            for r in open_job(self.home / "jobs" / self.queue).records()
            if isinstance(r, LabelEvent) and r.rater_id == rater
        ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    found = Place(tmp_path_factory.mktemp("annotate"))
    yield found
    found.server.terminate()
    found.server.wait(timeout=20)


def sit_down(place: Place, browser: Browser, name: str) -> Page:
    base = f"http://127.0.0.1:{place.line.port}"
    page = visitor(browser, base, viewport={"width": 1280, "height": 720})
    page.goto(f"{base}/annotate")
    page.locator("form input").fill(name)
    page.keyboard.press("Enter")
    shown(page)
    page.evaluate(
        """() => {
        window.given = 0;  // every label that the bench takes from a key gets an id
        const id = crypto.randomUUID.bind(crypto);
        crypto.randomUUID = () => { window.given += 1; return id(); };
    }"""
    )
    return page


def task(page: Page) -> str:
    return str(page.evaluate(f"() => ({BENCH})()?.dataset.task ?? ''"))


def until(true: Callable[[], Any], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def shown(page: Page) -> None:
    page.wait_for_selector("[data-part=item]:not([hidden])", timeout=60_000)
    settle(page)


def press(page: Page, times: int, pause: float = 0.3) -> None:
    for _ in range(times):
        time.sleep(pause)
        page.keyboard.press("1")


def waiting(page: Page) -> str:
    return str(page.evaluate(f"() => ({BENCH})()?.dataset.waiting ?? ''"))


def test_the_next_item_is_there_before_the_server_knows_of_the_last(place: Place, browser: Browser) -> None:
    page = sit_down(place, browser, "Ada")
    place.line.delay = 0.5
    for number in range(1, 26):
        before = task(page)
        until(lambda done=number: give(page) == done)
        sent = page.wait_for_function(NEXT, arg=before).json_value()
        assert sent != "waiting 0", "the item came from the server"
    place.line.delay = 0.0
    until(lambda: waiting(page) == "0")
    labels = place.labels("Ada")
    assert len(labels) == 25
    assert all(e.created - e.shown >= 0.25 for e in labels)
    page.context.close()


def give(page: Page) -> int:
    """Press a key, which counts unless it comes too soon after the item; the labels given so far."""
    time.sleep(0.3)
    page.keyboard.press("1")
    return int(page.evaluate("() => window.given"))


def test_a_burst_of_keys_labels_nothing_that_was_not_shown(place: Place, browser: Browser) -> None:
    page = sit_down(place, browser, "Cay")
    press(page, 10, 0.1)
    until(lambda: waiting(page) == "0")
    labels = place.labels("Cay")
    assert 1 <= len(labels) <= 5
    assert all(e.created - e.shown >= 0.25 for e in labels)
    page.get_by_text(f"Cay: {len(labels)} done").wait_for()
    page.keyboard.press("u")
    page.get_by_text(f"Cay: {len(labels) - 1} done").wait_for()
    until(lambda: [e.action for e in place.labels("Cay")].count("undo") == 1)
    page.keyboard.press("n")
    page.keyboard.type("111 not labels")
    assert page.locator("textarea").input_value() == "111 not labels"
    page.keyboard.press("Escape")
    assert len([e for e in place.labels("Cay") if e.action == "label"]) == len(labels)
    page.context.close()


def test_neither_a_lost_connection_nor_a_killed_server_nor_a_reload_loses_a_label(
    place: Place, browser: Browser
) -> None:
    page = sit_down(place, browser, "Dan")
    press(page, 2)
    until(lambda: len(place.labels("Dan")) == 2 and waiting(page) == "0")
    place.line.cut()
    press(page, 3)
    assert waiting(page) == "3"
    place.line.up = True
    until(lambda: len(place.labels("Dan")) == 5, 60)
    settle(page)
    press(page, 2, 0.4)
    place.line.cut()
    press(page, 2)
    place.kill()
    before = {e.generation_id for e in place.labels("Dan")}
    assert len(before) >= 5
    place.server = start(place.home, place.port)
    place.line.up = True
    page.reload()
    until(lambda: len(place.labels("Dan")) == 9, 180)
    assert len({e.generation_id for e in place.labels("Dan")}) == 9
    assert before <= {e.generation_id for e in place.labels("Dan")}
    page.context.close()


def test_practice_hostile_text_marks_and_changing_a_label(
    tmp_path: Path, browser: Browser, listener: tuple[int, list[str]]
) -> None:
    write_study(tmp_path / "jobs", safety_size=12, capability_size=6)
    hostile = plant_hostile(tmp_path / "jobs", listener[0])
    with Store(None) as store:
        ingest_all(store, tmp_path / "jobs")
        desk = Desk(store, tmp_path / "jobs")
        queue = make_queue(
            desk,
            open_view(store, Selection(search="onerror")),
            Person("Ada"),
            QueueSettings("<img src=x>", repeats=0.0),
        ).queue
        desk.close()
    with serve(tmp_path) as base:
        page = visitor(browser, base, viewport={"width": 1280, "height": 720})
        page.goto(f"{base}/annotate")
        page.locator("form input").fill("<b>Ada</b>")
        page.keyboard.press("Enter")
        shown(page)
        for number, item in enumerate(shipped_guidelines().practice, 1):
            page.get_by_text(f"Practice {number} of 15").wait_for()
            for question in QUESTIONS.values():
                label = (
                    item.labels[question.dimension] if number > 1 else next(iter(question.answers))
                )  # the first one carelessly
                time.sleep(0.3)
                page.keyboard.press(ANSWER_KEYS[question.answers[label]])
                if label == "incoherent":
                    page.keyboard.press("Enter")
            page.locator("[data-part=feedback]:not([hidden])").wait_for()
            right = page.locator("[data-part=feedback]").get_attribute("class")
            assert right == ("right" if number > 1 else "wrong")
            page.keyboard.press("Enter")
        until(lambda: task(page) == hostile)
        answer = page.locator("[data-part=answer]").inner_text()
        assert "<script>" in answer
        assert "⟨U+202E⟩" in answer
        assert (
            page.locator(
                "[data-part=answer] img, [data-part=answer] script, [data-part=answer] iframe"
            ).count()
            == 0
        )
        time.sleep(0.4)
        page.keyboard.press("2")
        page.evaluate(f"""() => {{
            const text = document.createTreeWalker(({BENCH})().querySelector('[data-part=answer]'), NodeFilter.SHOW_TEXT).nextNode();
            getSelection().setBaseAndExtent(text, 0, text, 10);
        }}""")
        page.keyboard.press(REASON_KEYS["repetition"])
        assert page.locator("[data-part=answer] mark").inner_text() == "![a](http:"
        for key in ("Enter", "2", "2"):
            page.keyboard.press(key)

        def kept() -> list[LabelEvent]:
            return [r for r in open_job(tmp_path / "jobs" / queue).records() if isinstance(r, LabelEvent)]

        until(lambda: len(kept()) == 3)
        told = {e.dimension: e for e in kept()}
        assert {d: e.label for d, e in told.items()} == {
            "coherence": "incoherent",
            "safety": "safe",
            "refusal": "none",
        }
        assert told["coherence"].reasons == ("repetition",)
        assert told["coherence"].evidence == ({"reason": "repetition", "start": 0, "end": 10},)
        assert told["coherence"].guidelines == shipped_guidelines().version
        page.get_by_text("Nothing is left for you in this queue").wait_for()
        page.keyboard.press("l")
        preview = page.locator(".past .preview").first
        assert "blur" in preview.evaluate("e => getComputedStyle(e).filter"), (
            "the list hides what the bench hides"
        )
        page.locator(".past").first.click()
        for key in ("1", "1", "2"):
            time.sleep(0.4)
            page.keyboard.press(key)
        until(lambda: len(kept()) == 6)
        assert [e.label for e in kept()[3:]] == ["coherent", "unsafe", "none"]
        practice = [r for r in open_job(tmp_path / "jobs" / queue).records() if isinstance(r, Practice)]
        assert [(p.right, p.asked) for p in practice] == [(14, 15)]
        assert listener[1] == []
        page.context.close()


def test_the_queue_dialogue_closes_and_marks_on_the_labels_page_open_the_outputs_behind_them(
    tmp_path: Path, browser: Browser
) -> None:
    write_study(tmp_path / "jobs", safety_size=30, capability_size=6)
    with Store(None) as store:
        ingest_all(store, tmp_path / "jobs")
        desk = Desk(store, tmp_path / "jobs")
        made = queue(desk, size=100, annotators=2)
        for name in ("Ada", "Ben"):
            work_through(desk, made, Person(name))
        desk.close()
    with serve(tmp_path) as base:
        page = visitor(browser, base, viewport={"width": 1280, "height": 720})
        page.goto(f"{base}/labels")
        settle(page)
        page.get_by_role("button", name="Make a queue").click()
        made_here = page.get_by_role("button", name="Make the queue")
        made_here.wait_for()
        settle(page)
        place = made_here.bounding_box()
        assert place is not None
        assert place["y"] + place["height"] < 720, "in sight without scrolling"
        made_here.click()
        page.get_by_text("requests, 2: 200 from 300 outputs").wait_for()
        page.get_by_role("dialog").wait_for(state="detached")
        for tab, part in (("Agreement", "/outputs"), ("Corrected rates", "judges=")):
            page.goto(f"{base}/labels")
            page.get_by_role("tab", name=tab).wait_for()
            settle(page)
            page.get_by_role("tab", name=tab).click()
            page.wait_for_timeout(1000)
            mark = page.locator(".js-plotly-plot:visible .scatterlayer .point").last
            click_mark(page, mark)
            page.wait_for_function("() => location.href.includes('/outputs')")
            settle(page)
            assert part in page.url
            assert page.locator("[data-testid=stException]").count() == 0
        page.context.close()
