"""The tables by name: what a screen shows, a command prints, and the running app answers over its socket."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from capsafe_core.analysis.coverage import coverage_table
from capsafe_core.analysis.disagreement import agreement_table, dumbbell_table
from capsafe_core.analysis.incoherence import incoherence_table
from capsafe_core.analysis.matched import matched_table
from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.rates import cell_rates
from capsafe_core.analysis.view import View, open_view
from capsafe_core.analysis.ways import ways_of_asking
from capsafe_core.errors import CapsafeError
from capsafe_core.selection import Selection
from capsafe_core.store import Store

TABLES: dict[str, Callable[[View], pd.DataFrame]] = {
    "rates": cell_rates,
    "paths": path_table,
    "match": matched_table,
    "incoherence": incoherence_table,
    "agreement": agreement_table,
    "judges": dumbbell_table,
    "conclusions": lambda view: ways_of_asking(view, path_table(view)),
    "outputs": lambda view: outputs_table(view, limit=1000)[0],
    "coverage": coverage_table,
}


def table(store: Store, name: str, selection: Selection) -> pd.DataFrame:
    """One of TABLES under a selection.

    Raises:
        CapsafeError: there is no such table, or the store has no study.
    """
    if name not in TABLES:
        raise CapsafeError(f"There is no table {name!r}.", f"There are: {', '.join(TABLES)}.")
    return TABLES[name](open_view(store, selection))
