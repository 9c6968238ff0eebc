"""The Report page: the order of its parts, texts between them, several outputs, and the presentation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.settings import ROOT
from tests.conftest import made_up_home

PAGE = str(ROOT / "pages" / "report.py")
IDS = ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppTest]:
    with made_up_home(tmp_path_factory.mktemp("reported"), 12, 12):
        yield AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=60).run()


def opened(app: AppTest, **query: str) -> AppTest:
    app.query_params.clear()
    app.switch_page(PAGE)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def items(app: AppTest) -> str:
    value = app.query_params["items"]
    return value if isinstance(value, str) else value[0]


def texts(app: AppTest) -> str:
    kinds = (app.title, app.header, app.markdown, app.text, app.caption)
    return " ".join(element.value for kind in kinds for element in kind).replace("\\", "")


def test_parts_move_by_keys_texts_and_outputs_are_added_in_order(app: AppTest) -> None:
    opened(app, items="judges~incoherence")
    app.button(key="Move down-judges").click().run()
    assert items(app) == "incoherence~judges"
    [add] = [b for b in app.button if b.label == "Add a text"]
    add.click().run()
    assert items(app) == "incoherence~judges~text:1"
    app.button(key="Move up-text:1").click().run()
    assert items(app) == "incoherence~text:1~judges"
    [field] = [t for t in app.text_input if t.label == "Add outputs as examples"]
    field.set_value(f"https://host/one?generation={IDS[0]} and {IDS[1]}").run()
    assert items(app) == f"incoherence~text:1~judges~output:{IDS[0]}~output:{IDS[1]}"
    assert not app.exception


def test_each_part_says_what_it_rests_on(app: AppTest) -> None:
    shown = texts(opened(app, items="judges"))
    assert "Judges: learnt-harm, prefix-zou" in shown
    assert "Conditions: no system prompt, temperature 0" in shown


def test_a_presentation_has_the_headline_as_title_and_what_it_rests_on(app: AppTest) -> None:
    opened(app, items="judges~text:1~incoherence", present="1")
    assert app.title[0].value.startswith("On incoherent responses, judges differ by")
    shown = texts(app)
    assert "1 of 2" in shown, "a text without words is not presented"
    assert "Conclusion: " in shown
    assert not [e for e in app.caption if "arrow" in e.value.lower()]
