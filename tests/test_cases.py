"""Small inputs that other people's tools write, each with its right value, from the file to the tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.importing import Brought, bring
from tests.published import SHARED

CASES = SHARED / "cases"
pytestmark = pytest.mark.skipif(
    not CASES.exists(),
    reason="the small inputs are not beside the repository; generated files are tested in every run",
)


def case(root: Path, name: str, mapping: str = "", accept: bool = True) -> Brought:
    return bring(root / "jobs", CASES / name, mapping=mapping, accept=accept)


@pytest.mark.parametrize(
    ("name", "right"), [("inspect_invalid_format", 2 / 6), ("inspect_no_response", 4 / 6)]
)
def test_a_reason_that_speaks_of_the_model_leaves_its_value(tmp_path: Path, name: str, right: float) -> None:
    found = case(tmp_path, name)
    assert found.share("correctness", "correct") == right
    assert found.verdicts("correctness") == {"correct": 6 * right, "incorrect": 6 - 6 * right}


def test_two_scores_of_the_same_answers_are_a_listed_conflict(tmp_path: Path) -> None:
    found = case(tmp_path, "inspect_rescored")
    assert found.verdicts("correctness") == {}
    assert found.number("SELECT count(*) FROM measurements") == 0
    kinds = [c["kind"] for c in found.survey.conflicts]
    assert sorted(set(kinds)) == ["number", "verdict"]
    picked = case(tmp_path / "x", "inspect_rescored", 'name = "x"\nconflicts = "last"\n')
    assert picked.share("correctness", "correct") == 0.0
    other = case(tmp_path / "y", "inspect_rescored", 'name = "x"\nconflicts = "first"\n')
    assert other.share("correctness", "correct") == 1.0


def test_a_checkpoint_path_in_the_metadata_keeps_its_recipe(tmp_path: Path) -> None:
    found = case(tmp_path, "inspect_checkpoint_path")
    assert found.store.rows("SELECT DISTINCT recipe, step FROM path_points ORDER BY ALL") == [
        ("code", 100),
        ("math", 100),
    ]
    assert (found.outputs, found.checkpoints) == (4, 2)


def test_multiple_choice_has_a_chosen_answer(tmp_path: Path) -> None:
    found = case(tmp_path, "lm_eval_mc")
    assert found.number("SELECT count(*) FROM live_generations WHERE finish_reason = 'no_response'") == 0
    assert found.answers == [" choice 0", " choice 3", " choice 3", " choice 3"] or len(found.answers) == 4
    assert found.share("correctness", "correct") == 0.5


def test_prompts_pair_by_the_document(tmp_path: Path) -> None:
    found = case(tmp_path, "lm_eval_templates")
    assert (found.prompts, found.outputs) == (6, 12)


def test_another_output_path_keeps_its_model(tmp_path: Path) -> None:
    found = case(tmp_path, "lm_eval_output_path")
    assert found.outputs == 3
    assert found.survey.unplaced == ""


def test_direct_requests_are_no_attack(tmp_path: Path) -> None:
    found = case(tmp_path, "harmbench_directrequest")
    assert {log["attack"] for log in found.survey.logs} == {""}
    rates = found.store.rows(
        "SELECT avg(CAST(label = 'unsafe' AS DOUBLE)) FROM current_judgments WHERE dimension = 'safety' "
        "GROUP BY cell_id ORDER BY ALL"
    )
    assert rates == [(0.1,), (0.6,)]


def test_tables_without_ids_pair_by_text(tmp_path: Path) -> None:
    found = case(tmp_path, "table_order")
    assert found.prompts == 3
    paired = "SELECT count(*) FROM (SELECT prompt_id FROM live_generations GROUP BY ALL HAVING count(*) = 2)"
    assert found.number(paired) == 2


def test_a_checkpoint_each(tmp_path: Path) -> None:
    found = case(tmp_path, "one_checkpoint_each.csv")
    assert (found.checkpoints, found.outputs) == (3, 6)


def test_a_task_is_no_safety_benchmark_by_a_word_in_its_name(tmp_path: Path) -> None:
    found = case(tmp_path, "capability_named_strong")
    assert found.store.rows("SELECT kind FROM benchmarks") == [("capability",)]
    assert found.verdicts("correctness") == {"correct": 1, "incorrect": 1}
    assert found.verdicts("safety") == {}


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("A_pandas_index.csv", 2),
        ("A2_unnamed.csv", 2),
        ("B_cp1252.csv", 1),
        ("B_utf16.csv", 1),
        ("B_semicolon.csv", 1),
        ("C_columns.json", 1),
        ("D_lines.json", 2),
        ("O_schema.json", 1),
        ("O_schema_obj.json", 1),
        ("O_obj_one_list.json", 1),
        ("O_results.json", 1),
        ("F_chat.jsonl", 1),
        ("F2_messages.jsonl", 1),
        ("F3_conversations.json", 1),
        ("G_openai_batch.jsonl", 1),
        ("Z_langfuse.json", 1),
        ("Z_openai_evals.jsonl", 1),
        ("Z_promptfoo.json", 1),
        ("H_nan_answer.csv", 3),
        ("H_nan_answer.jsonl", 2),
        ("H_numeric_answer.jsonl", 2),
        ("L_epoch.csv", 3),
        ("S_step_frac.csv", 2),
        ("N_responses_list.jsonl", 3),
        ("X_xstest_model.csv", 2),
        ("X_strongreject_model.csv", 2),
        ("Z_dup_ids.csv", 3),
        ("Z_dup_rows.csv", 1),
    ],
)
def test_every_form_is_read(tmp_path: Path, name: str, outputs: int) -> None:
    found = case(tmp_path, f"tables/{name}", 'name = "x"\n[aliases]\n"G_openai_batch.jsonl" = "gpt"\n')
    assert found.outputs == outputs, found.sentences
