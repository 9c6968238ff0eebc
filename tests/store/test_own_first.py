"""Facts of a bundle that nobody has adopted never take the place of own ones, in whatever order they come."""

from __future__ import annotations

import random
import uuid
from pathlib import Path

import duckdb
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from capsafe_core.errors import NotAllowedError
from capsafe_core.jobs.folder import Job, Manifest, Part, create_job, list_jobs
from capsafe_core.jobs.foreign import MARK, adopt, mark_foreign
from capsafe_core.jobs.record_job import record_study, recorded_study
from capsafe_core.labelling.books import GUIDELINES, RULINGS
from capsafe_core.labelling.desk import Desk
from capsafe_core.labelling.open_queue import KIND
from capsafe_core.people import Person
from capsafe_core.records import (
    BenchmarkRecord,
    Checkpoint,
    Condition,
    Generation,
    GuidelinesRecord,
    Judgment,
    LabelEvent,
    Measurement,
    PathPoint,
    Practice,
    Prompt,
    QueueFrame,
    QueueItem,
    QueueRecord,
    Rater,
    Record,
    StudyRecord,
)
from capsafe_core.store import Store
from capsafe_core.store import store as store_module
from capsafe_core.store.batches import set_retracted
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.labels import newest_rater, people_work, queue_items, standing_ruling, truths
from capsafe_core.store.overlap import overlap
from capsafe_core.store.rollups import check
from capsafe_core.store.studies import measurements, study_texts
from tests.store.test_rebuild import content
from tests.synthetic import STUDY, made_up_study, write_study

BENCH = BenchmarkRecord("asks", "1", "safety", "digest", 3)
CONDITION = Condition("", "t", 0, 0.0, 1.0, 64, "transformers", "1", "bfloat16")
POINTS = [Checkpoint("m", "origin", (adapter,)) for adapter in ("a", "b")]
JUDGES = [Rater("strict", "judge", "lists", ("safety",), version) for version in ("1", "2")]
PEOPLE = [Rater(name, "annotator", "people", ("safety",), "1") for name in ("Ada", "Eve")]
LABELS = ("safe", "unsafe")


def prompts(chance: random.Random) -> list[Prompt]:
    """The prompts, with a category on which two sides may differ: their ids do not tell."""
    return [
        Prompt(BENCH.id, str(i), i, ({"role": "user", "content": f"Ask {i}"},), category=chance.choice("xy"))
        for i in range(3)
    ]


def facts(chance: random.Random, number: int) -> list[Record]:
    """Of a job: outputs, verdicts, labels, rulings, queues and texts, all about the same few things."""
    asks = prompts(chance)
    out: list[Record] = [BENCH, CONDITION, *POINTS, *JUDGES, *PEOPLE, *asks]
    point = chance.choice(POINTS)
    outputs = [
        Generation(point.id, BENCH.id, CONDITION.id, p.id, sample, 0, chance.choice(("yes", "no")), "stop", 1)
        for p in asks
        for sample in (0, 1)
        if chance.random() < 0.6
    ]
    out += outputs
    for g in outputs:
        for judge in chance.sample(JUDGES, chance.randint(0, 2)):
            label = chance.choice(LABELS)
            attempt = chance.choice((1, 1, 2, 9))
            out.append(Judgment(g.id, g.cell_id, judge.id, "safety", "ok", label, attempt=attempt))
        for person in chance.sample(PEOPLE, chance.randint(0, 2)):
            action = chance.choice(("label", "label", "undo", "skip", "adjudicate", "reopen"))
            label = chance.choice(LABELS) if action in ("label", "adjudicate") else None
            when = chance.choice((1.0, 50.0, 1e9)) + number
            event = str(uuid.UUID(int=chance.randrange(40)))
            out.append(LabelEvent(event, g.id, g.cell_id, person.id, "safety", action, label, when - 1, when))
        if chance.random() < 0.3:
            out.append(QueueItem("q", g.id, g.cell_id, "all", chance.randrange(9), chance.random()))
    when = chance.choice((1.0, 1e9)) + number / 10
    settings_ = {"name": "q", "questions": ["safety"]}
    maker = chance.choice(("Ada", "Eve"))
    more: list[Record] = [
        StudyRecord("s", f"text {number}", f"d{number}", chance.choice(("p", "r")), when),
        QueueRecord("q", "s", "q", chance.choice(("open", "closed")), when, maker, settings_, {}, ()),
        PathPoint("s", "r", 0, 1, chance.choice(POINTS).id, "m", "d", chance.choice((0.1, 0.2))),
        Measurement(point.id, "gsm", "acc", chance.random(), None, None, chance.choice(("x", "y"))),
        Practice(PEOPLE[0].id, "1", "q", number, 100, when),
    ]
    if outputs:
        more.append(QueueFrame("q", 0, outputs[0].cell_id, tuple(chance.choices((0, 1), k=len(outputs)))))
    return out + [record for record in more if chance.random() < 0.7]


