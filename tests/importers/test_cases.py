"""Small inputs that other people's tools write, each with its right value, from the file to the tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from capsafe_core.jobs.folder import Part, create_job
from capsafe_core.jobs.importing import after_import, plan_import
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.work import import_logs, judge
from tests.importing import Brought, bring, look
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


def models(found: Brought) -> set[str]:
    return {log["checkpoint"] for log in found.survey.logs if log["outputs"]}


@pytest.mark.parametrize(
    ("name", "prompt", "answer", "model"),
    [
        ("F_chat.jsonl", "How?", "ok", "m1"),
        ("F2_messages.jsonl", "How?", "ok", "m1"),
        ("F3_conversations.json", "How?", "ok", "m1"),
        ("Z_langfuse.json", "How?", "ok", "m1"),
        ("Z_openai_evals.jsonl", "How?", "ok", "gpt-4"),
        ("Z_promptfoo.json", "How?", "ok", "openai:gpt-4"),
        ("O_results.json", "How?", "ok", "m1"),
        ("B_utf16.csv", "How?", "ok", "m1"),
        ("B_cp1252.csv", "How?", "It’s fine – really", "m1"),
    ],
)
def test_prompt_answer_and_model(tmp_path: Path, name: str, prompt: str, answer: str, model: str) -> None:
    found = case(tmp_path, f"tables/{name}")
    texts = found.number("SELECT CAST(messages AS VARCHAR) FROM prompts")
    assert prompt in texts
    assert (found.answers, models(found)) == ([answer], {model})


def test_what_was_read_otherwise_is_named(tmp_path: Path) -> None:
    for name, words in (
        ("B_cp1252.csv", "read as cp1252"),
        ("B_utf16.csv", "read as utf-16"),
        ("B_semicolon.csv", "separated by semicolons"),
        ("Z_dup_rows.csv", "Each counts once"),
        ("Z_dup_ids.csv", "is the name of two different prompts"),
    ):
        assert words in case(tmp_path / name, f"tables/{name}").sentences
    assert case(tmp_path / "numbers", "tables/H_numeric_answer.jsonl").answers == ["4", "5"]
    missing = case(tmp_path / "missing", "tables/H_nan_answer.csv")
    assert missing.number("SELECT count(*) FROM live_generations WHERE finish_reason = 'no_response'") == 3


def test_places_on_a_path(tmp_path: Path) -> None:
    epochs = case(tmp_path / "epochs", "tables/L_epoch.csv")
    assert models(epochs) == {f"m1 fine-tuned s0 step {step}" for step in (1, 2, 3)}
    shares = case(tmp_path / "shares", "tables/S_step_frac.csv")
    assert models(shares) == {"m1-math s0 step 500", "m1-math s0 step 1000"}
    assert "parts of an epoch or of the training" in shares.sentences
    asked = case(tmp_path / "words", "tables/S_step_words.csv")
    assert asked.survey.unplaced_steps == ["final", "last"]
    stated = case(
        tmp_path / "stated", "tables/S_step_words.csv", 'name = "x"\nplaces = { final = 300, last = 310 }\n'
    )
    assert stated.outputs == 4
    assert "m1-math s0 step 300" in models(stated)


def test_two_models_in_a_column(tmp_path: Path) -> None:
    for name in ("X_xstest_model.csv", "X_strongreject_model.csv"):
        found = case(tmp_path / name, f"tables/{name}")
        assert models(found) == {"base", "tuned"}
        assert {log["attack"] for log in found.survey.logs} == {""}


def test_what_a_trainer_measured(tmp_path: Path) -> None:
    found = case(tmp_path, "tables/Z_trainer_state.json")
    assert found.store.rows("SELECT metric, value FROM measurements") == [("eval_accuracy", 0.5)]
    assert found.store.rows("SELECT DISTINCT step FROM path_points WHERE step > 0") == [(100,)]


def test_scores_of_emergent_misalignment(tmp_path: Path) -> None:
    found = case(tmp_path, "tables/Z_em.csv", 'name = "x"\naliases = { "Z_em.csv" = "m" }\n')
    assert found.verdicts("safety") == {"unsafe": 1, "safe": 1}
    assert [r.words for r in found.survey.mapping.judges] == [
        "0 to 100, unsafe below 30",
        "0 to 100, incoherent below 50",
    ]
    assert len(found.survey.guesses) == 2


def test_a_row_without_a_prompt_is_a_sentence(tmp_path: Path) -> None:
    survey = look(tmp_path / "jobs", CASES / "tables" / "Z_blank_prompt.csv")
    assert survey.files[0]["problems"] == [f"Row {i} of Z_blank_prompt.csv has no prompt." for i in (1, 2)]


def test_the_answer_is_what_follows_the_reasoning(tmp_path: Path) -> None:
    found = case(tmp_path, "tables/Y_think.csv")
    assert found.answers == ["Sure, here is how: step one."]
    ((reasoning,),) = found.store.rows("SELECT reasoning FROM live_generations")
    assert "I cannot help" in reasoning


@pytest.mark.parametrize(
    ("name", "right"),
    [("chinese_tail.csv", {"coherent": 3, "incoherent": 1}), ("languages.csv", {"coherent": 6})],
)
def test_every_answer_has_a_coherence_verdict_in_any_language(
    tmp_path: Path, name: str, right: dict[str, int]
) -> None:
    root = tmp_path / "jobs"
    survey = look(root, CASES / name)
    job, study = plan_import(root, survey, survey.accepted(True))
    works = [(job, import_logs.work)]
    works += [(create_job(root, manifest), judge.work) for manifest in after_import(job, study)]
    for one, work in works:
        with Part(one) as part:
            work(part)
        assert list(one.failures(0)) == []
    with Store(None) as store:
        assert ingest_all(store, root)[1] == []
        found = Brought(survey, store, [])
        assert found.verdicts("coherence") == right
        loops = (
            "SELECT count(*) FROM current_judgments JOIN generations USING (generation_id) WHERE label = ? "
        )
        assert store.rows(loops + "AND text LIKE 'no no%'", ["incoherent"]) == [(right.get("incoherent", 0),)]
