"""What facts that came from elsewhere say about outputs, cells and studies that were here before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from capsafe_core.store.store import Store


@dataclass(frozen=True)
class Overlap:
    """How much of the workspace's own some foreign facts concern: outputs that they judge, label or give
    otherwise, cells, studies, queues."""

    outputs: int
    cells: int
    studies: tuple[str, ...]
    queues: int

    @property
    def words(self) -> str:
        """For people; empty where they concern nothing that was here."""
        parts = [
            f"{n:,} {noun}{'' if n == 1 else 's'}"
            for n, noun in ((self.outputs, "output"), (self.cells, "cell"), (self.queues, "labelling queue"))
            if n
        ]
        parts += [f"the text of the study {name!r}" for name in self.studies]
        if not parts:
            return ""
        return (
            f"What came from elsewhere also concerns what was here before: {', '.join(parts)}."
            " Until you adopt it, your own facts about these count first."
        )


def overlap(store: Store, jobs: Sequence[str]) -> Overlap:
    """What the foreign ones of some jobs say about what the workspace has of its own."""
    ((outputs, cells, studies, queues),) = store.rows(
        """
        WITH theirs AS (
            SELECT batch FROM batches JOIN ranked_batches USING (batch)
            WHERE is_foreign AND job_id IN (SELECT unnest($jobs))
        ), own AS (SELECT batch FROM ranked_batches WHERE NOT is_foreign),
        said AS (
            SELECT cell_id, generation_id FROM judgments WHERE batch IN (SELECT batch FROM theirs)
            UNION SELECT cell_id, generation_id FROM label_events WHERE batch IN (SELECT batch FROM theirs)
            UNION SELECT cell_id, generation_id FROM generations WHERE batch IN (SELECT batch FROM theirs)
        ), given AS (SELECT cell_id, generation_id FROM generations WHERE batch IN (SELECT batch FROM own)),
        differs AS (
            SELECT id AS generation_id FROM conflicts WHERE type = 'generations'
                AND batch IN (SELECT batch FROM theirs)
        )
        SELECT
            (SELECT count(DISTINCT generation_id) FROM given WHERE generation_id IN (
                SELECT generation_id FROM said UNION SELECT generation_id FROM differs
            )),
            (SELECT count(DISTINCT cell_id) FROM given WHERE cell_id IN (SELECT cell_id FROM said)
                OR generation_id IN (SELECT generation_id FROM differs)),
            (SELECT coalesce(list(DISTINCT name ORDER BY name), []) FROM studies
                WHERE batch IN (SELECT batch FROM theirs)
                AND name IN (SELECT name FROM studies WHERE batch IN (SELECT batch FROM own))),
            (SELECT count(DISTINCT queue) FROM queues WHERE batch IN (SELECT batch FROM theirs)
                AND queue IN (SELECT queue FROM queues WHERE batch IN (SELECT batch FROM own)))
        """,
        {"jobs": list(jobs)},
    )
    return Overlap(outputs, cells, tuple(studies), queues)
