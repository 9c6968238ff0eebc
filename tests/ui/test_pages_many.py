"""Every page over a study with many of everything: recipes, data sets, judges."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.settings import ROOT
from tests.apps import app_over
from tests.bench.made_store import make

LACKING = {"labels.py": ["Nobody has labelled the safety of these outputs yet"]}
"""by page: how the sentences of parts begin that have nothing to show, since no person labels this study"""
PAGES = sorted(path.name for path in (ROOT / "pages").glob("*.py"))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppTest]:
    home = tmp_path_factory.mktemp("many")
    make(home / "store.duckdb", recipes=42, prompts=8, more_judges=20, datasets=21)
    with app_over(home, timeout=300) as test:
        yield test.run()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_over_many_of_everything_answers(app: AppTest, page: str) -> None:
    app.query_params.clear()
    app.switch_page(str(ROOT / "pages" / page))
    app.query_params["open"] = "all"
    app.run()
    assert not app.exception, [e.message[:300] for e in app.exception]
    assert app.title[0].value
    lacking = [e.value for e in (*app.warning, *app.error) if e.proto.title == "This cannot be shown"]
    expected = LACKING.get(page, [])
    assert len(lacking) == len(expected), lacking
    assert all(told.startswith(words) for told, words in zip(lacking, expected, strict=True)), lacking
