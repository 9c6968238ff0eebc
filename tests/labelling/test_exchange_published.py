"""XSTest's published labels, taken in: their agreement, and what they correct."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capsafe_core.analysis import by_name
from capsafe_core.analysis.annotators import annotators_table, conflicts_table
from capsafe_core.analysis.view import open_view
from capsafe_core.labelling.desk import Desk
from capsafe_core.selection import Selection
from capsafe_core.stats.correction import ppi_plus_plus
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.labels import truths
from tests.labelling.desks import ADA
from tests.published import RATERS, REFUSALS, SHARED, committed, write_xstest, xstest_rows


def xstest_from_counts() -> list[dict[str, Any]]:
    """As many answers as the committed counts say, with made-up texts."""
    rows = []
    for model, safe, *codes, n in committed()["xstest"]:
        rows += [{"model": model, "safe": safe, **dict(zip(RATERS, codes, strict=True))} for _ in range(n)]
    place: dict[str, int] = {}
    for r in rows:
        place[r["model"]] = place.get(r["model"], 0) + 1
        r |= {
            "id": f"v2-{place[r['model']]}",
            "prompt": f"prompt {place[r['model']]}",
            "completion": f"answer {place[r['model']]} of {r['model']}",
        }
    return rows


@pytest.mark.parametrize("source", ["committed counts", "full data"])
def test_the_two_annotators_of_xstest_agree_as_published(tmp_path: Path, source: str) -> None:
    rows = xstest_rows() if source == "full data" else xstest_from_counts()
    outputs = write_xstest(tmp_path, rows)
    with Store(None) as store:
        ingest_all(store, tmp_path)
        desk = Desk(store, tmp_path)
        labels = [
            {
                "generation_id": outputs[f"{r['model']}/{r['id']}"].id,
                "annotator": who,
                "refusal": REFUSALS[r[who]],
            }
            for r in rows
            for who in ("human_1", "human_2")
        ]
        found = desk.bring_in(ADA, "\n".join(map(json.dumps, labels)), "xstest")
        assert (found.labels, found.problems) == (4500, [])
        row = (
            annotators_table(open_view(store, Selection()))
            .set_index(["dimension", "stratum"])
            .loc["refusal", "all outputs"]
        )
        assert row["n"] == 2250
        assert row["alpha"] == pytest.approx(0.936537, abs=5e-5)
        assert row["ac1"] == pytest.approx(0.94975, abs=5e-5)
        assert row["observed"] == pytest.approx(0.964, abs=5e-5)
        assert row["alpha_low"] < row["alpha"] < row["alpha_high"]
        assert len(conflicts_table(open_view(store, Selection()))) == 81
        desk.close()


def test_imported_labels_of_xstest_correct_the_gpt4_judge(tmp_path: Path) -> None:
    rows = xstest_rows()
    golden = json.loads((SHARED / "reference_values.json").read_text())[
        "xstest/judge_correction_gpt4_any_refusal"
    ]
    drawn = set(golden["labelled_generation_ids"])
    outputs = write_xstest(tmp_path, rows)
    final = {f"{r['model']}/{r['id']}": r["human_final"] for r in rows}
    with Store(None) as store:
        ingest_all(store, tmp_path)
        desk = Desk(store, tmp_path)
        labels = [
            {
                "generation_id": outputs[key].id,
                "annotator": "final",
                "refusal": REFUSALS[final[key]],
                "probability": 200 / 2239,
            }
            for key in sorted(drawn)
        ]
        assert desk.bring_in(ADA, "\n".join(map(json.dumps, labels)), "sample").weighted == 200
        row = (
            by_name.table(store, "correct-refusal", Selection())
            .set_index(["judge", "stratum"])
            .loc["gpt4", "all"]
        )
        assert (row["outputs"], row["labels"]) == (2239, 200)
        assert row["judge_rate"] == pytest.approx(golden["judge_only"], abs=5e-5)
        assert row["people_rate"] == pytest.approx(golden["human_only"]["est"], abs=5e-5)
        assert (row["sensitivity"], row["specificity"]) == (
            pytest.approx(golden["rogan_gladen_delta"]["sens_q1"]),
            pytest.approx(golden["rogan_gladen_delta"]["spec_q0"]),
        )
        # the 200 are a part of the 2,239 here, and variance is clustered by prompt: near the published
        # design's, not equal to it
        assert row["ppi"] == pytest.approx(golden["ppi_plus_plus"]["est"], abs=0.003)
        assert row["ppi_low"] < golden["truth_all"] < row["ppi_high"]
        # the published design, from the labels as they stand in the store
        told = {
            g: float(code > 1)
            for g, code in zip(
                truths(store, "refusal")["generation_id"], truths(store, "refusal")["code"], strict=True
            )
        }
        judged = {
            key: float(r["gpt4"] > 1) for r in rows if r["gpt4"] for key in (f"{r['model']}/{r['id']}",)
        }
        truth, verdict = np.array([(told[outputs[key].id], judged[key]) for key in sorted(drawn)]).T
        found = ppi_plus_plus(truth, verdict, [v for key, v in judged.items() if key not in drawn])
        assert found.rate == pytest.approx(golden["ppi_plus_plus"]["est"], abs=5e-5)
        assert (found.low, found.high) == (
            pytest.approx(golden["ppi_plus_plus"]["ci"][0], abs=5e-5),
            pytest.approx(golden["ppi_plus_plus"]["ci"][1], abs=5e-5),
        )
        desk.close()
