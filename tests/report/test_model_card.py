"""Sections of model cards, entries of `.eval_results`, and the reporting checklist."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.analysis.overview import overview
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.rates import every_rate
from capsafe_core.analysis.view import View
from capsafe_core.report.checklist import checklist
from capsafe_core.report.document import Made
from capsafe_core.report.html import to_html
from capsafe_core.report.model_card import eval_result, model_cards_into
from capsafe_core.text import markdown_text, visible


def of_the_hub(view: View) -> View:
    """The view of a study whose safety benchmark is a data set of the hub."""
    benchmarks = [
        b.model_copy(update={"source": "hub:owner/requests", "config": {"revision": "abc"}})
        if b.name == "requests"
        else b
        for b in view.study.benchmarks
    ]
    return replace(view, study=view.study.model_copy(update={"benchmarks": benchmarks}))


def test_each_recipe_has_a_section_with_what_it_rests_on_and_every_checkpoint(
    view: View, tmp_path: Path
) -> None:
    made = model_cards_into(view, tmp_path)
    assert sorted(p.parent.name for p in made) == ["gentle", "harsh"], "no benchmark here is of the hub"
    text = (tmp_path / "harsh" / "model-card-section.md").read_text()
    assert markdown_text(overview(view, "harsh").headline) in text
    judge = "prefix-zou; incoherent responses counted safe (by coherence-rules)"
    assert f"| Judge | {markdown_text(judge)} |" in text
    assert re.search(r"\| Conclusion \| Robust for harsh&#58; ", text)
    paths = path_table(view)
    mine = paths[paths["recipe"] == "harsh"]
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \| (?:start|\d+) \|", line)]
    assert len(rows) == len(mine)
    last = mine.sort_values("step").iloc[-1]
    assert f"| {100 * last['unsafe']:.1f} (" in rows[-1]
    assert f"| {int(last['unsafe_n'])} |" in rows[-1]


def test_entries_are_what_the_hub_reads_and_say_how_they_came_about(view: View, tmp_path: Path) -> None:
    hub = of_the_hub(view)
    files = [p for p in model_cards_into(hub, tmp_path) if p.suffix == ".yaml"]
    paths = path_table(hub)
    rates = every_rate(hub)
    rates = rates[(rates["benchmark"] == "requests") & rates["dimension"].isin(["safety", "refusal"])]
    tuned = paths[paths["step"] > 0]
    assert len(files) == sum((rates["checkpoint_id"] == c).sum() for c in tuned["checkpoint_id"])
    assert all(p.parent.name == ".eval_results" for p in files)
    values = set()
    for path in files:
        [entry] = yaml.safe_load(path.read_text())
        assert entry["dataset"] == {"id": "owner/requests", "task_id": "default", "revision": "abc"}
        assert set(entry) == {"dataset", "value", "notes"}
        values.add(round(entry["value"], 6))
        assert re.match(
            r"(unsafe|refusal) rate \(a share of 1\) by [\w-]+.*; n = \d+, 95% CI ", entry["notes"]
        )
        assert ("incoherent responses counted safe" in entry["notes"]) == entry["notes"].startswith("unsafe")
    mine = rates[rates["checkpoint_id"].isin(tuned["checkpoint_id"])]
    assert values == {round(v, 6) for v in mine["rate"]}


@given(st.text(max_size=60), st.text(max_size=60), st.floats(0, 1))
def test_an_entry_holds_any_text_as_text(dataset: str, notes: str, value: float) -> None:
    [entry] = yaml.safe_load(eval_result(dataset, "", value, notes))
    assert entry["dataset"]["id"] == visible(dataset)
    assert entry["notes"] == visible(notes)
    assert entry["value"] == pytest.approx(value, abs=1e-6)


def test_names_of_recipes_are_parts_of_paths_and_text(view: View, tmp_path: Path) -> None:
    strange = {"gentle": "../<b>x</b> | y", "harsh": "..\\<b>x<_b> | y"}
    points = view.points.assign(recipe=view.points["recipe"].replace(strange))
    recipes = [r.model_copy(update={"name": strange[r.name]}) for r in view.study.recipes]
    named = replace(view, points=points, study=view.study.model_copy(update={"recipes": recipes}))
    files = model_cards_into(named, tmp_path / "cards")
    assert len(files) == len({p.parent for p in files}) == 2
    assert all(p.resolve().is_relative_to(tmp_path / "cards") for p in files)
    assert all("<b>" not in p.read_text() for p in files)


def test_a_reviewers_report_ends_with_the_checklist(view: View, made: Made) -> None:
    answers = {a.question: a.answer for a in checklist(view, pd.DataFrame(made.counts))}
    assert answers["At which capability are models compared?"] == "50% on sums"
    assert "requests (version 1, safety)" in answers["Which benchmarks, in which version?"]
    assert answers["Were judges checked against people?"] == "no: there are no labels"
    assert answers["How were they fine-tuned?"] == "gentle (seeds: 2), harsh (seeds: 1)"
    missing = sum(row["no verdict"] for row in made.counts)
    assert f"{missing:,} of " in answers["What do the numbers leave out?"]
    assert answers["For which decision or use?"].startswith("not recorded")
    html = to_html(made)
    assert html.index("What the numbers leave out") < html.index("Reporting checklist")
    assert all(a.heading in html for a in made.checklist)
    assert "Reporting checklist" not in to_html(
        replace(made, report=replace(made.report, audience="stakeholder"))
    )
