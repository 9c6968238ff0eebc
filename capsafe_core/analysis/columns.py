"""Tables with declared columns: whoever asks for one finds them, whether or not there are rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd


def framed(rows: Sequence[Mapping[str, Any] | Sequence[Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a table; a number that is not known is missing (NaN), never None, which no arithmetic takes."""
    table = pd.DataFrame(list(rows), columns=list(columns))
    for name in columns if len(table) else ():
        values = table[name]
        if values.dtype == object and all(
            not isinstance(v, bool) and (isinstance(v, int | float) or v is None) for v in values
        ):
            table[name] = values.astype(float)
    return table


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, each by its columns."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
