"""An import from a path to the tables, in this process: what the app and the command do through workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capsafe_core.jobs.folder import Part
from capsafe_core.jobs.importing import plan_import, read_survey, survey_job
from capsafe_core.jobs.looking import Survey
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.work import import_logs
from capsafe_core.work import survey as survey_work


@dataclass
class Brought:
    """What an import brought, and what the look at it said.

    Attributes:
        failures: sentences of files that could not be imported.
    """

    survey: Survey
    store: Store
    failures: list[str]

    def number(self, query: str) -> Any:
        return self.store.rows(query)[0][0]

    @property
    def outputs(self) -> int:
        return int(self.number("SELECT count(*) FROM live_generations"))

    @property
    def prompts(self) -> int:
        return int(self.number("SELECT count(DISTINCT prompt_id) FROM live_generations"))

    @property
    def checkpoints(self) -> int:
        return int(
            self.number(
                "SELECT count(DISTINCT checkpoint_id) FROM cells "
                "WHERE cell_id IN (SELECT cell_id FROM live_generations)"
            )
        )

    @property
    def answers(self) -> list[str]:
        return [text for (text,) in self.store.rows("SELECT text FROM live_generations ORDER BY text")]

    def verdicts(self, dimension: str) -> dict[str | None, int]:
        """Label -> how many outputs have it; None for those that are no verdict."""
        return dict(
            self.store.rows(
                "SELECT label, count(*) FROM current_judgments WHERE dimension = ? GROUP BY label",
                [dimension],
            )
        )

    def share(self, dimension: str, label: str) -> float:
        """Of the verdicts, those that say `label`."""
        found = self.verdicts(dimension)
        return found.get(label, 0) / sum(n for name, n in found.items() if name is not None)

    @property
    def sentences(self) -> str:
        """Everything that the look has to say of the files."""
        return "\n".join(
            [
                *self.survey.left_out,
                self.survey.unplaced,
                *(p for f in self.survey.files for p in f["problems"]),
            ]
        )


def look(root: Path, *paths: Path, mapping: str = "") -> Survey:
    """What the survey job sees in some files and folders."""
    job = survey_job(root, paths, mapping)
    with Part(job) as part:
        survey_work.work(part)
    survey = read_survey(job)
    assert survey is not None
    return survey


def bring(
    root: Path, *paths: Path, mapping: str = "", accept: bool = True, store: Store | None = None
) -> Brought:
    """Look at paths, import what was recognised with its readings accepted, and put it into a store."""
    survey = look(root, *paths, mapping=mapping)
    job, _ = plan_import(root, survey, survey.accepted(accept))
    with Part(job) as part:
        import_logs.work(part)
    store = store or Store(None)
    _, problems = ingest_all(store, root)
    assert problems == []
    return Brought(survey, store, [line["message"] for line in job.failures(0)])
