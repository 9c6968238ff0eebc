"""Studies, paths and raters as the store knows them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from capsafe_core.store.store import Store


def study_texts(store: Store) -> pd.DataFrame:
    """The newest text of each study, and since when its primary specification and goals stand: name, text,
    declared.

    Not of studies whose every import was undone. A text that came from elsewhere counts where there is no
    other.
    """
    return store.frame(
        """
        WITH undone AS (
            SELECT study FROM path_points GROUP BY study
            HAVING bool_and(batch IN (SELECT batch FROM retracted_batches))
        ), newest AS (
            SELECT name, arg_max(text, declared) AS text, arg_max(primary_digest, declared) AS primary_digest,
                max(declared) AS last
            FROM counted_studies WHERE name NOT IN (SELECT study FROM undone) GROUP BY name
        )
        SELECT newest.name, newest.text, min(s.declared) AS declared
        FROM newest JOIN counted_studies AS s USING (name, primary_digest)
        GROUP BY newest.name, newest.text, last ORDER BY last DESC
        """
    )


def first_result(store: Store, jobs: Sequence[str]) -> float | None:
    """When the first of some judge jobs was planned; None where none was."""
    query = "SELECT min(created) FROM batches WHERE kind = 'judge' AND name IN (SELECT unnest(?))"
    [(when,)] = store.rows(query, [list(jobs)])
    return None if when is None else float(when)


def path_points(store: Store, study: str) -> pd.DataFrame:
    """The checkpoints along each path of a study, in order: path_id, recipe, seed, step, checkpoint_id,
    start, dataset, learning_rate."""
    return store.kept(f"points {study}", lambda: _path_points(store, study))


def _path_points(store: Store, study: str) -> pd.DataFrame:
    return store.frame(
        """
        SELECT DISTINCT CAST(path_id AS VARCHAR) AS path_id, recipe, seed, step,
            CAST(checkpoint_id AS VARCHAR) AS checkpoint_id, start, dataset, learning_rate
        FROM path_points WHERE study = ? AND batch NOT IN (SELECT batch FROM retracted_batches)
            ORDER BY recipe, seed, step
        """,
        [study],
    )


def raters(store: Store) -> pd.DataFrame:
    """Every rater: rater_id, name, kind, family, dimensions, version, stance, settings."""
    return store.frame(
        "SELECT CAST(rater_id AS VARCHAR) AS rater_id, name, kind, family, array_to_string(dimensions, ', "
        "') AS dimensions, version, stance, settings FROM raters ORDER BY name"
    )


def rater_names(store: Store) -> list[str]:
    """Names of the raters."""
    return store.kept(
        "rater names",
        lambda: [str(name) for (name,) in store.rows("SELECT DISTINCT name FROM raters ORDER BY name")],
    )


def measurements(store: Store) -> pd.DataFrame:
    """Capability known only in aggregate: checkpoint_id, benchmark, metric, value, stderr, n, source."""
    return store.frame(
        """
        SELECT CAST(checkpoint_id AS VARCHAR) AS checkpoint_id, benchmark, metric, value, stderr, n, source
        FROM counted_measurements
        """
    )
