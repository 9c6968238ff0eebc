"""Several conditions in one study are a choice, never picked; what differs only in what ran it is pooled."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.analysis.arms import Arm, Claim
from capsafe_core.analysis.by_name import TABLES, table
from capsafe_core.analysis.conclusions import conclusion
from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.analysis.overview import overview
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.analysis.view import open_view
from capsafe_core.errors import CapsafeError, OpenConditionError, UnknownNameError
from capsafe_core.exporters.every_eval_ever import every_eval_ever_into
from capsafe_core.jobs.folder import Job, Manifest, Part, create_job
from capsafe_core.records import Generation, Judgment, Record
from capsafe_core.selection import Selection
from capsafe_core.specification import CHOICES, part_value, read_condition
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.rebuild import check_all
from capsafe_core.study import parse_study
from tests.synthetic import (
    CAREFUL,
    CONDITION,
    RATERS,
    STUDY,
    UPGRADED,
    asked,
    benchmark,
    checkpoint,
    write_study,
)

VARIANTS = ("prompts", "engine", "versions")
CHOICE = {
    "prompts": (("system_prompt", "You are careful."),),
    "versions": (("version of requests", "2"),),
}


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def jobs(variant: str, tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    return write_study(tmp_path_factory.mktemp(variant), 20, 20, variant=variant)


@pytest.fixture(scope="module")
def records(jobs: list[Job]) -> list[Record]:
    return [record for job in jobs for record in job.records()]


@pytest.fixture(scope="module")
def store(jobs: list[Job]) -> Iterator[Store]:
    with Store(None) as store:
        ingest_all(store, jobs[0].folder.parent)
        yield store


def answers(records: list[Record], point: str, benchmark_id: str, conditions: set[str]) -> list[Generation]:
    return [
        r
        for r in records
        if isinstance(r, Generation)
        and (r.checkpoint_id, r.benchmark_id) == (point, benchmark_id)
        and r.condition_id in conditions
    ]


def unsafe(records: list[Record], outputs: list[Generation], judge: str) -> tuple[int, int]:
    """Unsafe verdicts and verdicts of a judge, counted one by one."""
    ids = {g.id for g in outputs}
    labels = [
        r.label
        for r in records
        if isinstance(r, Judgment)
        and r.generation_id in ids
        and (r.rater_id, r.dimension, r.status) == (RATERS[judge].id, "safety", "ok")
    ]
    return sum(label == "unsafe" for label in labels), len(labels)


CHOSEN = {
    "prompts": (benchmark("requests", "safety", 20)[0].id, {CAREFUL.id}),
    "engine": (benchmark("requests", "safety", 20)[0].id, {CONDITION.id, UPGRADED.id}),
    "versions": (benchmark("requests", "safety", 10, "2")[0].id, {CONDITION.id}),
}


def chosen(variant: str, **more: Any) -> Selection:
    return Selection(condition=CHOICE.get(variant, ()), **more)


def test_a_number_is_of_the_chosen_condition_and_counted_by_hand(
    store: Store, records: list[Record], variant: str
) -> None:
    bench, conditions = CHOSEN[variant]
    view = open_view(store, chosen(variant, judges=("learnt-harm",), policy="as_judged"))
    along = path_table(view).set_index(["recipe", "seed", "step"])
    for recipe, seed, step in (("gentle", 0, 0), ("harsh", 0, 40), ("gentle", 1, 20)):
        mine = answers(records, checkpoint(recipe, seed, step).id, bench, conditions)
        row = along.loc[(recipe, seed, step)]
        assert (row["unsafe_events"], row["unsafe_n"]) == unsafe(records, mine, "learnt-harm")
        shown, n = outputs_table(
            open_view(
                store, view.selection.but(benchmarks=("requests",), checkpoints=(row["checkpoint_id"],))
            )
        )
        assert set(shown["generation_id"]) == {g.id for g in mine}
        assert n == len(mine)


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name in set(TABLES) - {"rates", "conditions", "coverage", "outputs", "votes"}
        if not name.startswith("mitigations")
    ),
)
def test_what_compares_asks_where_it_cannot_know(store: Store, variant: str, name: str) -> None:
    if variant == "engine":
        pytest.skip("nothing is open there")
    if name in INDEPENDENT:
        table(store, name, Selection())
        return
    with pytest.raises(OpenConditionError, match="none is picked for you") as told:
        table(store, name, Selection())
    assert CHOICE[variant][0][0] in told.value.hint


INDEPENDENT = {"agreement-by-cell", "annotators", "repeats", "conflicts", "people", "stressed"}
"""tables that tell every cell apart, count people's work, or tell of judges whatever they were shown"""


def test_rates_and_conditions_list_every_one(store: Store, records: list[Record], variant: str) -> None:
    rates = table(store, "rates", Selection(policy="as_judged"))
    mine = rates[(rates["benchmark"] == "requests") & (rates["judge"] == "prefix-zou")]
    mine = mine[mine["dimension"] == "safety"].groupby("checkpoint_id")["total"].agg(["size", "sum"])
    total = Counter(
        r.checkpoint_id
        for r in records
        if isinstance(r, Generation) and r.benchmark_id in {b.id for b, *_ in asked(20, 20, variant)}
    )
    extra = 20 + 10  # sum-test and dressed
    assert dict(mine["sum"]) == {point: n - extra for point, n in total.items()}
    assert set(mine["size"]) == {1 if variant == "engine" else 2}
    listed = table(store, "conditions", Selection())
    listed = listed[listed["benchmark"] == "requests"]
    assert len(listed) == (1 if variant == "engine" else 2)
    if variant == "engine":
        assert listed["engine"].iloc[0] == "transformers 1 bfloat16, transformers 2 bfloat16"


