"""The page Mitigations over a made-up study that has some."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.figures.mitigations import mitigated_plane
from capsafe_core.places import DATA
from capsafe_core.settings import ROOT
from capsafe_core.study import parse_study
from capsafe_core.ui.mitigation_parts import examples_of
from tests.conftest import made_up_home

PAGE = str(ROOT / "pages" / "mitigations.py")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppTest]:
    with made_up_home(tmp_path_factory.mktemp("mitigated"), 120, 120, variant="mitigated"):
        yield AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=60).run()


def texts(app: AppTest) -> str:
    shown = " ".join(element.value for kind in (app.markdown, app.text, app.caption) for element in kind)
    return shown.replace("\\", "")


def test_it_answers_the_question_with_price_order_and_pairs(app: AppTest) -> None:
    app.query_params.clear()
    app.switch_page(PAGE).run()
    assert "The order is the same in" not in texts(app)  # computed when it is opened
    app.query_params["open"] = "all"
    app.run()
    assert not app.exception
    shown = texts(app)
    assert "projected is safer: " in shown
    assert "below its goal of 50% on sum-test, so nothing is said of its safety there" in shown
    assert "The order is the same in" in shown
    beside = app.dataframe[0].value
    names = [
        "tuned, stopped at the goal",
        "scaled: half the adapter",
        "scaled (scale)",
        "projected (safelora)",
    ]
    assert list(beside.iloc[:, 0])[:4] == names
    assert len(app.get("plotly_chart")) == 1


def test_a_goal_out_of_reach_and_another_judge_take_the_verb_away(app: AppTest) -> None:
    app.query_params.clear()
    app.switch_page(PAGE)
    app.query_params["goals"] = "sums:1"
    app.run()
    assert not app.exception
    assert "so no mitigation of it can be compared there" in texts(app)
    app.query_params.clear()
    app.query_params["judges"] = "learnt-harm"
    app.run()
    assert not app.exception
    assert "not under the primary specification" in texts(app)


def test_capability_and_safety_leads_there(app: AppTest) -> None:
    app.query_params.clear()
    app.switch_page(str(ROOT / "pages" / "capability.py")).run()
    assert not app.exception
    links = [link.proto.label for link in app.get("page_link")]
    assert any(label.startswith("Which mitigation buys safety") for label in links)


@pytest.mark.parametrize(
    ("start", "of", "methods"),
    [
        ('recipe = "alignment"', "sums", ["scale", "safelora"]),
        ('model = "/chat"\nbase = "/before"', "alignment", ["scale", "dare"]),
    ],
)
def test_a_study_without_a_mitigation_gets_recipes_that_can_be_added_as_they_stand(
    start: str, of: str, methods: list[str]
) -> None:
    text = (DATA / "demo" / "study.toml").read_text(encoding="utf-8").replace('recipe = "alignment"', start)
    study = parse_study(text)
    added = parse_study(f"{text}\n{examples_of(study)}").recipes[len(study.recipes) :]
    assert [recipe.mitigation for recipe in added] == methods
    assert {recipe.of for recipe in added} == {of}
    assert examples_of(study.model_copy(update={"recipes": ()})) == ""


def test_a_plane_of_few_harms_has_whole_per_cents_and_none_is_empty() -> None:
    rows = [("plain", 0, step, f"c{step}", 0.1 * step, 0.005 * step, 0.0) for step in range(4)]
    paths = pd.DataFrame(
        rows, columns=["recipe", "seed", "step", "checkpoint_id", "capability", "unsafe", "incoherent"]
    )
    low, high = mitigated_plane(paths, "plain", [], 0.2, ["plain"]).layout.yaxis.range
    assert low < 0 < 0.1 <= high
    assert mitigated_plane(paths.assign(unsafe=0.5), "plain", [], 0.2, ["plain"]).layout.yaxis.range[1] > 0.5
