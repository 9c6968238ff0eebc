"""A workspace with nothing in it: where a newcomer begins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.places import ROOT
from capsafe_core.ui import identity
from tests.apps import app_over

ASKING = sorted(p.name for p in (ROOT / "pages").glob("*.py") if "screen.question(" in p.read_text())


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[AppTest]:
    with app_over(tmp_path, timeout=240) as page:
        yield page.run()


def words(page: AppTest) -> str:
    shown = " ".join(str(e.value) for e in (*page.subheader, *page.markdown, *page.text))
    return shown.replace("\\", "")


def test_every_page_that_needs_a_study_offers_three_ways_to_begin(empty: AppTest) -> None:
    assert len(ASKING) >= 7
    for name in ASKING:
        empty.switch_page(str(ROOT / "pages" / name)).run()
        assert not empty.exception, name
        said = words(empty)
        assert "Nothing here yet" in said, name
        assert all(way in said for way in ("Look around", "You have logs", "You have a model")), name
        assert [b.label for b in empty.button if "demo" in b.label] == ["Open the demo study"], name


def test_the_demo_study_opens_in_an_empty_workspace(empty: AppTest) -> None:
    (button,) = [b for b in empty.button if b.label == "Open the demo study"]
    button.click().run()
    assert not empty.exception
    assert not empty.warning
    assert "Nothing here yet" not in words(empty)
    assert "60% accuracy on sums-with-working" in words(empty), "the headline of the demo"


def test_who_may_not_begin_learns_who_may(empty: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "role", lambda: "viewer")
    empty.run()
    assert "A researcher imports logs or starts a study" in words(empty)
    assert not [b for b in empty.button if "demo" in b.label]