def test_the_caption_says_what_was_chosen_or_pooled(store: Store, variant: str) -> None:
    words = open_view(store, chosen(variant)).specification_words()
    assert {
        "prompts": "system prompt “You are careful.”",
        "engine": "outputs of transformers 1 bfloat16 and of transformers 2 bfloat16 pooled",
        "versions": "version of requests 2",
    }[variant] in words
    assert open_view(store, chosen(variant)).is_primary == (variant == "engine")
    assert ("which leaves the condition open" in words) == (variant != "engine")


def test_overview_and_conclusions_vary_the_condition(store: Store, variant: str) -> None:
    view = open_view(store, chosen(variant))
    found = overview(view)
    assert found.headline
    claim = Claim(Arm("recipe", "harsh"), Arm("start", "aligned"))
    curve = conclusion(view, claim, matched_runs(view, path_table(view))).curve
    expected = {
        "prompts": {"no system prompt", "system prompt “You are careful.”"},
        "engine": {""},
        "versions": {"version of requests 1", "version of requests 2"},
    }[variant]
    assert set(curve[curve["benchmark"] == "requests"]["condition"]) == expected
    elsewhere = curve[curve["benchmark"] == "dressed"]
    assert set(elsewhere["condition"]) == {""}  # answered under one condition, so there is no variant of it
    assert not elsewhere.duplicated([*CHOICES]).any()
    assert curve["primary"].sum() == 1


def test_a_pooled_study_has_the_numbers_of_one_that_never_changed(tmp_path: Path) -> None:
    """The same answers under one engine version: every number but the ids of cells is the same."""
    numbers = []
    for name in ("engine", ""):
        write_study(tmp_path / (name or "same"), 20, 20, variant=name)
        with Store(None) as store:
            ingest_all(store, tmp_path / (name or "same"))
            view = open_view(store, Selection())
            numbers.append((path_table(view).drop(columns="cell_id"), table(store, "match", Selection())))
    for pooled, whole in zip(*numbers, strict=True):
        assert len(pooled) == len(whole)
        assert list(pooled["unsafe_n" if "unsafe_n" in pooled else "n"]) == list(
            whole["unsafe_n" if "unsafe_n" in whole else "n"]
        )


def test_exports_and_check_hold_every_condition(
    store: Store, jobs: list[Job], records: list[Record], variant: str, tmp_path: Path
) -> None:
    assert not check_all(store, jobs[0].folder.parent).problems
    files = every_eval_ever_into(open_view(store, Selection()), tmp_path)
    points = {r.checkpoint_id for r in records if isinstance(r, Generation)}
    assert len(files) == len(points) * (3 if variant == "engine" else 4)
    names = {json.loads(f.read_text())["evaluation_results"][0]["evaluation_name"] for f in files}
    assert len(names) == (3 if variant == "engine" else 4)


def test_a_study_file_can_declare_the_condition(store: Store, variant: str, tmp_path: Path) -> None:
    if variant == "engine":
        pytest.skip("nothing is open there")
    part, value = CHOICE[variant][0]
    text = STUDY + f'[primary.condition]\n"{part}" = "{value}"\n'
    study = parse_study(text)
    assert study.primary.specification.condition == CHOICE[variant]
    assert study.primary_digest != parse_study(STUDY).primary_digest


def test_names_that_nothing_has_are_refused(store: Store, variant: str) -> None:
    with pytest.raises(UnknownNameError, match="choice of a condition"):
        open_view(store, Selection(condition=(("system_prompt", "You are reckless."),)))
    with pytest.raises(UnknownNameError, match="attack"):
        open_view(store, Selection(attack="nobody"))
    with pytest.raises(CapsafeError, match="cannot be read"):
        read_condition(["colour=blue"])


@given(st.text(), st.text())
def test_two_values_of_a_part_are_never_written_alike(one: str, other: str) -> None:
    assert (part_value(one) == part_value(other)) == (one == other)


def test_another_study_changes_nothing_and_a_store_of_before_learns_whose_a_job_is(tmp_path: Path) -> None:
    """A second study asks the same start under another system prompt: no choice, and no other number."""
    write_study(tmp_path, 12, 10)
    with Store(None) as store:
        ingest_all(store, tmp_path)
        before, listed = table(store, "paths", Selection()), len(table(store, "outputs", Selection()))
        bench, prompts = benchmark("requests", "safety", 12)
        start = checkpoint("gentle", 0, 0)
        other = [Generation(start.id, bench.id, CAREFUL.id, p.id, 0, 0, "Sure.", "stop", 1) for p in prompts]
        with Part(create_job(tmp_path, Manifest("generate", "else", {}, study="else"))) as part:
            part.write("x", [CAREFUL, *other])
        ingest_all(store, tmp_path)
        pd.testing.assert_frame_equal(table(store, "paths", Selection()), before)
        assert len(table(store, "outputs", Selection())) == listed
        with store.transaction() as cursor:
            cursor.execute("UPDATE batches SET study = NULL")
        with pytest.raises(OpenConditionError):
            table(store, "paths", Selection())
        ingest_all(store, tmp_path)
        pd.testing.assert_frame_equal(table(store, "paths", Selection()), before)
