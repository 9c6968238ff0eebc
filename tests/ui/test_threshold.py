"""The threshold on the pages: beside a judge that gives a score, and in the link."""

from __future__ import annotations

import re

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.people import Person
from capsafe_core.settings import ROOT, Settings
from capsafe_core.workspace.owner import close_owner
from tests.analysis.test_threshold import JUDGE, scored


@pytest.fixture
def app(workspace: Settings) -> AppTest:
    scored(workspace.jobs_path)
    test = AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=60)
    test.session_state["person"] = Person("Ada")
    return test


def test_a_threshold_is_chosen_goes_along_and_ends_with_its_judge(app: AppTest) -> None:
    try:
        app.run().switch_page(str(ROOT / "pages" / "capability.py")).run()
        assert not [n for n in app.number_input if n.label == "Judge's threshold"]
        app.query_params["judges"] = JUDGE
        app.run()
        [field] = [n for n in app.number_input if n.label == "Judge's threshold"]
        assert (field.value, field.proto.placeholder) == (None, "its own, 0.5")
        field.set_value(0.35).run()
        assert not app.exception
        assert app.query_params["cutoff"] == "0.35"
        assert any("its own threshold is 0.5" in re.sub(r"\\(.)", r"\1", c.value) for c in app.caption)
        [judge] = [s for s in app.selectbox if s.label == "Judge"]
        judge.set_value("prefix-zou").run()
        assert not app.exception
        assert "cutoff" not in app.query_params
        app.query_params["cutoff"] = "0.35"  # a link that somebody wrote
        app.run()
        assert "gives no score, so it has no threshold" in app.warning[0].value
    finally:
        close_owner()
