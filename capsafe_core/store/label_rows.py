"""Labels that stand as rows, as files of labels have them."""

from __future__ import annotations

from typing import Any

from capsafe_core.store.labels import queue_strata
from capsafe_core.store.store import Store

COLUMNS = (
    "generation_id",
    "prompt",
    "answer",
    "annotator",
    "dimension",
    "label",
    "reasons",
    "note",
    "confidence",
    "created",
    "shown",
    "repeat",
    "queue",
    "stratum",
    "place",
    "probability",
    "guidelines",
    "event_id",
)


def label_rows(store: Store, queue: str = "") -> list[dict[str, Any]]:
    """Every label that stands, as rows; with a queue also its outputs that nobody has labelled yet.

    The probability is that of the queue's draw at random, with the stratum and the place in its order, so
    that whoever reads the file can tell how far each order was completed. What a queue took because judges
    dispute it has none.
    """
    strata = [
        (q, s["name"], s["drawn"] / s["size"])
        for q, known in queue_strata(store).items()
        for s in known
        if not s["adaptive"] and s["size"]
    ]
    rows = store.rows(
        """
        WITH said AS (SELECT * FROM current_answers WHERE action = 'label'
            AND ($queue = '' OR queue = $queue)),
        chances AS (SELECT unnest($queues) AS queue, unnest($strata) AS stratum, unnest($chances) AS chance),
        asked AS (
            SELECT queue, generation_id, arg_min(stratum, chance) AS stratum, arg_min(place, chance) AS place,
                min(chance) AS probability
            FROM counted_items LEFT JOIN chances USING (queue, stratum) WHERE $queue = '' OR queue = $queue
                GROUP BY queue, generation_id
        ),
        both_sides AS (
            SELECT generation_id, r.name AS annotator, said.dimension, said.label, said.reasons, said.note,
                said.confidence, said.created, said.shown, said.repeat, said.queue, asked.stratum,
                asked.place, asked.probability, said.guidelines, said.event_id
            FROM said JOIN raters AS r USING (rater_id) LEFT JOIN asked USING (generation_id, queue)
            UNION ALL
            SELECT generation_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, queue, stratum, place,
                probability, NULL, NULL
            FROM asked WHERE $queue <> '' AND generation_id NOT IN (SELECT generation_id FROM said)
        )
        SELECT CAST(s.generation_id AS VARCHAR), p.text, g.text, annotator, dimension, label, reasons, note,
            confidence, created, shown, CAST(repeat AS INTEGER), queue, stratum, CAST(place AS INTEGER),
            probability, guidelines, CAST(event_id AS VARCHAR)
        FROM both_sides AS s JOIN live_generations AS g ON g.generation_id = s.generation_id
            JOIN prompts AS p USING (prompt_id) ORDER BY created, annotator, dimension, 1
        """,
        {
            "queue": queue,
            "queues": [q for q, _, _ in strata],
            "strata": [s for _, s, _ in strata],
            "chances": [c for _, _, c in strata],
        },
    )
    return [{k: v for k, v in zip(COLUMNS, row, strict=True) if v not in (None, "", [])} for row in rows]
