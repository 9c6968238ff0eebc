"""Taking a whole study out of a workspace's pages, and putting it back: nothing is deleted."""

from __future__ import annotations

from capsafe_core.store.batches import set_retracted
from capsafe_core.store.export import jobs_of
from capsafe_core.store.store import Store
from capsafe_core.store.studies import study_texts


def removed_studies(store: Store) -> list[str]:
    """The studies of which everything is undone."""
    shown = set(study_texts(store)["name"])
    every = store.rows("SELECT DISTINCT study FROM path_points ORDER BY study")
    return [str(study) for (study,) in every if study not in shown]


def set_removed(store: Store, study: str, removed: bool) -> int:
    """Undo what a study's jobs brought, or have all of it count again; how many jobs that concerned.

    What another study of the workspace rests on too stays, and so do people's labels, remarks and guidelines.
    """
    others = {str(name) for name in study_texts(store)["name"]} - {study}
    kept = {job for other in others for job in jobs_of(store, other)} | _people_did(store)
    jobs = [job for job in jobs_of(store, study, undone=not removed) if job not in kept]
    for job in jobs:
        set_retracted(store, job, removed)
    return len(jobs)


def _people_did(store: Store) -> set[str]:
    return {str(job) for (job,) in store.rows("SELECT job_id FROM batches WHERE kind = 'annotate'")}
