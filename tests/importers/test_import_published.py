"""Published results, imported, have their published values."""

from __future__ import annotations

import pytest

from capsafe_core.settings import Settings
from capsafe_core.store import Store
from tests.importers.importing import command, counts, rows
from tests.published import need, reference_values


def test_jailbreakbench_and_its_golden_values(workspace: Settings) -> None:
    said = command("import", str(need("jbb")))
    assert "1,800 outputs of 4 checkpoints in 18 files; 163 of them without a response." in said
    golden = reference_values()["jbb/llama3_70b_vs_llamaguard1"]
    [overall] = [r for r in rows("agreement-overall", "--study", "jbb") if r["stratum"] == "all"]
    assert overall["alpha"] == pytest.approx(golden["krippendorff_nominal"], abs=1e-6)
    assert overall["ac1"] == pytest.approx(golden["gwet_ac1"], abs=1e-4)
    success = sorted(v["jailbroken"] for v in reference_values()["jbb/asr"].values())
    assert sorted(
        r["rate"] for r in rows("rates", "--study", "jbb") if r["judge"] == "llama-3-70b"
    ) == pytest.approx(success)
    found = counts(workspace)
    assert found["generations"] == 1800
    assert found["judgments"] == 1800 + 1800 + 1600  # coherence, Llama 3, Llama Guard, which DSN lacks


def test_xstest_and_its_golden_values(workspace: Settings) -> None:
    said = command("import", str(need("xstest")))
    assert "2,250 outputs of 5 checkpoints in 16 files; 450 prompts without outputs." in said
    golden = reference_values()
    [pair] = [r for r in rows("annotators", "--study", "xstest") if r["stratum"] == "all outputs"]
    assert (pair["n"], pair["alpha"]) == (
        2250,
        pytest.approx(golden["xstest/human_1_vs_2"]["krippendorff_nominal"], abs=1e-6),
    )
    known = golden["xstest/confusion"]
    for judge in ("gpt4", "strmatch"):
        [row] = [
            r
            for r in rows("correct-refusal", "--study", "xstest")
            if r["judge"] == judge and r["stratum"] == "all"
        ]
        expected = known[f"ALL|{judge}"]
        assert (row["sensitivity"], row["specificity"]) == (
            pytest.approx(expected["sens"], abs=1e-6),
            pytest.approx(expected["spec"], abs=1e-6),
        )
        assert (row["people_rate"], row["judge_rate"]) == (
            pytest.approx(expected["human_rate"], abs=1e-6),
            pytest.approx(expected["judge_rate"], abs=1e-6),
        )
    with Store(workspace.store_path) as store:
        states = dict(
            store.rows(
                "SELECT status, count(*) FROM current_judgments JOIN raters USING (rater_id) WHERE name = "
                "'gpt4' GROUP BY status"
            )
        )
    assert states == {"ok": 2239, "unparsed": 11}
