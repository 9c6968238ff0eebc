"""A model's answer is never a program, whichever way a task checks it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.benchmarks.evaluated import is_data, is_formula, reads_safely
from capsafe_core.benchmarks.scoring import task_scorer
from capsafe_core.errors import CapsafeError

reasoning_gym = pytest.importorskip("reasoning_gym")
DatasetSpec = reasoning_gym.composite.DatasetSpec
DATA = ("n_queens", "spiral_matrix", "binary_matrix", "string_insertion", "number_sorting")
FORMULAS = (
    "countdown",
    "puzzle24",
    "polynomial_multiplication",
    "simple_integration",
    "intermediate_integration",
)
PROGRAMS = (
    "__import__('os').system('touch {}')",
    "[__import__('os').system('touch {}')]",
    "(lambda: open('{}', 'w'))()",
    "open('{}', 'w')",
    "[open('{}', 'w') for _ in '1']",
    'f\'{{open("{}", "w")}}\'',
    "exec(\"open('{}', 'w')\")",
    "1 + eval(\"open('{}', 'w')\")",
    "x.__class__.__mro__",
    "'\" + str(open('{}', 'w')) + \"'",
)


@pytest.mark.parametrize("task", [*DATA, *FORMULAS])
def test_no_answer_is_run_and_right_ones_are_right(task: str, tmp_path: Path) -> None:
    """Nine of these tasks ran any answer of any model as a program of the worker."""
    ran = tmp_path / "ran"
    worth = task_scorer(task, {}, 3, 12)
    dataset: Any = reasoning_gym.create_dataset(task, seed=3, size=12)
    for i, entry in enumerate(dataset):
        assert worth(f"3-{i}", entry["answer"], "").correct, entry["answer"]
    for program in PROGRAMS:
        assert not worth("3-0", program.format(ran), "").correct
    assert not ran.exists()


def test_parts_of_a_task_of_several_are_looked_at() -> None:
    parts = [DatasetSpec(name, 1, {}) for name in ("chain_sum", "countdown")]
    dataset = reasoning_gym.create_dataset("composite", seed=1, size=4, datasets=parts)
    assert reads_safely(dataset) is is_formula
    assert reads_safely(reasoning_gym.create_dataset("chain_sum", seed=1, size=1))("any text (at all)")


def test_a_task_whose_source_cannot_be_read_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_source(module: object) -> str:
        raise OSError("could not get source code")

    monkeypatch.setattr("inspect.getsource", no_source)
    with pytest.raises(CapsafeError, match="without its source"):
        task_scorer("chain_sum", {}, 1, 1)


@pytest.mark.parametrize(
    "formula",
    [
        "9**9**9",
        "9^9^9",
        "((9**99)**99)**99*(9**99)",
        "9**(9*9*9*9)",
        "9**999",
        "2**exp(99)",
        "x**9**9**9",
        "a.b",
    ],
)
def test_powers_that_never_end_are_no_formula(formula: str) -> None:
    assert not is_formula(formula)


@pytest.mark.parametrize(
    "formula",
    ["3*(4+5)/6", "x**2/2 + C", "-cos(x)**3/3 + x*exp(-2*x)", "6*x**16 - (x+1)**2", "sqrt(x)**(3/2)"],
)
def test_formulas_are_formulas(formula: str) -> None:
    assert is_formula(formula)


@given(st.text(st.sampled_from("ax_.,:;[](){}'\"-+*/%<>=~@!&|^ 019f\n"), max_size=30))
def test_what_is_data_calls_and_computes_nothing(text: str) -> None:
    if not is_data(text):
        return
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        assert not isinstance(
            node, ast.Call | ast.Lambda | ast.FormattedValue | ast.NamedExpr | ast.comprehension
        )
        assert not isinstance(node, ast.BinOp) or isinstance(node.op, ast.Sub | ast.Add)
