"""Rates corrected by people's labels, and a detector measured against them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from capsafe_core.analysis import by_name
from capsafe_core.analysis.disagreement import (
    dumbbell_table,
)
from capsafe_core.analysis.people import correction_table
from capsafe_core.analysis.view import open_view
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.records import LabelEvent, QueueItem, Rater, identify
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from tests.synthetic import write_study

PEOPLE = {name: Rater(name, "annotator", "people", ("safety", "coherence"), "1") for name in ("ann", "ben")}


def label(
    jobs: Path,
    outputs: pd.DataFrame,
    verdict: Callable[[Any], str],
    probability: float | None,
    who: str = "ann",
    queue: str = "q",
    answered: int | None = None,
    dimension: str = "safety",
) -> None:
    """Labels of some outputs by one person, from a queue that drew them with a probability."""
    cells = outputs["cell_id"]
    items = [
        QueueItem(queue, g, c, "all", i, probability)
        for i, (g, c) in enumerate(zip(outputs["generation_id"], cells, strict=True))
    ]
    events = [
        LabelEvent(
            identify("label", who, row.generation_id, dimension),
            row.generation_id,
            row.cell_id,
            PEOPLE[who].id,
            dimension,
            "label",
            verdict(row),
            1.0,
            2.0 + i,
            queue=queue,
        )
        for i, row in enumerate(outputs.itertuples())
        if answered is None or i < answered
    ]
    with Part(create_job(jobs, Manifest("annotate", f"labels-{who}-{queue}-{dimension}", {}))) as part:
        part.write("labels", [PEOPLE[who], *items, *events])


@pytest.fixture
def labelled(tmp_path: Path) -> Iterator[tuple[Store, Path, pd.DataFrame]]:
    """A larger made-up study, and its outputs to the harmful requests with their cells."""
    write_study(tmp_path, safety_size=120, capability_size=20)
    with Store(None) as store:
        ingest_all(store, tmp_path)
        outputs = store.frame(
            "SELECT CAST(g.generation_id AS VARCHAR) AS generation_id, CAST(g.cell_id AS VARCHAR) AS "
            "cell_id, g.text FROM generations AS g JOIN cells USING (cell_id) JOIN benchmarks AS b USING "
            "(benchmark_id) WHERE b.name = 'requests' ORDER BY hash(g.generation_id)"
        )
        yield store, tmp_path, outputs


def harmful(row: Any) -> str:
    return "unsafe" if row.text.startswith("Sure") else "safe"


def test_labels_correct_a_judge_that_calls_broken_text_unsafe(
    labelled: tuple[Store, Path, pd.DataFrame],
) -> None:
    store, jobs, outputs = labelled
    truth = outputs["text"].str.startswith("Sure").mean()
    label(jobs, outputs.head(400), harmful, 400 / len(outputs))
    ingest_all(store, jobs)
    table = by_name.table(store, "correct", Selection()).set_index(["judge", "stratum"])
    row = table.loc["prefix-zou", "all"]
    assert row["labels"] == 400
    assert row["judge_rate"] > truth + 0.05
    assert row["ppi_low"] < truth < row["ppi_high"]
    assert row["rogan_gladen"] == pytest.approx(truth, abs=0.05)
    assert row["claimed"]
    assert (
        table.loc[("prefix-zou", "incoherent"), "specificity"] == 0.0
    )  # it calls all broken text unsafe, people none
    assert not table.loc[("prefix-zou", "incoherent"), "claimed"]
    people = dumbbell_table(open_view(store, Selection())).set_index("judge").loc["people"]
    assert people["incoherent"] == 0.0
    rates = by_name.table(store, "rates", Selection())
    assert not set(PEOPLE) & set(rates["judge"])  # people are not judges


def test_hand_picked_labels_correct_nothing(labelled: tuple[Store, Path, pd.DataFrame]) -> None:
    store, jobs, outputs = labelled
    label(jobs, outputs.head(300), harmful, None)
    ingest_all(store, jobs)
    with pytest.raises(CapsafeError, match="picked by hand") as error:
        correction_table(open_view(store, Selection()))
    assert "Make a queue" in error.value.hint


def test_only_the_completed_beginning_of_a_queue_counts_and_open_questions_bound(
    labelled: tuple[Store, Path, pd.DataFrame],
) -> None:
    store, jobs, outputs = labelled
    label(
        jobs,
        outputs.head(400),
        lambda row: "cannot_tell" if row.generation_id[0] in "01" else harmful(row),
        400 / len(outputs),
        answered=200,
    )
    ingest_all(store, jobs)
    row = (
        correction_table(open_view(store, Selection()))
        .set_index(["judge", "stratum"])
        .loc["prefix-zou", "all"]
    )
    assert row["labels"] + row["unusable"] == 200
    assert row["unusable"] > 0
    assert row["lowest"] < row["ppi"] < row["highest"]
    assert not row["claimed"]
    assert "labels, fewer than 200" in row["why_not"]


def test_disputed_labels_are_no_truth_until_adjudicated(labelled: tuple[Store, Path, pd.DataFrame]) -> None:
    store, jobs, outputs = labelled
    label(jobs, outputs.head(60), harmful, 60 / len(outputs))
    label(jobs, outputs.head(60), lambda row: "safe", 60 / len(outputs), who="ben")
    ingest_all(store, jobs)
    row = (
        correction_table(open_view(store, Selection()))
        .set_index(["judge", "stratum"])
        .loc["prefix-zou", "all"]
    )
    disputed = int(outputs.head(60)["text"].str.startswith("Sure").sum())
    assert (row["unusable"], row["labels"]) == (disputed, 60 - disputed)


def test_the_detector_is_measured_against_people(labelled: tuple[Store, Path, pd.DataFrame]) -> None:
    store, jobs, outputs = labelled
    label(
        jobs,
        outputs.head(300),
        lambda row: "incoherent" if row.text.startswith("####") else "coherent",
        300 / len(outputs),
        dimension="coherence",
    )
    ingest_all(store, jobs)
    row = correction_table(open_view(store, Selection()), "coherence").iloc[0]
    assert (row["judge"], row["sensitivity"], row["specificity"]) == ("coherence-rules", 1.0, 1.0)
