"""Studies, paths and raters as the store knows them."""

from __future__ import annotations

import pandas as pd

from capsafe_core.store.store import Store


def study_texts(store: Store) -> pd.DataFrame:
    """The newest text of each study: name, text, declared, and when its first judge job was planned (`first_result`)."""
    return store.frame(
        """
        SELECT s.name, arg_max(s.text, s.declared) AS text, min(s.declared) AS declared,
            (SELECT min(b.created) FROM batches AS b WHERE b.kind = 'judge' AND b.name LIKE s.name || '-%') AS first_result
        FROM studies AS s GROUP BY s.name ORDER BY max(s.declared) DESC
        """
    )


def path_points(store: Store, study: str) -> pd.DataFrame:
    """The checkpoints along each path of a study, in order: path_id, recipe, seed, step, checkpoint_id, start, dataset, learning_rate."""
    return store.frame(
        """
        SELECT DISTINCT CAST(path_id AS VARCHAR) AS path_id, recipe, seed, step, CAST(checkpoint_id AS VARCHAR) AS checkpoint_id, start, dataset, learning_rate
        FROM path_points WHERE study = ? AND batch NOT IN (SELECT batch FROM retracted_batches) ORDER BY recipe, seed, step
        """,
        [study],
    )


def raters(store: Store) -> pd.DataFrame:
    """Every rater: rater_id, name, kind, family, dimensions, version, stance, settings."""
    return store.frame("SELECT CAST(rater_id AS VARCHAR) AS rater_id, name, kind, family, array_to_string(dimensions, ', ') AS dimensions, version, stance, settings FROM raters ORDER BY name")


def measurements(store: Store) -> pd.DataFrame:
    """Capability known only in aggregate: checkpoint_id, benchmark, metric, value, stderr, n, source."""
    return store.frame("SELECT CAST(checkpoint_id AS VARCHAR) AS checkpoint_id, benchmark, metric, value, stderr, n, source FROM measurements WHERE batch NOT IN (SELECT batch FROM retracted_batches)")
