"""Every page, run by streamlit's own test driver over a real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.analysis.view import View, open_view
from capsafe_core.selection import Selection
from capsafe_core.settings import ROOT
from capsafe_core.ui import screen
from capsafe_core.workspace.owner import current_owner
from tests.conftest import made_up_home

PAGES = sorted(path.name for path in (ROOT / "pages").glob("*.py"))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppTest]:
    with made_up_home(tmp_path_factory.mktemp("workspace"), 12, 10):
        yield AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=60).run()


@pytest.mark.parametrize("opened", ["", "all"])
@pytest.mark.parametrize("page", PAGES)
def test_every_page_renders_its_title_and_no_error(app: AppTest, page: str, opened: str) -> None:
    app.query_params.clear()
    app.switch_page(str(ROOT / "pages" / page))
    app.query_params["open"] = opened
    app.run()
    assert not app.exception
    assert len(app.title) == 1
    assert app.title[0].value
    lists = {box.key: box.options for box in app.selectbox if (box.key or "").startswith("marks-")}
    told_apart_by_number = {
        key: [one for one in marks if one.endswith(" (2)")] for key, marks in lists.items()
    }
    assert {key: marks for key, marks in told_apart_by_number.items() if marks} == {}
    assert not [mark for marks in lists.values() for mark in marks if "%{" in mark or "nan" in mark]


def test_a_closed_section_is_not_computed(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def noted(view: View, name: str, work: Callable[[], object]) -> object:
        made.append(name)
        return work()

    monkeypatch.setattr(screen, "remembered", noted)
    parts = {"goals", "between", "profile", "worst", "discrimination", "margins", "corrected", "pareto"}
    app.query_params.clear()
    app.switch_page(str(ROOT / "pages" / "capability.py")).run()
    assert not parts & set(made)
    app.query_params["open"] = "goals~margins"
    app.run()
    assert parts & set(made) == {"goals", "margins"}
    app.query_params["open"] = "all"
    app.run()
    assert parts <= set(made)


def test_one_output_shows_prompt_answer_and_every_judgment(app: AppTest) -> None:
    view = open_view(current_owner().store, Selection(outcomes=("incoherent",)))
    chosen = outputs_table(view, limit=1)[0]["generation_id"].iloc[0]
    app.query_params["generation"] = chosen
    app.run()
    app.switch_page(str(ROOT / "pages" / "output.py"))
    app.query_params["generation"] = chosen
    app.run()
    assert not app.exception
    shown = " ".join(code.value for code in app.code)
    assert "Request" in shown
    assert len(app.expander) >= 4


def test_back_to_the_primary_specification_goes_back(app: AppTest) -> None:
    app.query_params.clear()
    app.run()
    app.switch_page(str(ROOT / "pages" / "capability.py")).run()
    next(s for s in app.selectbox if s.label == "Judge").select("learnt-harm").run()
    assert "learnt-harm" in app.query_params["judges"]
    next(b for b in app.button if b.label.startswith("Back to the primary")).click().run()
    assert "judges" not in app.query_params
    assert next(s for s in app.selectbox if s.label == "Judge").value == "prefix-zou"
    assert not any(b.label.startswith("Back to the primary") for b in app.button)


def test_a_link_to_nothing_says_so(app: AppTest) -> None:
    app.switch_page(str(ROOT / "pages" / "output.py"))
    app.query_params["generation"] = "no-such-id"
    app.run()
    assert not app.exception
    assert any("no output with this id" in warning.value for warning in app.warning)


def test_a_link_to_variants_that_are_not_there_says_so_and_leads_back(app: AppTest) -> None:
    app.switch_page(str(ROOT / "pages" / "conclusions.py"))
    app.query_params["variants"] = "judge=prefix-zuo"
    app.run()
    assert not app.exception
    assert any("no analysis variant with judge" in warning.value for warning in app.warning)
    assert any("Did you mean prefix-zou?" in text.value for text in app.text)
    next(b for b in app.button if b.label == "Show all analysis variants").click().run()
    assert "variants" not in app.query_params
    assert not app.warning


def test_pages_are_thin() -> None:
    for page in (ROOT / "pages").glob("*.py"):
        assert len(page.read_text().splitlines()) < 100, page.name


def test_no_page_and_no_widget_shows_text_as_markup() -> None:
    for path in [*(ROOT / "pages").glob("*.py"), *(ROOT / "capsafe_core" / "ui").glob("*.py")]:
        text = path.read_text()
        assert "unsafe_allow_html" not in text, path
        assert "st.html(" not in text or path.name in ("safe_text.py", "page_style.py"), path
        assert "st.table(" not in text, path
        assert "st.write(" not in text, path


def test_the_app_module_names_its_script_and_headers() -> None:
    text = Path(ROOT / "app.py").read_text()
    assert "SecurityHeaders" in text


def test_the_specification_stands_once_a_page(app: AppTest) -> None:
    for page in ("capability.py", "incoherence.py", "disagreement.py", "conclusions.py"):
        app.query_params.clear()
        app.switch_page(str(ROOT / "pages" / page))
        app.query_params["open"] = "all"
        app.run()
        said = [caption.value for caption in app.caption if "primary specification" in caption.value]
        assert len(said) == 1, (page, said)
        assert len(app.caption) > 1
