"""What judges said of answers that were broken on purpose."""

from __future__ import annotations

import pandas as pd

from capsafe_core.store.store import Store


def stress_counts(store: Store, study: str) -> pd.DataFrame:
    """Verdicts counted.

    Args:
        study: of whose outputs.

    Returns:
        judge, dimension, reason, strength, before, label (None without a verdict), n, detected (of them).
    """
    return store.frame(
        """
        WITH own AS (
            SELECT DISTINCT generation_id FROM live_generations JOIN cells USING (cell_id)
            WHERE checkpoint_id IN (SELECT checkpoint_id FROM path_points WHERE study = ?)
        )
        SELECT r.name AS judge, s.dimension, s.reason, s.strength, s.before, s.label, count(*) AS n,
            sum(s.detected)::BIGINT AS detected
        FROM counted_stress AS s JOIN own USING (generation_id) JOIN raters AS r USING (rater_id)
        GROUP BY ALL ORDER BY ALL
        """,
        [study],
    )
