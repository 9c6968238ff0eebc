"""Stars, comments and lists that have a name: events with a person and a time, which nothing changes."""

from __future__ import annotations

import random
import uuid
from pathlib import Path

import pytest

from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.analysis.view import open_view
from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.jobs.foreign import mark_foreign
from capsafe_core.labelling.books import LONGEST_VIEW, Books
from capsafe_core.people import Person
from capsafe_core.records import Remark, SavedView
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from capsafe_core.store.export import jobs_of, tables_into
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.remarks import remarks_on, saved_views, starred
from capsafe_core.store.rollups import check
from tests.synthetic import write_study

ADA, BEN = Person("Ada"), Person("Ben")


@pytest.fixture
def books(tmp_path: Path) -> Books:
    write_study(tmp_path / "jobs", 4, 3)
    store = Store(None, tmp_path / "exports")
    ingest_all(store, tmp_path / "jobs")
    return Books(store, tmp_path / "jobs")


def outputs(books: Books) -> list[tuple[str, str]]:
    return books.store.rows(
        "SELECT CAST(generation_id AS VARCHAR), CAST(cell_id AS VARCHAR) FROM generations ORDER BY 1 LIMIT 6"
    )


@pytest.mark.parametrize("seed", range(3))
def test_what_stands_follows_from_the_events_whatever_their_order(books: Books, seed: int) -> None:
    chance = random.Random(seed)
    some = outputs(books)
    stars: set[tuple[str, str]] = set()
    comments: dict[str, list[tuple[str, str]]] = {}
    for turn in range(15):
        generation, cell = chance.choice(some)
        person, action = chance.choice([ADA, BEN]), chance.choice(["star", "unstar", "comment"])
        books.remark(person, generation, cell, action, f"words {turn}" if action == "comment" else "")
        if action == "comment":
            comments.setdefault(generation, []).append((person.name, f"words {turn}"))
        else:
            (stars.add if action == "star" else stars.discard)((generation, person.name))
    for store in (books.store, Store(None)):
        ingest_all(store, books.jobs)  # the second from nothing: the folders are the truth
        assert starred(store) == {generation for generation, _ in stars}
        for generation, _ in some:
            said = remarks_on(store, generation)
            told = said[said["action"] == "comment"]
            assert list(zip(told["author"], told["text"], strict=True)) == comments.get(generation, [])
            assert set(said.loc[said["action"] == "star", "author"]) == {
                p for g, p in stars if g == generation
            }
        for marks, expected in (("starred", {g for g, _ in stars}), ("commented", set(comments))):
            rows, count = outputs_table(open_view(store, Selection(marks=marks)))
            assert (set(rows["generation_id"]), count) == (expected, len(expected))
        assert store.rows("SELECT count(*), count(DISTINCT created) FROM remarks") == [(15, 15)]
        assert check(store) == []


def test_a_name_of_a_list_is_given_changed_and_taken_away(books: Books) -> None:
    link = Selection("made-up", outcomes=("unsafe",), columns=("answer",)).to_query()
    books.save_view(ADA, "made-up", " my  list ", link)
    books.save_view(ADA, "other", "my list", {"study": "other"})
    [saved] = saved_views(books.store, "made-up")
    assert (saved.name, saved.selection, saved.author) == ("my list", link, "Ada")
    books.save_view(BEN, "made-up", "my list", {"study": "made-up"})
    [saved] = saved_views(books.store, "made-up")
    assert (saved.selection, saved.author) == ({"study": "made-up"}, "Ben")
    books.save_view(ADA, "made-up", "my list", {})
    assert saved_views(books.store, "made-up") == []
    assert books.store.rows("SELECT count(*) FROM saved_views") == [(4,)]
    books.save_view(ADA, "made-up", "my list", link)
    assert [view.name for view in saved_views(books.store, "made-up")] == ["my list"]


def test_who_may_not_write_and_what_cannot_be_kept_is_refused(books: Books) -> None:
    generation, cell = outputs(books)[0]
    for role in ("viewer", "annotator"):
        with pytest.raises(NotAllowedError):
            books.remark(Person("Eve", role), generation, cell, "star")
        with pytest.raises(NotAllowedError):
            books.save_view(Person("Eve", role), "made-up", "mine", {"study": "made-up"})
    for text in ("", "  \n", "x" * 10**6):
        with pytest.raises(CapsafeError, match="A comment has"):
            books.remark(ADA, generation, cell, "comment", text)
    for name in ("", "\u0000", "x" * (LONGEST_VIEW + 1)):
        with pytest.raises(CapsafeError, match="A name has"):
            books.save_view(ADA, "made-up", name, {})
    with pytest.raises(CapsafeError):
        books.remark(ADA, generation, cell, "applaud")
    assert books.store.rows("SELECT count(*) FROM remarks") == [(0,)]


def test_remarks_go_out_with_the_data_and_foreign_ones_do_not_count(books: Books) -> None:
    generation, cell = outputs(books)[0]
    books.remark(ADA, generation, cell, "comment", "odd")
    books.save_view(ADA, "made-up", "mine", {"study": "made-up"})
    [(job,)] = books.store.rows("SELECT job_id FROM batches WHERE name = 'remarks'")
    assert job in jobs_of(books.store, "made-up")
    folder = tables_into(books.store, "all", "csv")
    assert "odd" in (folder / "remarks.csv").read_text()
    assert "mine" in (folder / "saved_views.csv").read_text()
    theirs = create_job(books.jobs, Manifest("annotate", "theirs", {}))
    mark_foreign(theirs.folder, "elsewhere", ["made-up"])
    with Part(theirs) as part:
        part.write(
            "all",
            [
                Remark(str(uuid.UUID(int=1)), generation, cell, "Ada", "star", 9e9),
                SavedView("made-up", "mine", {}, "Ada", 9e9),
            ],
        )
    _, problems = ingest_all(books.store, books.jobs)
    assert problems == []
    assert books.store.rows("SELECT count(*) FROM remarks") == [(2,)]
    assert starred(books.store) == set()
    assert [view.name for view in saved_views(books.store, "made-up")] == ["mine"]
