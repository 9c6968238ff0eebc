"""Of several aggregate metrics of a benchmark one counts, the same everywhere, and it is said which."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsafe_core.analysis.lacking import lacking
from capsafe_core.analysis.matched import matching
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.view import open_view
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.records import Measurement
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.study import parse_study
from tests.synthetic import STUDY, checkpoint, write_study

STEPS = (0, 10, 20, 40)
MMLU = STUDY.replace('benchmark = "sum-test"', 'benchmark = "mmlu"').replace(
    'name = "sum-test"', 'name = "mmlu"'
)


def capabilities(jobs: Path, records: list[Measurement]) -> tuple[list[float], str]:
    """The capability along one path, and what is said of it."""
    write_study(jobs, safety_size=4, capability_size=2)
    with Part(create_job(jobs, Manifest("import", "other-study", {}))) as part:
        part.write("study", [parse_study(MMLU).record(MMLU, 9.0)])
        part.write("m", records)
    with Store(None) as store:
        ingest_all(store, jobs)
        view = open_view(store, Selection())
        table = path_table(view)
        mine = table[(table["recipe"] == "harsh") & (table["seed"] == 0)]
        return list(mine["capability"]), "\n".join(lacking(view, matching(view)))


@settings(deadline=None, max_examples=10)
@given(
    order=st.permutations(range(len(STEPS) * 3)),
    names=st.sampled_from(
        (
            ("eval_accuracy", "eval_f1", "eval_rouge"),
            ("acc,none", "acc_norm,none", "f1,none"),
            ("exact_match,strict-match", "bleu", "f1"),
        )
    ),
)
def test_one_metric_counts_in_whatever_order_they_come(order: list[int], names: tuple[str, ...]) -> None:
    values = {name: [0.2 + 0.1 * i + 0.01 * step / 10 for step in STEPS] for i, name in enumerate(names)}
    told = [
        Measurement(checkpoint("harsh", 0, step).id, "mmlu", name, values[name][i], None, 100, "a log")
        for name in names
        for i, step in enumerate(STEPS)
    ]
    with TemporaryDirectory() as folder:
        found, sentences = capabilities(Path(folder), [told[i] for i in order])
    assert found == pytest.approx(values[names[0]])
    assert f"its capability is {names[0]}." in sentences


def test_the_metric_that_most_checkpoints_have_counts(tmp_path: Path) -> None:
    def told(name: str, value: float, steps: tuple[int, ...]) -> list[Measurement]:
        ids = [checkpoint("harsh", 0, step).id for step in steps]
        return [Measurement(one, "mmlu", name, value, None, 100, "a log") for one in ids]

    found, _ = capabilities(tmp_path, told("accuracy", 0.9, STEPS[:1]) + told("f1", 0.3, STEPS))
    assert found == [0.3] * 4
