"""The Annotate page by its address: the queue that a link names, and no other one instead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.people import Person
from capsafe_core.settings import ROOT
from capsafe_core.workspace.owner import current_owner
from tests.conftest import made_up_home
from tests.labelling.desks import queue

QUEUES = ("First", "Second")


@pytest.fixture(scope="module")
def queues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Name -> id of the queues of a workspace."""
    with made_up_home(tmp_path_factory.mktemp("annotate"), 3, 2):
        owner = current_owner()
        yield {name: queue(owner.desk, name=name, size=4).queue for name in QUEUES}


def page_at(asked: str | None) -> AppTest:
    page = AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=60)
    page.session_state["person"] = Person("Ada")
    page.run()
    page.switch_page(str(ROOT / "pages" / "annotate.py"))
    if asked is not None:
        page.query_params["queue"] = asked
    return page.run()


@pytest.mark.parametrize("name", QUEUES)
def test_a_link_leads_to_its_queue(queues: dict[str, str], name: str) -> None:
    page = page_at(queues[name])
    assert not page.exception
    assert page.selectbox[0].value == queues[name]
    assert len(page.warning) == 0


@pytest.mark.parametrize("asked", ["x", "../x", "<img src=x>", "a" * 5000, "annotate-queue-first-", "\x00"])
def test_a_link_to_no_queue_leads_to_none(queues: dict[str, str], asked: str) -> None:
    """The first one was labelled instead, and nobody saw it."""
    page = page_at(asked)
    assert not page.exception
    assert page.selectbox[0].value is None
    assert "not in this workspace" in page.warning[0].value
    page.selectbox[0].select(queues["Second"]).run()
    assert not page.exception
    assert len(page.warning) == 0


def test_without_a_link_the_newest_queue_is_open(queues: dict[str, str]) -> None:
    for asked in (None, ""):
        assert page_at(asked).selectbox[0].value == queues["Second"]


def test_ones_own_queue_opens_before_others_and_the_list_says_whose_each_is(queues: dict[str, str]) -> None:
    desk, researcher = current_owner().desk, Person("Cay")
    desk.assign(researcher, queues["First"], ["Ada"])
    desk.assign(researcher, queues["Second"], ["Ben", "Cay"])
    page = page_at(None)
    assert page.selectbox[0].value == queues["First"]
    assert page.selectbox[0].options == ["First (yours)", "Second (assigned to Ben and Cay)"]
