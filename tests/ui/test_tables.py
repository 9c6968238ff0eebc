"""Tables on screen: what stands in a cell, and what the cell is."""

from __future__ import annotations

import pyarrow as pa
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


def _mixed() -> None:
    """A number below zero in one column, and every other kind of cell beside it."""
    import datetime

    import pandas as pd

    from capsafe_core.ui.tables import show_table

    when = pd.Timestamp("2026-11-30 20:15:09.123456")
    frame = pd.DataFrame(
        {
            "below": [-1, 2, 3],
            "mixed": [-0.25, "all", True],
            "when": [when, None, when],
            "there": [when.tz_localize("UTC")] * 3,
            "day": [datetime.date(2026, 11, 30)] * 3,
            "kept": [True, False, None],
            "list": [["a", 0.5], [], None],
        }
    )
    show_table(frame)


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


def test_a_number_below_zero_changes_no_other_column() -> None:
    page = AppTest.from_function(_mixed, default_timeout=30).run()
    assert not page.exception
    (table,) = page.dataframe
    cells = pa.ipc.open_stream(table.proto.arrow_data.styler.display_values).read_pandas()
    assert cells["below"].to_list() == ["−1", "2", "3"]
    assert cells["mixed"].to_list() == ["−0.25", "all", "True"]
    assert cells["when"].to_list() == ["2026-11-30 20:15:09", "—", "2026-11-30 20:15:09"]
    assert set(cells["there"]) == {"2026-11-30 20:15:09+00:00"}
    assert set(cells["day"]) == {"2026-11-30"}
    assert cells["kept"].to_list() == ["True", "False", "—"]
    assert cells["list"].to_list() == ["['a', 0.5]", "[]", "—"]


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