def write(root: Path, number: int, records: list[Record], kind: str = "generate") -> Job:
    job = create_job(root, Manifest(kind, f"job-{number}", {}))
    with Part(job) as part:
        for i in range(0, len(records), 30):
            part.write(str(i), records[i : i + 30])
    return job


def told(store: Store) -> dict[str, set[tuple[object, ...]]]:
    """What a store says, as sets of rows: what is current, of whom there is one for each thing."""
    told_by: dict[str, str] = {
        "judgments": "SELECT generation_id, rater_id, dimension, label FROM current_judgments",
        "answers": "SELECT generation_id, rater_id, dimension, repeat, action, label FROM current_answers",
        "rulings": "SELECT generation_id, dimension, label, rater_id FROM adjudications",
        "queues": "SELECT queue, state, author, created FROM current_queues",
        "outputs": "SELECT generation_id, text FROM live_generations",
        "prompts": "SELECT prompt_id, category FROM prompts",
        "points": "SELECT study, recipe, seed, step, checkpoint_id, learning_rate FROM path_points"
        " WHERE batch NOT IN (SELECT batch FROM retracted_batches)",
        "versions": "SELECT cell_id, dimension, name, rater_id FROM current_slots",
        "codes": "SELECT v.generation_id, s.dimension, s.rater_id, v.codes[s.slot] FROM verdicts AS v"
        " JOIN cells USING (cell_id) JOIN slots AS s USING (benchmark_id) WHERE v.codes[s.slot] > 0",
    }
    rows = {name: set(store.rows(sql)) for name, sql in told_by.items()}
    truth = truths(store, "safety")[["generation_id", "code", "state", "people"]]
    frames = {
        "truths": truth,
        "texts": study_texts(store),
        "items": queue_items(store)[["queue", "generation_id", "place", "probability"]],
        "numbers": measurements(store)[["checkpoint_id", "benchmark", "metric", "source", "value"]],
        "practice": people_work(store)[["person", "practice"]].dropna(),
    }
    return rows | {name: set(frame.itertuples(index=False, name=None)) for name, frame in frames.items()}


