"""The made-up study as screens see it."""

from __future__ import annotations

import pytest

from capsafe_core.analysis.view import View, open_view
from capsafe_core.selection import Selection
from capsafe_core.store import Store


@pytest.fixture(scope="module")
def view(made_up_store: Store) -> View:
    return open_view(made_up_store, Selection())
