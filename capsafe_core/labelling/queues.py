"""Queues: which outputs people are asked about, drawn so that the chance of each is known."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.view import View
from capsafe_core.annotation import QueueSettings
from capsafe_core.errors import CapsafeError
from capsafe_core.labelling.desk import Desk, Drawn
from capsafe_core.people import Person
from capsafe_core.records import QueueFrame, QueueItem, QueueRecord, Record
from capsafe_core.selection import Selection
from capsafe_core.specification import Specification
from capsafe_core.stats.design import (
    LEAST,
    Design,
    Stratum,
    inclusion,
    power_allocation,
    priority_design,
    random_rank,
    stratified_design,
)
from capsafe_core.store.labels import drawn_items, first_frames
from capsafe_core.store.output_lists import frame_outputs
from capsafe_core.store.outputs import cell_sizes, scores_of
from capsafe_core.store.store import Store

COHERENCE_WORDS = {0: "coherence unknown", 1: "coherent", 2: "incoherent"}
DISPUTED, UNCERTAIN = "most disputed", "least certain"


def make_queue(desk: Desk, view: View, person: Person, settings: QueueSettings) -> QueueRecord:
    """Draw a queue from the outputs of a view and open it. Without a chosen benchmark it draws from the one
    of the primary specification.

    Raises:
        CapsafeError: the person is not a researcher, the selection leaves nothing, or nothing tells which
            outputs are uncertain.
    """
    spec = view.specification
    selection = (
        view.selection if view.selection.benchmarks else view.selection.but(benchmarks=(spec.benchmark,))
    )
    asking = {name: getattr(spec, name) for name in ("judge", "refusal_judge", "coherence")}
    return desk.make(
        person,
        settings,
        selection,
        asking,
        lambda queue: draw(dataclasses.replace(view, selection=selection), queue, settings),
    )


def extend_queue(desk: Desk, person: Person, queue: QueueRecord, more: int) -> QueueRecord:
    """Add items to a queue, from where its random order stopped.

    Raises:
        CapsafeError: the person is not a researcher, or nothing is left to draw.
    """
    return desk.extend(person, queue.queue, lambda now: extend(desk.store, now, more), more)


def draw(view: View, queue: str, settings: QueueSettings) -> Drawn:
    """Draw a new queue's outputs from those that a view lists.

    Raises:
        CapsafeError: the selection leaves nothing, or nothing tells which outputs are uncertain.
    """
    store = view.store
    frame = frame_outputs(store, view.selection, view.specification, view.listed)
    if frame.empty:
        raise CapsafeError("This selection leaves no output to ask about.", "Widen it: take away a filter.")
    design, words = _design(store, queue, frame, settings)
    sizes = cell_sizes(store, list(frame["cell_id"].unique()))
    records: list[Record] = [
        QueueFrame(queue, d, str(cell), _codes(rows["place"], design.codes[d][rows.index], sizes[str(cell)]))
        for d in range(len(design.codes))
        for cell, rows in frame.groupby("cell_id")
    ]
    return Drawn([*records, *_items(queue, frame, design)], _as_dicts(design.strata), words)


def _design(store: Store, queue: str, frame: pd.DataFrame, settings: QueueSettings) -> tuple[Design, str]:
    rank = _rank(list(frame["generation_id"]), queue, settings.seed)
    total = min(settings.size, len(frame))
    everything = f"from {len(frame)} outputs"
    if settings.strategy == "random":
        return stratified_design(
            np.full(len(frame), "all", dtype=object), rank, total
        ), f"{total} at random {everything}"
    if settings.strategy == "stratified":
        names, by = _strata_names(frame, total)
        design = stratified_design(names, rank, total)
        return (
            design,
            f"{sum(s.drawn for s in design.strata)} {everything}, in {len(design.strata)} strata by {by}, "
            "small ones with a larger share",
        )
    unsafe, safe = frame["unsafe_votes"].to_numpy(), frame["safe_votes"].to_numpy()
    if settings.strategy == "disagreement":
        priority, name = (
            np.where(
                np.minimum(unsafe, safe) > 0, np.minimum(unsafe, safe) - np.abs(unsafe - safe) / 1000, np.nan
            ),
            DISPUTED,
        )
    else:
        priority, name = -np.abs(scores_of(store, frame, settings.uncertain) - 0.5), UNCERTAIN
        if np.isnan(priority).all():
            raise CapsafeError(
                f"{settings.uncertain} has given no score to these outputs, so nothing tells which are "
                "uncertain.",
                "Train the learnt detector first (Labels page), or choose a judge that gives scores.",
            )
    design = priority_design(priority.astype(float), rank, total, settings.share, name)
    return design, f"the {design.strata[1].drawn} {name} and {design.strata[0].drawn} at random {everything}"


def _rank(generations: list[str], queue: str, seed: int) -> npt.NDArray[np.uint64]:
    return random_rank(generations, f"{queue} {seed}")


def _strata_names(frame: pd.DataFrame, total: int) -> tuple[npt.NDArray[np.object_], str]:
    """Judge pattern × coherence × checkpoint; fewer of these where the queue is too small for so
    many strata."""
    unsafe, safe = frame["unsafe_votes"], frame["safe_votes"]
    pattern = np.select(
        [(unsafe > 0) & (safe > 0), unsafe > 0, safe > 0],
        ["judges split", "judges say unsafe", "judges say safe"],
        "no verdict",
    )
    coherence = frame["coherence"].map(COHERENCE_WORDS)  # first, so that neighbours share it
    kind = coherence + ", " + pd.Series(pattern, index=frame.index)
    for column, word in (("checkpoint_id", "checkpoint"), ("recipe", "recipe")):
        names = kind + ", " + frame[column].str[: 8 if column == "checkpoint_id" else 60]
        if names.nunique() * LEAST <= total:
            return names.to_numpy(dtype=object), f"judges' votes, coherence and {word}"
    for names, words in ((kind, "judges' votes and coherence"), (coherence, "coherence")):
        if names.nunique() * LEAST <= total:
            return names.to_numpy(dtype=object), words
    return np.full(len(frame), "all", dtype=object), "nothing, for so few"


def _codes(places: pd.Series, codes: npt.NDArray[np.int64], size: int) -> tuple[int, ...]:
    out = np.zeros(size, dtype=np.int64)
    out[places.to_numpy()] = codes
    return tuple(int(c) for c in out)


def _items(queue: str, frame: pd.DataFrame, design: Design) -> list[Record]:
    """The items of a design, each with the probability of getting into the queue."""
    generations, cells = list(frame["generation_id"]), list(frame["cell_id"])
    chance = inclusion(design.codes, [s.probability for s in design.strata])
    return [
        QueueItem(queue, generations[i], cells[i], s.name, place, float(chance[i]))
        for number, s in enumerate(design.strata)
        for place, i in enumerate(design.drawn(number))
    ]


def _as_dicts(strata: tuple[Stratum, ...]) -> tuple[dict[str, Any], ...]:
    return tuple(dataclasses.asdict(s) for s in strata)


def extend(store: Store, now: QueueRecord, more: int) -> Drawn:
    """Draw more outputs for a queue, further along the same random order of the same strata.

    Only outputs that it could draw from when it was made are drawn. A stratum of adaptive order stays as it
    is.

    Raises:
        CapsafeError: there is nothing left to draw.
    """
    frame = frame_outputs(
        store, Selection.from_query(now.selection), Specification("", **now.settings["asking"])
    )
    generations, cells = [str(g) for g in frame["generation_id"]], [str(c) for c in frame["cell_id"]]
    frames, taken = first_frames(store, now.queue), drawn_items(store, now.queue)
    codes = np.array(
        [
            strata[place] if (strata := frames.get(cell)) and place < len(strata) else 0
            for cell, place in zip(cells, frame["place"], strict=True)
        ],
        dtype=np.int64,
    )
    rank = _rank(generations, now.queue, QueueSettings.from_dict(now.settings).seed)
    before = [Stratum(**s) for s in now.strata]
    at_random = [i for i, s in enumerate(before) if not s.adaptive]
    given = power_allocation(
        [before[i].size for i in at_random], sum(before[i].drawn for i in at_random) + more
    )
    after, records = list(before), list[Record]()
    for i, wanted in zip(at_random, given, strict=True):
        s = before[i]
        free = [j for j in np.flatnonzero(codes == i + 1) if (generations[j], s.name) not in taken]
        chosen = sorted(free, key=lambda j: rank[j])[: max(0, wanted - s.drawn)]
        after[i] = dataclasses.replace(s, drawn=s.drawn + len(chosen))
        records += [
            QueueItem(now.queue, generations[j], cells[j], s.name, s.drawn + k, after[i].probability)
            for k, j in enumerate(chosen)
        ]
    if not records:
        raise CapsafeError(
            "This queue already holds every output that it can draw from.",
            "Make a new queue over a wider selection.",
        )
    return Drawn(records, _as_dicts(tuple(after)), f"{now.words}; then {len(records)} more at random")
