"""The list of outputs and one output: what the link holds, what comes back, and the way along the list."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.analysis.outputs import PAGE, list_words, outputs_table, place_of
from capsafe_core.analysis.view import View, open_view
from capsafe_core.people import Person
from capsafe_core.selection import Selection
from capsafe_core.settings import ROOT
from capsafe_core.store.output_lists import COLUMNS, USUAL
from capsafe_core.store.outputs import incoherence_spans, read_output
from capsafe_core.store.remarks import saved_views
from capsafe_core.ui import identity
from capsafe_core.workspace.owner import current_owner
from tests.conftest import made_up_home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with made_up_home(tmp_path_factory.mktemp("workspace"), 12, 10):
        yield


@pytest.fixture
def app(home: None) -> AppTest:
    return AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=60).run()


def go(app: AppTest, file: str, **query: str) -> AppTest:
    app.query_params.clear()
    app.switch_page(str(ROOT / "pages" / file))
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def view_of(**parts: object) -> View:
    return open_view(current_owner().store, Selection(**parts))  # type: ignore[arg-type]


def query_of(app: AppTest) -> Selection:
    return Selection.from_query({k: v if isinstance(v, str) else v[0] for k, v in app.query_params.items()})


def test_filters_columns_and_page_are_in_the_link(app: AppTest) -> None:
    go(app, "outputs.py")
    app.multiselect(key="outcomes").set_value(["refusal", "incoherent"]).run()
    app.multiselect(key="columns").set_value(["response", "prompt id", "verdicts"]).run()
    chosen = query_of(app)
    assert (chosen.outcomes, chosen.columns) == (
        ("refusal", "incoherent"),
        ("response", "prompt id", "verdicts"),
    )
    shown = app.dataframe[0].value
    assert list(shown.columns) == ["response", "prompt id", "learnt-harm", "prefix-zou"]
    found = outputs_table(view_of(outcomes=chosen.outcomes))[1]
    assert found > PAGE
    assert any(
        text.value.startswith(f"{found} outputs with the outcome refusal or incoherent") for text in app.text
    )
    app.number_input[0].set_value(2).run()
    assert query_of(app).page == 2
    assert len(app.dataframe[0].value) == min(PAGE, found - PAGE)


def test_the_list_comes_back_as_it_was_left(app: AppTest) -> None:
    go(app, "outputs.py", outcomes="refusal", order="disputed", page="2", columns="response~recipe")
    left = query_of(app)
    go(app, "capability.py")
    next(s for s in app.selectbox if s.label == "Judge").select("learnt-harm").run()
    go(app, "outputs.py")
    back = query_of(app)
    assert back == left.but(study="made-up", judges=("learnt-harm",))
    assert app.multiselect(key="outcomes").value == ["refusal"]
    go(app, "outputs.py", recipes="harsh")
    assert query_of(app) == Selection(recipes=("harsh",))


def test_a_page_beyond_the_last_is_the_last(app: AppTest) -> None:
    go(app, "outputs.py", page="999", benchmarks="requests")
    found = outputs_table(view_of(benchmarks=("requests",)))[1]
    assert len(app.dataframe[0].value) == found - (found - 1) // PAGE * PAGE


def test_texts_are_a_list_too(app: AppTest) -> None:
    go(app, "outputs.py", layout="text", outcomes="incoherent")
    rows, _ = outputs_table(view_of(outcomes=("incoherent",)))
    opening = [b for b in app.button if b.label == "Open"]
    assert len(opening) == len(rows)
    assert any("<mark>" in html.value for html in app.get("html"))
    assert not any("prompt" in frame.value.columns for frame in app.dataframe)
    opening[1].click().run()
    assert query_of(app).generation == rows["generation_id"].iloc[1]
    assert query_of(app).outcomes == ("incoherent",)


@pytest.mark.parametrize("order", ["", "disputed", "random"])
def test_the_way_along_a_list_is_the_list(home: None, order: str) -> None:
    parts: dict[str, object] = {"outcomes": ("unsafe", "refusal"), "order": order}
    rows, found = outputs_table(view_of(**parts), 10**6, 0, order or "position")
    ids = ["", *rows["generation_id"], ""]
    assert found > 2 * PAGE
    for at in (1, 2, PAGE - 1, PAGE, PAGE + 1, PAGE + 2, 2 * PAGE, found - 1, found):
        page = 1 + (at - 1) // PAGE
        place = place_of(view_of(**parts, page=page), ids[at])
        assert place is not None
        assert (place.place, place.count, place.before, place.after) == (at, found, ids[at - 1], ids[at + 1])
        assert (place.page(-1), place.page(1)) == (1 + (at - 2) // PAGE, 1 + at // PAGE)
    assert place_of(view_of(**parts), ids[-2]) is None


def test_next_and_previous_walk_the_filtered_list_over_pages(app: AppTest) -> None:
    rows, _ = outputs_table(view_of(outcomes=("refusal",)), 10**6)
    ids = list(rows["generation_id"])
    go(app, "output.py", outcomes="refusal", generation=ids[PAGE - 1])
    next(b for b in app.button if b.label == "Next").click().run()
    assert (query_of(app).generation, query_of(app).page) == (ids[PAGE], 2)
    assert any(
        text.value.startswith(f"{PAGE + 1} of {len(ids)} outputs with the outcome") for text in app.text
    )
    next(b for b in app.button if b.label == "Previous").click().run()
    assert (query_of(app).generation, query_of(app).page) == (ids[PAGE - 1], 1)
    go(app, "output.py", outcomes="refusal", generation=ids[0])
    assert next(b for b in app.button if b.label == "Previous").disabled


def test_the_raw_record_has_every_judges_words(app: AppTest) -> None:
    store = current_owner().store
    for generation in outputs_table(view_of(), 40)[0]["generation_id"]:
        output = read_output(store, generation)
        record = json.loads(json.dumps(output.record(), allow_nan=False))
        assert record["answer"] == output.facts["answer"]
        assert [(j["judge"], j["asked"], j["raw"]) for j in record["judgments"]] == list(
            output.judgments[["judge", "asked", "raw"]].itertuples(index=False, name=None)
        )
        assert record["places"][0]["recipe"] in set(output.places["recipe"])
        assert incoherence_spans(store, [generation]).get(generation, []) == [
            span for j in record["judgments"] if j["dimension"] == "coherence" for span in j["evidence"]
        ]
    go(app, "output.py", generation=generation)
    assert any(d.label == "Download JSON" for d in app.get("download_button"))


def test_a_star_and_a_comment_are_kept_with_their_person_and_narrow_the_list(app: AppTest) -> None:
    generation = str(outputs_table(view_of(), 5)[0]["generation_id"].iloc[4])
    app.session_state["person"] = Person("Ada")
    go(app, "output.py", generation=generation)
    next(b for b in app.button if b.label == "Star").click().run()
    assert any(text.value == "Starred by Ada" for text in app.text)
    app.text_area[0].set_value("odd ![x](http://127.0.0.1/x)").run()
    next(b for b in app.button if b.label == "Add comment").click().run()
    assert any(
        text.value.startswith("Ada, ") and text.value.endswith(": odd ![x](http://127.0.0.1/x)")
        for text in app.text
    )
    assert app.text_area[0].value == ""
    next(b for b in app.button if b.label == "Add comment").click().run()
    assert any("A comment has" in warning.value for warning in app.warning)
    go(app, "outputs.py", marks="starred", columns="starred~answer")
    assert list(app.dataframe[0].value["starred"]) == [True]
    go(app, "output.py", generation=generation)
    next(b for b in app.button if b.label == "Remove star").click().run()
    assert outputs_table(view_of(marks="starred"))[1] == 0
    assert outputs_table(view_of(marks="commented"))[0]["generation_id"].to_list() == [generation]


def test_a_list_is_saved_under_a_name_and_opened_again(app: AppTest) -> None:
    go(app, "outputs.py", outcomes="refusal", order="disputed", columns="response")
    app.text_input(key="name-of-list").set_value("mine").run()
    next(b for b in app.button if b.label == "Save this list").click().run()
    [saved] = saved_views(current_owner().store, "made-up")
    assert Selection.from_query(saved.selection) == Selection(
        "made-up", outcomes=("refusal",), order="disputed", columns=("response",)
    )
    go(app, "outputs.py", **{**saved.selection, "columns": "recipe"})
    assert list(app.dataframe[0].value.columns) == ["recipe"]
    next(b for b in app.button if b.label == "Remove").click().run()
    assert saved_views(current_owner().store, "made-up") == []


def test_a_viewer_reads_remarks_and_saved_lists_and_writes_none(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = str(outputs_table(view_of(), 1)[0]["generation_id"].iloc[0])
    monkeypatch.setattr(identity, "role", lambda: "viewer")
    for file, query in (("output.py", {"generation": generation}), ("outputs.py", {})):
        go(app, file, **query)
        assert not {"Star", "Add comment", "Save this list", "Remove"} & {b.label for b in app.button}


def test_every_column_can_be_shown_and_an_unknown_one_is_refused(app: AppTest) -> None:
    assert set(USUAL) < set(COLUMNS)
    go(app, "outputs.py", columns="~".join(COLUMNS))
    table = app.dataframe[0].value
    assert set(table.columns) == {*COLUMNS, "learnt-harm", "prefix-zou"} - {"verdicts"}
    go(app, "outputs.py", columns="colour")
    assert any("colour" in warning.value for warning in app.warning)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, "1 output, by prompt"),
        (
            {"outcomes": ("unsafe",), "recipes": ("a", "b"), "benchmarks": ("x",), "order": "disputed"},
            "1 output with the outcome unsafe by a or b to x, most disputed first",
        ),
        (
            {"checkpoints": ("c" * 32,), "search": "sure", "truncated": False},
            "1 output of one checkpoint that contain “sure” without truncated ones, by prompt",
        ),
        (
            {"pattern": "zou=unsafe", "strata": ("refusal",)},
            "1 output of the kind refusal where zou says unsafe, by prompt",
        ),
        (
            {"prompt": "i1", "before": "0123456789:safe"},
            "1 output to the prompt i1 to prompts with the outcome safe at checkpoint 01234567, by prompt",
        ),
    ],
)
def test_a_list_says_what_it_holds(parts: dict[str, object], words: str) -> None:
    assert list_words(Selection(**parts), 1) == words  # type: ignore[arg-type]
