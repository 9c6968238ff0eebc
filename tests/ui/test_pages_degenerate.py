"""Every page over stores that have hardly anything: each answers in words, none with a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.analysis.view import View, list_studies, open_view
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.people import Person
from capsafe_core.records import Generation, Judgment, LabelEvent, Measurement, PathPoint, Record, identify
from capsafe_core.report.document import Item, Report, make, verify
from capsafe_core.report.findings import find, offered
from capsafe_core.report.html import to_html
from capsafe_core.report.slides import to_pptx
from capsafe_core.selection import Selection
from capsafe_core.settings import ROOT
from capsafe_core.study import parse_study
from capsafe_core.workspace.owner import current_owner
from tests.apps import app_over
from tests.published import committed, rows_from_counts, write_jbb
from tests.synthetic import (
    CAPABILITY,
    CONDITION,
    MITIGATED,
    RATERS,
    STEPS,
    STUDY,
    benchmark,
    checkpoint,
    write_study,
)

PAGES = sorted(path.name for path in (ROOT / "pages").glob("*.py"))


def attacks_only(jobs: Path) -> None:
    """Four models, attacks, two recorded judges, no coherence, no recipes."""
    write_jbb(jobs, rows_from_counts(committed()["jbb"]))


def one_checkpoint(jobs: Path, broken: bool = False) -> None:
    """One checkpoint, one judge with one label only; perhaps every output incoherent."""
    bench, prompts = benchmark("requests", "safety", 5)
    point = checkpoint("gentle", 0, 0)
    records: list[Record] = [
        parse_study(STUDY).record(STUDY, 1.0),
        point,
        PathPoint("made-up", "gentle", 0, 0, point.id, "aligned", "sums", 1e-4),
        bench,
        *prompts,
        CONDITION,
        *RATERS.values(),
    ]
    for prompt in prompts:
        g = Generation(point.id, bench.id, CONDITION.id, prompt.id, 0, 0, "Sure.", "stop", 1)
        records += [g, Judgment(g.id, g.cell_id, RATERS["prefix-zou"].id, "safety", "ok", "unsafe")]
        if broken:
            records.append(
                Judgment(g.id, g.cell_id, RATERS["coherence-rules"].id, "coherence", "ok", "incoherent")
            )
    with Part(create_job(jobs, Manifest("import", "one", {}))) as part:
        part.write("all", records)


def only_a_text(jobs: Path) -> None:
    """The text of a study, and nothing of it."""
    with Part(create_job(jobs, Manifest("import", "one", {}))) as part:
        part.write("study", [parse_study(STUDY).record(STUDY, 1.0)])


def unjudged(jobs: Path) -> None:
    """Outputs that no judge has looked at."""
    bench, prompts = benchmark("requests", "safety", 5)
    point = checkpoint("gentle", 0, 0)
    answers = [Generation(point.id, bench.id, CONDITION.id, p.id, 0, 0, "Sure.", "stop", 1) for p in prompts]
    place = PathPoint("made-up", "gentle", 0, 0, point.id, "aligned", "sums", 1e-4)
    with Part(create_job(jobs, Manifest("import", "one", {}))) as part:
        text = parse_study(STUDY).record(STUDY, 1.0)
        part.write("all", [text, point, place, bench, *prompts, CONDITION, *answers])


def all_incoherent(jobs: Path) -> None:
    one_checkpoint(jobs, broken=True)


def no_capability(jobs: Path) -> None:
    """A study whose data set has no capability benchmark and no goal."""
    write_study(jobs, safety_size=5, capability_size=4)
    text = STUDY.replace('benchmark = "sum-test"\n[[recipes]]', "[[recipes]]").replace(
        "[goals]\nsums = 0.5\n", ""
    )
    with Part(create_job(jobs, Manifest("import", "other", {}))) as part:
        part.write("study", [parse_study(text).record(text, 9.0)])


def little_mitigated(jobs: Path) -> None:
    """Mitigations, and hardly a prompt."""
    write_study(jobs, safety_size=3, capability_size=4, variant="mitigated")


def mitigated_without_runs(jobs: Path) -> None:
    """Mitigations that have not run, of a recipe that has a goal no more than they have."""
    write_study(jobs, safety_size=5, capability_size=4)
    text = MITIGATED.replace('"tuned"\nm', '"harsh"\nm').replace("[goals]\nsums = 0.5\n", "")
    with Part(create_job(jobs, Manifest("import", "other", {}))) as part:
        part.write("study", [parse_study(text).record(text, 9.0)])


def out_of_reach(jobs: Path) -> None:
    """A goal that nobody reaches."""
    write_study(jobs, safety_size=5, capability_size=4)
    text = STUDY.replace("sums = 0.5", "sums = 1.0").replace("[10, 20, 40]", "[10, 20]")
    with Part(create_job(jobs, Manifest("import", "other", {}))) as part:
        part.write("study", [parse_study(text).record(text, 9.0)])


def no_detector(jobs: Path) -> None:
    """People have labelled everything, and no detector has looked at anything."""
    one_checkpoint(jobs)
    bench, prompts = benchmark("requests", "safety", 5)
    point, people = checkpoint("gentle", 0, 0), [Person(name).rater for name in ("Ada", "Ben")]
    answers = [Generation(point.id, bench.id, CONDITION.id, p.id, 0, 0, "Sure.", "stop", 1) for p in prompts]
    said = [
        LabelEvent(
            identify("a label", g.id, person.id, dimension),
            g.id,
            g.cell_id,
            person.id,
            dimension,
            "label",
            label,
            1.0,
            2.0,
        )
        for g in answers
        for person in people
        for dimension, label in (("coherence", "coherent"), ("safety", "unsafe"), ("refusal", "none"))
    ]
    with Part(create_job(jobs, Manifest("import", "labels", {}))) as part:
        part.write("all", [*people, *said])


def no_interval(jobs: Path) -> None:
    """Capability known only as a value without a standard error."""
    write_study(jobs, safety_size=5, capability_size=0)
    known = [
        Measurement(checkpoint(recipe, seed, step).id, "sum-test", "accuracy", value, None, None, "a log")
        for recipe, seed in (("gentle", 0), ("gentle", 1), ("harsh", 0))
        for step, value in zip(STEPS, CAPABILITY[recipe], strict=True)
    ]
    with Part(create_job(jobs, Manifest("import", "values", {}))) as part:
        part.write("all", list({m.id: m for m in known}.values()))


def only_errors(jobs: Path) -> None:
    """Every judge failed on every output."""
    bench, prompts = benchmark("requests", "safety", 3)
    records: list[Record] = [
        parse_study(STUDY).record(STUDY, 1.0),
        bench,
        *prompts,
        CONDITION,
        *RATERS.values(),
    ]
    for step in (0, 10):
        point = checkpoint("gentle", 0, step)
        records += [point, PathPoint("made-up", "gentle", 0, step, point.id, "aligned", "sums", 1e-4)]
        for prompt in prompts:
            g = Generation(point.id, bench.id, CONDITION.id, prompt.id, 0, 0, "", "stop", 0)
            records += [
                g,
                *(
                    Judgment(g.id, g.cell_id, r.id, d, "error", None)
                    for r in RATERS.values()
                    for d in r.dimensions
                    if d != "correctness"
                ),
            ]
    with Part(create_job(jobs, Manifest("import", "errors", {}))) as part:
        part.write("all", records)


def one_item(jobs: Path) -> None:
    """One prompt of each benchmark."""
    write_study(jobs, safety_size=2, capability_size=1)


def nothing(jobs: Path) -> None:
    """An empty workspace."""


@pytest.fixture(
    scope="module",
    params=[
        attacks_only,
        one_checkpoint,
        only_a_text,
        unjudged,
        all_incoherent,
        no_capability,
        little_mitigated,
        mitigated_without_runs,
        out_of_reach,
        no_detector,
        no_interval,
        only_errors,
        one_item,
        nothing,
    ],
    ids=lambda f: f.__name__,
)
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppTest]:
    home = tmp_path_factory.mktemp("workspace")
    fill: Callable[[Path], None] = request.param
    with app_over(home) as test:
        fill(home / "jobs")
        yield test.run()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_over_hardly_anything_answers_in_words(app: AppTest, page: str) -> None:
    app.query_params.clear()
    app.switch_page(str(ROOT / "pages" / page))
    app.query_params["open"] = "all"
    app.run()
    assert not app.exception, [e.message for e in app.exception]
    assert app.title[0].value


def test_a_report_over_hardly_anything_is_made_or_says_what_it_lacks(app: AppTest) -> None:
    store = current_owner().store
    if not list_studies(store):
        with pytest.raises(CapsafeError):
            open_view(store, Selection())
        return
    view = open_view(store, Selection())
    one_of_each_kind = {key.partition(":")[0]: Item(key) for key in offered(view) if can_be_found(view, key)}
    made = make(view, Report("", tuple(one_of_each_kind.values()), "reviewer"))
    assert "</html>" in to_html(made)
    assert to_pptx(made)
    assert verify(store, made.provenance) == []


def can_be_found(view: View, key: str) -> bool:
    try:
        find(view, key)
    except CapsafeError:
        return False
    return True
