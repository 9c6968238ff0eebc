"""Facts as tidy frames, for notebooks and exports."""

from __future__ import annotations

import pandas as pd

from capsafe_core.store.cells import pooled_ids
from capsafe_core.store.store import Store

_PLACES = """
places AS (
    SELECT DISTINCT study, recipe, seed, step, start, dataset, checkpoint_id FROM path_points
    WHERE ($study = '' OR study = $study) AND batch NOT IN (SELECT batch FROM retracted_batches)
)
"""
_ITS = f"WITH {_PLACES}, its AS (SELECT DISTINCT cell_id FROM cells JOIN places USING (checkpoint_id))"


def outputs_frame(store: Store, study: str = "") -> pd.DataFrame:
    """One row for each output and place on a path: a start stands at the beginning of each path from it.

    Cells that differ only in engine, engine version or dtype have one cell_id.
    """
    frame = store.frame(
        f"""
        WITH {_PLACES}
        SELECT CAST(g.generation_id AS VARCHAR) AS generation_id, p.study, p.recipe, p.seed, p.step, p.start,
            p.dataset, CAST(c.checkpoint_id AS VARCHAR) AS checkpoint_id,
            CAST(c.cell_id AS VARCHAR) AS cell_id, b.name AS benchmark, b.version AS benchmark_version,
                b.kind, coalesce(a.name, '') AS attack, q.item, q.category, q.behaviour, q.text AS prompt,
                g.asked, g.reasoning, g.text AS answer, g.finish_reason, g.tokens, g.sample,
            d.system_prompt, d.few_shot, d.temperature, d.top_p, d.max_tokens, d.engine, d.engine_version,
                d.dtype
        FROM live_generations AS g JOIN cells AS c USING (cell_id) JOIN places AS p USING (checkpoint_id)
            JOIN prompts AS q USING (prompt_id)
        JOIN benchmarks AS b ON b.benchmark_id = c.benchmark_id JOIN conditions AS d USING (condition_id)
            LEFT JOIN attacks AS a USING (attack_id)
        ORDER BY p.study, p.recipe, p.seed, p.step, b.name, attack, q.position, g.sample
        """,
        {"study": study},
    )
    frame["cell_id"] = frame["cell_id"].replace(pooled_ids(store))
    return frame


def judgments_frame(store: Store, study: str = "") -> pd.DataFrame:
    """One row for each current judgment."""
    return store.frame(
        f"""
        {_ITS}
        SELECT CAST(j.generation_id AS VARCHAR) AS generation_id, r.name AS judge, r.version, j.dimension,
            j.status, j.label, j.score, j.native
        FROM current_judgments AS j JOIN its USING (cell_id) JOIN raters AS r USING (rater_id)
            ORDER BY j.generation_id, r.name, j.dimension
        """,
        {"study": study},
    )


def labels_frame(store: Store, study: str = "") -> pd.DataFrame:
    """One row for each label that a person's word stands for now."""
    return store.frame(
        f"""
        {_ITS}
        SELECT CAST(l.generation_id AS VARCHAR) AS generation_id, r.name AS annotator, l.dimension, l.label,
            array_to_string(l.reasons, ', ') AS reasons, l.note, l.confidence
        FROM current_labels AS l JOIN its USING (cell_id) JOIN raters AS r USING (rater_id)
            ORDER BY l.generation_id, r.name, l.dimension
        """,
        {"study": study},
    )