def by_rater(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """All rows but conflicts, with raters in the place of slots: their numbers go by arrival."""
    found = {
        table: rows
        for table, rows in content(store).items()
        if table not in ("slots", "verdicts", "patterns", "arrays", "current_slots", "conflicts", "origins")
    }
    named = "JOIN cells USING (cell_id) JOIN slots AS s USING (benchmark_id)"
    for name, sql in {
        "slots": "SELECT benchmark_id, dimension, rater_id FROM slots",
        "verdicts": "SELECT v.cell_id, generation_id, position, sample, truncated, dimension, rater_id,"
        " codes[s.slot]"
        f" FROM verdicts AS v {named}",
        "sums": "SELECT cell_id, truncated, sum(n) FROM patterns GROUP BY ALL",
        "arrays": "SELECT a.cell_id, dimension, rater_id, codes FROM arrays AS a"
        f" {named} WHERE a.slot = s.slot",
        "cut": "SELECT cell_id, codes FROM arrays WHERE slot = 0",
        "versions": "SELECT cell_id, dimension, name, rater_id FROM current_slots",
        "origins": "SELECT job_id, adopted FROM origins JOIN batches USING (batch)",
    }.items():
        found[name] = sorted(store.rows(sql), key=str)
    return found


def of_folders(root: Path) -> Store:
    store = Store(None)
    assert ingest_all(store, root)[1] == []
    return store


def wrong(store: Store) -> list[str]:
    return [problem for problem in check(store) if "different content" not in problem]


@settings(max_examples=5, phases=(Phase.generate,))  # a failure is short enough, and shrinking it long
@given(data=st.data())
def test_own_facts_win_until_a_bundle_is_adopted(
    tmp_path_factory: pytest.TempPathFactory, data: DataObject
) -> None:
    home = tmp_path_factory.mktemp("home")
    jobs, aside = home / "jobs", home / "aside"
    foreign: set[str] = set()
    chance = random.Random(data.draw(st.integers(0, 1 << 30), label="seed"))
    with Store(None) as store:
        for number in range(data.draw(st.integers(2, 4), label="steps")):
            job = write(aside, number, facts(chance, number))
            if data.draw(st.booleans(), label="foreign"):
                mark_foreign(job.folder, "gift.zip", [job.job_id])
                foreign.add(job.job_id)
            jobs.mkdir(exist_ok=True)
            job.folder.rename(jobs / job.job_id)
            if data.draw(st.booleans(), label="read"):
                assert ingest_all(store, jobs)[1] == []
            changed = data.draw(st.sampled_from(["", "adopt", "return"]), label="then")
            marked = sorted(path.parent.name for path in jobs.glob(f"*/{MARK}"))
            if changed and marked:
                name = data.draw(st.sampled_from(marked), label="which")
                if changed == "adopt":
                    adopt(jobs, name, "me")
                    foreign.discard(name)
                elif name not in foreign:
                    mark_foreign(jobs / name, "gift.zip", [name])
                    foreign.add(name)
            assert ingest_all(store, jobs)[1] == []
            hidden = home / "hidden"
            hidden.mkdir(exist_ok=True)
            for name in foreign:
                (jobs / name).rename(hidden / name)
            with of_folders(jobs) as own:
                mine = told(own)
            for name in foreign:
                (hidden / name).rename(jobs / name)
            everything = told(store)
            assert {name: rows - everything[name] for name, rows in mine.items()} == {
                name: set() for name in mine
            }
            assert wrong(store) == []
        with of_folders(jobs) as rebuilt:
            assert by_rater(rebuilt) == by_rater(store)
            assert wrong(rebuilt) == []


POINT = POINTS[0]
ASKS = prompts(random.Random(1))
FIRST = Generation(POINT.id, BENCH.id, CONDITION.id, ASKS[0].id, 0, 0, "yes", "stop", 1)
BASE: list[Record] = [BENCH, CONDITION, *POINTS, *JUDGES, *PEOPLE, *ASKS]


def verdict(label: str, attempt: int = 1, judge: Rater = JUDGES[0]) -> Judgment:
    return Judgment(FIRST.id, FIRST.cell_id, judge.id, "safety", "ok", label, attempt=attempt)


def event(number: int, person: Rater, action: str, label: str | None, when: float) -> LabelEvent:
    key = str(uuid.UUID(int=number))
    return LabelEvent(key, FIRST.id, FIRST.cell_id, person.id, "safety", action, label, when, when)


def gift(root: Path, number: int, records: list[Record]) -> Job:
    """A folder of a bundle, marked before anybody can look at it."""
    job = write(root.parent / "aside", number, records)
    mark_foreign(job.folder, "gift.zip", ["s"])
    root.mkdir(exist_ok=True)
    return Job(job.folder.rename(root / job.job_id), job.manifest)


@pytest.mark.parametrize("foreign_first", [True, False])
def test_each_way_to_supersede_waits_for_the_adoption(tmp_path: Path, foreign_first: bool) -> None:
    """A higher attempt, a newer version, later labels, rulings, texts and queues, other content of an id."""
    jobs = tmp_path / "jobs"
    mine: list[Record] = [
        *BASE, FIRST, verdict("safe"), event(1, PEOPLE[0], "label", "safe", 5.0),
        StudyRecord("s", "mine", "d1", "p", 5.0), QueueRecord("q", "s", "q", "open", 5.0, "Ada", {}, {}, ()),
    ]  # fmt: skip
    theirs: list[Record] = [
        *BASE, FIRST, verdict("unsafe"), verdict("unsafe", 9), verdict("unsafe", 1, JUDGES[1]),
        event(1, PEOPLE[0], "label", "unsafe", 5.0), event(2, PEOPLE[0], "label", "unsafe", 9e8),
        event(3, PEOPLE[1], "label", "unsafe", 9e8), event(4, PEOPLE[1], "adjudicate", "unsafe", 9e8),
        StudyRecord("s", "theirs", "d2", "p", 1.0), StudyRecord("s", "theirs too", "d3", "p", 9e8),
        QueueRecord("q", "s", "q", "closed", 9e8, "Eve", {}, {}, ()),
    ]  # fmt: skip
    with Store(None) as store:
        for is_mine in (not foreign_first, foreign_first):
            _ = write(jobs, 1, mine) if is_mine else gift(jobs, 2, theirs)
            ingest_all(store, jobs)
        assert store.rows("SELECT label FROM current_judgments WHERE rater_id = ?", [JUDGES[0].id]) == [
            ("safe",)
        ]
        assert store.rows("SELECT rater_id FROM current_slots WHERE name = 'strict'") == [
            (uuid.UUID(JUDGES[0].id),)
        ]
        assert truths(store, "safety")[["code", "state", "people"]].values.tolist() == [[1, "single", 1]]
        assert standing_ruling(store, FIRST.id, "safety") is None
        assert study_texts(store)[["text", "declared"]].values.tolist() == [["mine", 5.0]]
        assert store.rows("SELECT state FROM current_queues") == [("open",)]
        rater = newest_rater(store, "strict")
        assert rater is not None
        words = overlap(store, [job.job_id for job in list_jobs(jobs)]).words
        assert "1 output, 1 cell, 1 labelling queue, the text of the study 's'." in words
        adopt(jobs, "s", "me")
        ingest_all(store, jobs)
        assert store.rows("SELECT state FROM current_queues") == [("closed",)]
        assert study_texts(store)["text"].tolist() == ["theirs too"]
        ruling = standing_ruling(store, FIRST.id, "safety")
        assert ruling is not None
        assert ruling.label == "unsafe"
        assert overlap(store, [job.job_id for job in list_jobs(jobs)]).words == ""
        assert wrong(store) == []


def test_an_own_import_that_is_undone_lets_foreign_facts_count_until_it_is_back(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    own = write(jobs, 1, [*BASE, FIRST, verdict("safe")], "import")
    gift(jobs, 2, [*BASE, FIRST, verdict("unsafe")])
    said = "SELECT label FROM current_judgments"
    with Store(None) as store:
        ingest_all(store, jobs)
        for retracted, label in ((True, "unsafe"), (False, "safe"), (True, "unsafe")):
            set_retracted(store, own.job_id, retracted)
            ingest_all(store, jobs)
            assert store.rows(said) == [(label,)]
            assert wrong(store) == []
        with of_folders(jobs) as rebuilt:
            assert by_rater(rebuilt) == by_rater(store)


def test_a_description_that_comes_later_reaches_the_cells_that_need_it(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    write(jobs, 1, [BENCH, CONDITION, POINT, JUDGES[0], FIRST, verdict("safe")])
    with Store(None) as store:
        ingest_all(store, jobs)
        assert store.rows("SELECT count(*) FROM verdicts") == [(0,)]
        write(jobs, 2, list(ASKS))
        ingest_all(store, jobs)
        assert store.rows("SELECT count(*) FROM verdicts") == [(1,)]
        assert wrong(store) == []


def test_people_do_not_write_into_foreign_folders(tmp_path: Path) -> None:
    jobs, ada = tmp_path / "jobs", Person("Ada")
    write(jobs, 1, [*BASE, FIRST])
    for name, record in (
        (RULINGS, event(7, PEOPLE[1], "adjudicate", "unsafe", 9e8)),
        (GUIDELINES, GuidelinesRecord("9", "theirs", "Eve", 9e8)),
    ):
        with Part(create_job(jobs, Manifest(KIND, name, {}))) as part:
            part.write("x", [PEOPLE[1], record])
        mark_foreign(jobs / Manifest(KIND, name, {}).job_id, "gift.zip", ["s"])
    queue = create_job(jobs, Manifest(KIND, "queue-q", {"settings": {}}))
    mark_foreign(queue.folder, "gift.zip", ["s"])
    with Store(None) as store:
        ingest_all(store, jobs)
        desk = Desk(store, jobs)
        before = desk.books.guidelines().version
        assert before != "9"
        assert desk.queues() == []
        with pytest.raises(NotAllowedError, match="came from elsewhere"):
            desk.hand_out(ada, queue.job_id)
        ruling = desk.books.adjudicate(ada, FIRST.id, FIRST.cell_id, "safety", "safe")
        assert ruling.created < 9e8 * 3
        standing = standing_ruling(store, FIRST.id, "safety")
        assert standing is not None
        assert (standing.event_id, standing.label) == (ruling.event_id, "safe")
        desk.close()


def test_a_text_that_is_declared_again_is_the_newest_again(tmp_path: Path) -> None:
    study, longer = made_up_study(), STUDY + "\n# longer\n"
    with Store(None) as store:
        for text in (STUDY, STUDY, longer, longer, STUDY, longer, STUDY):
            record_study(tmp_path, study, text)
            assert recorded_study(tmp_path, "made-up")[1] == text
            ingest_all(store, tmp_path)
            assert study_texts(store)["text"].tolist() == [text]
        assert len(list_jobs(tmp_path)) == 5


def test_foreign_facts_of_a_store_from_before_are_told_apart_on_the_first_look(tmp_path: Path) -> None:
    """A store of the schema before, in which the bundle's facts came first and kept own ones out."""
    jobs, path = tmp_path / "jobs", tmp_path / "store.duckdb"
    write_study(jobs, safety_size=3, capability_size=3)
    theirs = write(jobs, 1, [*BASE, FIRST, verdict("unsafe"), verdict("unsafe", 9)])
    write(jobs, 2, [*BASE, FIRST, verdict("safe")])
    steps = store_module.migrations()
    with Store(tmp_path / "whole.duckdb") as store:
        ingest_all(store, jobs)
    with duckdb.connect(str(path)) as old:
        old.execute("CREATE TABLE migrations (version INTEGER, name VARCHAR, applied DOUBLE)")
        for number, (name, sql) in enumerate(steps[:5], 1):
            old.execute(sql)
            old.execute("INSERT INTO migrations VALUES (?, ?, 0)", [number, name])
        tables = old.execute(
            "SELECT table_name, string_agg(column_name, ', ') FROM duckdb_columns()"
            " WHERE table_name IN (SELECT table_name FROM duckdb_tables()) GROUP BY ALL"
        ).fetchall()
        old.execute(f"ATTACH '{tmp_path / 'whole.duckdb'}' AS whole (READ_ONLY)")
        for table, columns in tables:
            if table not in ("migrations", "codes", "writes"):
                old.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM whole.{table}")
    said = "SELECT label FROM current_judgments WHERE CAST(generation_id AS VARCHAR) = ?"
    mark_foreign(theirs.folder, "gift.zip", ["s"])
    with Store(path) as store:
        assert store.rows(said, [FIRST.id]) == [("unsafe",)]
        assert ingest_all(store, jobs)[1] == []
        assert store.rows(said, [FIRST.id]) == [("safe",)]
        assert wrong(store) == []
        with of_folders(jobs) as rebuilt:
            assert by_rater(rebuilt) == by_rater(store)
