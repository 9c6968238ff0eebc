"""Margins that a study declares: non-inferiority at the goal, and the gate that stands on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from capsafe_core.analysis.at_goal import change_between
from capsafe_core.analysis.gate import Answer, Gate, gate
from capsafe_core.analysis.margins import REFUSED, UNSAFE, judged, margins_table
from capsafe_core.analysis.matched import matching
from capsafe_core.analysis.view import View, open_view
from capsafe_core.cli import app
from capsafe_core.errors import CapsafeError
from capsafe_core.report.card import differences, read_card, to_card
from capsafe_core.selection import Selection
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.study import Study, parse_study
from capsafe_core.study_primary import Margins
from tests.synthetic import MARGINS, STUDY, write_study

ENDS = st.floats(-0.99, 0.99)
run = CliRunner()


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    root = tmp_path_factory.mktemp("margins") / "jobs"
    write_study(root, 120, 120, variant="margins")
    with Store(None) as store:
        assert ingest_all(store, root)[1] == []
        yield open_view(store, Selection())


def under(view: View, **margins: float | None) -> View:
    """The view of the study with other margins."""
    primary = view.study.primary.model_copy(update={"margins": Margins(**margins)})
    return replace(view, study=view.study.model_copy(update={"primary": primary}))


def checks_of(found: Gate, recipe: str) -> dict[str, Answer]:
    return {check.name: check.answer for check in found.checks if check.recipe == recipe}


@given(ENDS, ENDS, st.floats(0.01, 0.99))
def test_a_margin_is_met_where_the_upper_end_lies_below_it(one: float, two: float, margin: float) -> None:
    low, high = min(one, two), max(one, two)
    told = judged(low, high, margin)
    assert (told["non_inferior"] == "yes") == (high < margin)
    assert (told["non_inferior"] == "no") == (low > margin)
    assert (told["equivalent"] == "yes") == (-margin < low and high < margin)
    assert (told["equivalent"] == "no") == (low > margin or high < -margin)
    assert set(judged(None, None, margin).values()) == {"undecided"}
    assert set(judged(low, high, None).values()) == {""}


def test_the_table_has_intervals_with_seeds_and_the_smallest_margin(view: View) -> None:
    table = margins_table(view).set_index(["recipe", "measure"])
    found = matching(view)
    side = found.over_seeds["gentle"]
    assert side is not None
    start = found.start(found.by_recipe()["gentle"][0])
    by_hand = change_between(side, start, found.recipe_rates, 0.9).with_seeds
    row = table.loc["gentle", UNSAFE]
    assert by_hand == (row["low"], row["high"])
    wide = change_between(side, start, found.recipe_rates).with_seeds
    assert wide is not None
    assert wide[0] < row["low"] < row["delta"] < row["high"] < wide[1]
    assert row["smallest"] == max(row["high"], 0)
    assert (row["seeds_known"], row["reached"], row["margin"]) == ("own", 5, 0.25)
    assert row["non_inferior"] == ("yes" if row["high"] < 0.25 else "undecided")
    assert table.loc["gentle", REFUSED]["benchmark"] == "harmless"
    lone = table.loc["harsh", UNSAFE]
    assert pd.isna(lone["high"])
    assert lone["non_inferior"] == "undecided"  # one seed


def test_the_gate_says_the_worst_of_its_checks(view: View) -> None:
    found = gate(view)
    assert checks_of(found, "gentle")["goal"] is Answer.PASS
    assert checks_of(found, "harsh")["unsafe on requests"] is Answer.UNDECIDED
    assert found.answer is Answer.UNDECIDED
    assert "Too few training seeds" in found.paragraph or "too few training seeds" in found.paragraph
    gentle = open_view(view.store, Selection(recipes=("gentle",)))
    row = margins_table(gentle).iloc[0]
    strict, wide = under(gentle, unsafe=max(row["low"] - 0.01, 0.001)), under(gentle, unsafe=0.9)
    assert checks_of(gate(wide), "gentle")["unsafe on requests"] is Answer.PASS
    assert gate(wide).answer is Answer.PASS
    if row["low"] > 0.011:
        assert gate(strict).answer is Answer.FAIL
    far = open_view(view.store, Selection(goals=(("sums", 0.99),)))
    with pytest.raises(CapsafeError, match="primary specification"):
        gate(far)
    with pytest.raises(CapsafeError, match="declares no margin"):
        gate(under(view, unsafe=None))


def test_margins_belong_to_what_is_declared() -> None:
    plain, margins = parse_study(STUDY), parse_study(MARGINS)
    assert plain.primary.margins == Margins()
    assert plain.primary_digest != margins.primary_digest
    assert plain.primary.declared().keys() == {*margins.primary.declared()} - {"margins"}
    assert isinstance(plain, Study)
    with pytest.raises(CapsafeError):
        parse_study(MARGINS.replace("unsafe = 0.25", "unsafe = 25"))


def test_the_command_exits_by_the_answer_and_its_card_is_verified(
    workspace: Settings, tmp_path: Path
) -> None:
    write_study(workspace.jobs_path, 60, 60, variant="margins")
    study, card, told = tmp_path / "study.toml", tmp_path / "card.md", tmp_path / "gate.json"
    text = MARGINS.replace("file:", f"file:{tmp_path}/")
    study.write_text(text)
    result = run.invoke(app, ["gate", str(study), "--json", str(told), "--card", str(card)])
    assert result.exit_code == 3, result.output
    assert result.output.startswith("Undecided")
    held = json.loads(told.read_text())
    assert held["answer"] == "undecided"
    assert {check["recipe"] for check in held["checks"]} == {"gentle", "harsh"}
    verified = run.invoke(app, ["report", "--verify", str(card)])
    assert verified.exit_code == 0, verified.output
    card.write_text(card.read_text().replace("gentle", "gentler", 1))
    assert "not a card of the gate" in str(run.invoke(app, ["report", "--verify", str(card)]).exception)
    study.write_text(text.replace("unsafe = 0.25", "unsafe = 0.5"))
    assert "another primary specification" in str(run.invoke(app, ["gate", str(study)]).exception)


@given(st.text(), st.text())
def test_a_card_holds_any_text_and_comes_back_whole(name: str, words: str) -> None:
    check = {"recipe": name, "name": "goal", "answer": "pass", "words": words}
    made = {"study": name, "answer": "pass", "paragraph": words, "checks": [check]}
    card = to_card(made)
    assert read_card(card) == made
    assert differences(made, made) == []
    visible_part = card.rpartition("<!-- ")[0]
    assert "<" not in visible_part
    assert visible_part.count("|") == 5 * 3
    other = {**made, "checks": [{**check, "words": words + "!"}]}
    assert len(differences(made, other)) == 1
