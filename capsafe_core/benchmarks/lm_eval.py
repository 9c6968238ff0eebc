"""Tasks of lm-evaluation-harness as capability benchmarks: its prompts and answers, asked and scored here."""

from __future__ import annotations

from typing import Any

from capsafe_core.errors import CapsafeError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def lm_eval_rows(task: str, config: dict[str, Any], size: int | None) -> list[dict[str, Any]]:
    """The documents of a task as prompts with a reference answer; choices are lettered and the letter is the
    answer.

    Args:
        task: its name in lm-eval.
        config: `include_path`, a folder with tasks of one's own.
        size: at most so many, from the beginning.

    Raises:
        CapsafeError: lm-eval is not installed, or has no such task, or its data cannot be fetched.
    """
    try:
        from lm_eval.tasks import TaskManager, get_task_dict
    except ImportError as error:
        raise CapsafeError(
            "lm-eval is not installed in this environment.", "Install lm-eval in the engine's environment."
        ) from error
    try:
        found: Any = get_task_dict([task], TaskManager(include_path=config.get("include_path")))[task]
        docs = found.test_docs() if found.has_test_docs() else found.validation_docs()
        return [_row(found, doc, i) for i, doc in enumerate(docs) if size is None or i < size]
    except Exception as error:  # whatever a task's own code raises
        raise CapsafeError(
            f"lm-eval cannot give the task {task!r}: {type(error).__name__}: {error}",
            "Check its name, and that its data set can be fetched.",
        ) from error


def _row(task: Any, doc: Any, i: int) -> dict[str, Any]:
    prompt, target = task.doc_to_text(doc), task.doc_to_target(doc)
    if task.OUTPUT_TYPE != "multiple_choice":
        return {
            "id": str(i),
            "prompt": str(prompt),
            "reference": str(target[0] if isinstance(target, list) else target),
        }
    choices = task.doc_to_choice(doc)
    place = target if isinstance(target, int) else choices.index(target)
    lines = "\n".join(f"{LETTERS[k]}. {choice}" for k, choice in enumerate(choices))
    return {
        "id": str(i),
        "prompt": f"{prompt}\n{lines}\nAnswer with the letter alone.",
        "reference": LETTERS[place],
    }
