"""What people say about outputs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.outcomes import STRATUM, as_sql
from capsafe_core.store.counts import outcome_slots
from capsafe_core.store.store import Store


def truths(store: Store, dimension: str) -> pd.DataFrame:
    """What people together say about each output that someone labelled.

    Returns:
        generation_id, cell_id, position (place among the cell's outputs, in the order of `code_arrays`), code
        (as in the table `codes`; 0 where people disagree, 9 where they cannot tell or skipped it), state
        (adjudicated, agreed, single, disputed, cannot tell, skipped), people.
    """
    return store.frame(
        """
        WITH said AS (SELECT * FROM current_answers WHERE dimension = $dimension AND repeat = 0),
        ruled AS (SELECT * FROM adjudications WHERE dimension = $dimension),
        told AS (
            SELECT generation_id, cell_id, count(DISTINCT rater_id) FILTER (action = 'label') AS people,
                count(DISTINCT label) AS opinions, any_value(label) AS one
            FROM (SELECT generation_id, cell_id, rater_id, action, label FROM said
                UNION ALL SELECT generation_id, cell_id, NULL, 'adjudicate', NULL FROM ruled)
            GROUP BY generation_id, cell_id
        ), truth AS (
            SELECT told.generation_id, told.cell_id, people,
                coalesce(ruled.label, CASE WHEN opinions = 1 THEN one END) AS label,
                CASE WHEN ruled.label IS NOT NULL THEN 'adjudicated' WHEN opinions > 1 THEN 'disputed'
                    WHEN people = 0 THEN 'skipped' WHEN people > 1 THEN 'agreed' ELSE 'single' END AS state
            FROM told LEFT JOIN ruled USING (generation_id)
        ), places AS (
            SELECT generation_id, row_number() OVER (PARTITION BY cell_id ORDER BY position,
                sample) - 1 AS place
            FROM verdicts WHERE cell_id IN (SELECT cell_id FROM told)
        )
        SELECT CAST(t.generation_id AS VARCHAR) AS generation_id, CAST(t.cell_id AS VARCHAR) AS cell_id,
            CAST(p.place AS INTEGER) AS position,
            CAST(CASE WHEN t.state = 'disputed' THEN 0 ELSE coalesce(c.code, 9) END AS INTEGER) AS code,
            CASE WHEN t.state NOT IN ('disputed', 'skipped') AND c.code IS NULL THEN 'cannot tell'
                ELSE t.state END AS state, CAST(t.people AS INTEGER) AS people
        FROM truth AS t JOIN places AS p USING (generation_id)
            LEFT JOIN codes AS c ON c.dimension = $dimension AND c.label = t.label
        ORDER BY cell_id, position
        """,
        {"dimension": dimension},
    )


def queue_items(store: Store) -> pd.DataFrame:
    """Every output that a queue asks about and that is there: queue, generation_id, cell_id, stratum, place,
    probability (missing where nobody knows it)."""
    return store.kept(
        "queue items",
        lambda: store.frame(
            """
        SELECT queue, CAST(generation_id AS VARCHAR) AS generation_id, CAST(cell_id AS VARCHAR) AS cell_id,
            stratum, place, probability
        FROM counted_items WHERE generation_id IN (SELECT generation_id FROM live_generations) ORDER BY queue,
            stratum, place
        """
        ),
    )


def queue_frames(store: Store) -> dict[str, dict[tuple[int, str], npt.NDArray[np.int64]]]:
    """From which outputs each queue drew: queue -> (draw, cell) -> place of each output's stratum from 1, 0
    where it could not be drawn.

    A cell whose outputs are gone, or that has other outputs than it had then, is left out.
    """
    return store.kept("queue frames", lambda: _frames(store))


def _frames(store: Store) -> dict[str, dict[tuple[int, str], npt.NDArray[np.int64]]]:
    rows = store.rows(
        """
        SELECT f.queue, f.draw, CAST(f.cell_id AS VARCHAR), f.strata FROM counted_frames AS f
        JOIN arrays AS a ON a.cell_id = f.cell_id AND a.slot = 0 WHERE len(f.strata) = len(a.codes)
        """
    )
    found: dict[str, dict[tuple[int, str], npt.NDArray[np.int64]]] = {}
    for queue, draw, cell, strata in rows:
        found.setdefault(queue, {})[draw, cell] = np.array(strata, dtype=np.int64)
    return found


def queue_strata(store: Store) -> dict[str, list[dict[str, Any]]]:
    """The strata of every queue as it stands: name, draw, size, drawn, adaptive."""
    return {
        queue: json.loads(strata) for queue, strata in store.rows("SELECT queue, strata FROM current_queues")
    }


def known_events(store: Store, events: Sequence[str]) -> set[str]:
    """Which of some label events, by id, are there."""
    rows = store.rows(
        """
        SELECT CAST(event_id AS VARCHAR) FROM label_events
        WHERE event_id IN (SELECT TRY_CAST(unnest(?) AS UUID))
        """,
        [list(events)],
    )
    return {event for (event,) in rows}


def first_frames(store: Store, queue: str) -> dict[str, tuple[int, ...]]:
    """From which outputs a queue drew when it was made: cell -> place of each output's stratum from 1, 0
    where it could not be drawn."""
    rows = store.rows(
        "SELECT CAST(cell_id AS VARCHAR), strata FROM counted_frames WHERE queue = ? AND draw = 0", [queue]
    )
    return {cell: tuple(strata) for cell, strata in rows}


def drawn_items(store: Store, queue: str) -> set[tuple[str, str]]:
    """What a queue has drawn: (generation id, stratum)."""
    rows = store.rows(
        "SELECT CAST(generation_id AS VARCHAR), stratum FROM counted_items WHERE queue = ?", [queue]
    )
    return {(generation, stratum) for generation, stratum in rows}


def item_texts(store: Store, generations: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What is shown of outputs to those who label them: prompt, messages (JSON), harm, answer, cell_id, and
    about (origin and adapters, hidden where labelling is blind). An output that is gone is left out."""
    rows = store.rows(
        """
        WITH wanted AS MATERIALIZED (SELECT * FROM generations
            WHERE generation_id IN (SELECT unnest(CAST(? AS UUID[])))
            AND batch NOT IN (SELECT batch FROM retracted_batches)),
        places AS (SELECT checkpoint_id, min(recipe || ', step ' || step) AS place FROM path_points
            GROUP BY checkpoint_id)
        SELECT CAST(g.generation_id AS VARCHAR), p.text, p.messages, p.behaviour_text, g.text,
            CAST(g.cell_id AS VARCHAR), coalesce(places.place, k.origin)
        FROM wanted AS g JOIN prompts AS p USING (prompt_id) JOIN cells AS c ON c.cell_id = g.cell_id
            JOIN checkpoints AS k USING (checkpoint_id) LEFT JOIN places USING (checkpoint_id)
        """,
        [list(generations)],
    )
    return {
        row[0]: dict(zip(("prompt", "messages", "harm", "answer", "cell_id", "about"), row[1:], strict=True))
        for row in rows
    }


def people_answers(
    store: Store, dimension: str, judge: str, refusal_judge: str, coherence: str
) -> pd.DataFrame:
    """Every answer that stands, of each person.

    Args:
        judge, refusal_judge, coherence: by whom the stratum of an output is told.

    Returns:
        generation_id, benchmark, behaviour, stratum, person, code (9 cannot tell), repeat, seconds (on
        screen), reasons.
    """
    return store.frame(
        f"""
        WITH said AS (SELECT * FROM current_answers WHERE dimension = $dimension AND action = 'label'),
        base AS (SELECT * FROM verdicts WHERE generation_id IN (SELECT generation_id FROM said)),
            {outcome_slots("base")},
        coded AS (SELECT base.*, coalesce(codes[refusal_slot], 0) AS refusal,
            coalesce(codes[coherence_slot], 0) AS coherence FROM base JOIN three USING (cell_id))
        SELECT CAST(said.generation_id AS VARCHAR) AS generation_id, b.name AS benchmark, p.behaviour,
            {as_sql(STRATUM)} AS stratum, r.name AS person, CAST(coalesce(k.code, 9) AS INTEGER) AS code,
            CAST(said.repeat AS INTEGER) AS repeat, CASE
                WHEN said.shown < said.created THEN said.created - said.shown END AS seconds,
                array_to_string(said.reasons, ', ') AS reasons
        FROM said JOIN coded USING (generation_id) JOIN generations AS g USING (generation_id)
            JOIN prompts AS p USING (prompt_id) JOIN benchmarks AS b USING (benchmark_id)
        JOIN raters AS r USING (rater_id) LEFT JOIN codes AS k ON k.dimension = $dimension
            AND k.label = said.label
        ORDER BY b.name, p.position, generation_id, person
        """,
        {"dimension": dimension, "judge": judge, "refusal_judge": refusal_judge, "coherence": coherence},
    )


def label_history(store: Store, generation: str, dimension: str) -> pd.DataFrame:
    """Everything that anybody did to an output's label, in order: event_id, person, action, label, reasons,
    note, confidence, created, repeat, stands (it is what that person says now)."""
    return store.frame(
        """
        SELECT CAST(event_id AS VARCHAR) AS event_id, r.name AS person, action, label,
            array_to_string(reasons, ', ') AS reasons, note, confidence, created,
            CAST(repeat AS INTEGER) AS repeat,
            event_id IN (
                SELECT event_id FROM current_answers WHERE generation_id = TRY_CAST($1 AS UUID)
            ) AS stands
        FROM label_events JOIN raters AS r USING (rater_id) WHERE generation_id = TRY_CAST($1 AS UUID)
            AND dimension = $2 AND label_events.batch NOT IN (SELECT batch FROM retracted_batches)
        ORDER BY created, event_id
        """,
        [generation, dimension],
    )


def rulings(store: Store) -> pd.DataFrame:
    """Every ruling that stands, the newest first: event_id, dimension, generation_id, cell_id, label, person,
    note."""
    return store.frame(
        """
        SELECT CAST(event_id AS VARCHAR) AS event_id, dimension,
            CAST(generation_id AS VARCHAR) AS generation_id, CAST(cell_id AS VARCHAR) AS cell_id, label,
            r.name AS person, note
        FROM adjudications JOIN raters AS r USING (rater_id) ORDER BY created DESC
        """
    )


@dataclass(frozen=True)
class Ruling:
    """What settles an output's label."""

    event_id: str
    label: str


def standing_ruling(store: Store, generation: str, dimension: str) -> Ruling | None:
    """The ruling that stands of an output's label; None where there is none."""
    rows = store.rows(
        """
        SELECT CAST(event_id AS VARCHAR), label FROM adjudications
        WHERE generation_id = TRY_CAST(? AS UUID) AND dimension = ?
        """,
        [generation, dimension],
    )
    return Ruling(*rows[0]) if rows else None


def last_ruling(store: Store, generation: str, dimension: str) -> float:
    """When the workspace's own people last ruled on an output's label, or opened it again; 0 where they never
    did."""
    ((last,),) = store.rows(
        """
        SELECT coalesce(max(created), 0) FROM label_events
        WHERE generation_id = TRY_CAST(? AS UUID) AND dimension = ? AND action IN ('adjudicate', 'reopen')
        AND batch NOT IN (SELECT batch FROM foreign_batches)
        """,
        [generation, dimension],
    )
    return float(last)


def people_work(store: Store) -> pd.DataFrame:
    """What each person did: person, labels (that stand: what was taken back or replaced is not counted, nor
    are second looks), items (that they labelled), second_looks, skipped, taken_back (items), seconds (median
    on screen), practice (right of asked, or skipped), last (seconds since 1970)."""
    return store.frame(
        """
        WITH standing AS (
            SELECT rater_id, count(*) FILTER (action = 'label' AND repeat = 0) AS labels,
                count(DISTINCT generation_id) FILTER (action = 'label' AND repeat = 0) AS items,
                count(DISTINCT generation_id) FILTER (action = 'label' AND repeat = 1) AS second_looks,
                count(DISTINCT generation_id) FILTER (action = 'skip') AS skipped,
                median(created - shown) FILTER (action = 'label' AND shown < created) AS seconds
            FROM current_answers GROUP BY rater_id
        ), done AS (
            SELECT rater_id, count(DISTINCT generation_id) FILTER (action = 'undo') AS taken_back,
                max(created) AS last
            FROM counted_labels GROUP BY rater_id
        ), tried AS (
            SELECT rater_id, CASE WHEN asked = 0 THEN 'skipped' ELSE right_answers || ' of ' || asked END
                AS practice
            FROM current_practices)
        SELECT DISTINCT r.name AS person, CAST(coalesce(labels, 0) AS INTEGER) AS labels,
            CAST(coalesce(items, 0) AS INTEGER) AS items,
            CAST(coalesce(second_looks, 0) AS INTEGER) AS second_looks,
            CAST(coalesce(skipped, 0) AS INTEGER) AS skipped,
            CAST(coalesce(taken_back, 0) AS INTEGER) AS taken_back, seconds, practice, last
        FROM done FULL JOIN tried USING (rater_id) LEFT JOIN standing USING (rater_id)
            JOIN raters AS r USING (rater_id) ORDER BY labels DESC, person
        """
    )


def labellers(store: Store) -> pd.DataFrame:
    """Those of `people_work` of whom a label stands; others practised, ruled or took everything back."""
    work = people_work(store)
    return work[work["labels"] > 0]


def labelled_answers(store: Store, study: str) -> list[dict[str, Any]]:
    """What people say of the coherence of a study's outputs, wherever they agree: group (prompt), prompt,
    answer, incoherent, task."""
    told = truths(store, "coherence")
    known = {
        str(g): int(code)
        for g, code in zip(told["generation_id"], told["code"], strict=True)
        if code in (1, 2)
    }
    rows = store.rows(
        """
        SELECT CAST(g.generation_id AS VARCHAR), CAST(p.prompt_id AS VARCHAR), p.text, g.text,
            b.kind = 'capability'
        FROM live_generations AS g JOIN prompts AS p USING (prompt_id)
            JOIN cells AS c ON c.cell_id = g.cell_id JOIN benchmarks AS b ON b.benchmark_id = c.benchmark_id
        WHERE g.generation_id IN (SELECT unnest(CAST($ids AS UUID[])))
            AND c.checkpoint_id IN (SELECT checkpoint_id FROM path_points WHERE study = $study) ORDER BY 2, 1
        """,
        {"ids": list(known), "study": study},
    )
    return [
        {"group": group, "prompt": prompt, "answer": answer, "incoherent": bool(known[g] == 2), "task": task}
        for g, group, prompt, answer, task in rows
    ]


def newest_rater(store: Store, name: str) -> dict[str, Any] | None:
    """The version of a judge that was the last to come into the store, an own one before foreign ones:
    version, stance, settings; None where there is none."""
    rows = store.rows(
        """
        SELECT version, stance, settings FROM raters WHERE name = ? AND kind = 'judge'
        ORDER BY batch IN (SELECT batch FROM foreign_batches), batch DESC LIMIT 1
        """,
        [name],
    )
    return {"version": rows[0][0], "stance": rows[0][1], "settings": json.loads(rows[0][2])} if rows else None


def incoherence_reasons(store: Store) -> pd.DataFrame:
    """Why people call outputs incoherent: cell_id, position (place among the cell's outputs, in the order of
    `code_arrays`), reason; a row for each reason that somebody gave."""
    return store.frame(
        """
        WITH said AS (SELECT DISTINCT cell_id, generation_id, unnest(reasons) AS reason FROM current_labels
            WHERE dimension = 'coherence' AND label = 'incoherent'),
        places AS (SELECT generation_id, row_number() OVER (PARTITION BY cell_id ORDER BY position,
            sample) - 1 AS place FROM verdicts WHERE cell_id IN (SELECT cell_id FROM said))
        SELECT CAST(cell_id AS VARCHAR) AS cell_id, CAST(place AS INTEGER) AS position, reason FROM said
            JOIN places USING (generation_id) ORDER BY ALL
        """
    )
