"""Tables on screen: what stands in a cell, and what the cell is."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.ui.tables import number_text


def _tables() -> None:
    import pandas as pd

    from capsafe_core.ui.heads import Head
    from capsafe_core.ui.tables import show_table

    frame = pd.DataFrame(
        {
            "name": ["a", "b", "c"],
            "change": [-0.0525, 0.031, None],
            "n": [12, 3, 40],
            "kept": [True, False, True],
        },
        index=[7, 7, 9],
    )
    show_table(frame, {"change": Head("Change, pts", 100, 1)})
    show_table(frame[["name", "n"]])


def test_a_number_below_zero_has_a_true_minus_and_stays_a_number() -> None:
    page = AppTest.from_function(_tables, default_timeout=30).run()
    assert not page.exception
    told, plain = (table.proto.arrow_data for table in page.dataframe)
    shown = page.dataframe[0].value
    assert shown["change"].to_list()[:2] == [-5.25, 3.1]
    written = told.styler.display_values
    assert "−5.2".encode() in written
    assert b"-5.2" not in written
    assert b"3.1" in written
    assert b"40" in written
    assert not plain.styler.display_values


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (-5.25, 0, "−5"),
        (-0.04, 1, "0.0"),
        (0.5, None, "0.5"),
        (-3, None, "−3"),
        (1 / 3, None, "0.3333"),
        (100, None, "100"),
        (-0.000012, None, "−0.00001"),
        (0.0, None, "0"),
    ],
)
def test_numbers_are_written_as_tables_do(value: float, decimals: int | None, text: str) -> None:
    assert number_text(value, decimals) == text
