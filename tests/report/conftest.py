"""The made-up study as a report."""

from __future__ import annotations

import pytest

from capsafe_core.analysis.view import View, open_view
from capsafe_core.report.document import Item, Made, Report, make
from capsafe_core.selection import Selection
from capsafe_core.store import Store

KINDS = ("overview", "capability", "conclusion", "judges", "incoherence")


@pytest.fixture(scope="module")
def view(made_up_store: Store) -> View:
    return open_view(made_up_store, Selection())


@pytest.fixture(scope="module")
def made(view: View) -> Made:
    return make(view, Report("", tuple(Item(k) for k in KINDS), "reviewer"))
