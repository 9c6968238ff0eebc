"""The store in a notebook: `capsafe_core.open(path)` gives tidy frames, and every table that a screen
shows."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import pandas as pd

from capsafe_core.analysis.by_name import TABLES, table
from capsafe_core.analysis.view import list_studies
from capsafe_core.selection import Selection
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.frames import judgments_frame, labels_frame, outputs_frame
from capsafe_core.store.studies import measurements
from capsafe_core.text import visible

TABLE_NAMES = tuple(TABLES)
"""what `Reader.table` knows"""


class Frame(pd.DataFrame):
    """A frame that shows its texts as texts: no formulas that a notebook would set, no codes that a terminal
    would obey."""

    @property
    def _constructor(self) -> type[Frame]:
        return Frame

    def __repr__(self) -> str:
        return visible(super().__repr__())

    def _repr_html_(self) -> str | None:
        with pd.option_context("display.html.use_mathjax", False):
            shown = super()._repr_html_()  # type: ignore[misc]
        return None if shown is None else visible(shown)


class Reader:
    """A store, opened to be read. Use it with `with`, or close it: one process at a time may hold a store.

    Attributes:
        studies: names of the studies, newest first.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.studies = list_studies(store)

    def outputs(self, study: str = "") -> pd.DataFrame:
        """One row an output.

        Returns:
            generation_id, study, recipe, seed, step, start, dataset, checkpoint_id, benchmark, kind, attack,
            item, category, behaviour, prompt, asked (what the model was given, where that is something else),
            answer, finish_reason, tokens, sample, temperature (below 0: unknown).
        """
        return Frame(outputs_frame(self._store, study))

    def judgments(self, study: str = "") -> pd.DataFrame:
        """One row a current judgment: generation_id, judge, version, dimension, status, label, score,
        native."""
        return Frame(judgments_frame(self._store, study))

    def labels(self, study: str = "") -> pd.DataFrame:
        """One row a person's current label: generation_id, annotator, dimension, label, reasons, note,
        confidence."""
        return Frame(labels_frame(self._store, study))

    def measurements(self) -> pd.DataFrame:
        """Capability known only in aggregate: checkpoint_id, benchmark, metric, value, stderr, n, source."""
        return Frame(measurements(self._store))

    def table(self, name: str, **selection: object) -> pd.DataFrame:
        """One of TABLE_NAMES, as the command of that name prints it.

        Args:
            selection: fields of `capsafe_core.Selection`, such as study="sums", judges=("prefix-zou",).

        Raises:
            CapsafeError: there is no such table, or the selection leaves nothing.
        """
        return Frame(table(self._store, name, Selection(**selection)))  # type: ignore[arg-type]

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open(path: str | Path | None = None) -> Reader:
    """Open a store to read it.

    Args:
        path: a store or a snapshot (`capsafe snapshot` makes one, also while the app runs); None for the
            workspace's own store.

    Raises:
        CapsafeError: it is not a store, or another process holds it.
    """
    return Reader(Store(Settings().store_path if path is None else Path(path)))
