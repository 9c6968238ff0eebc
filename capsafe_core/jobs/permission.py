"""What a job would use, and whether this workspace allows it: the one gate before any worker starts.

A study or a bundle may come from anybody. So the workspace's settings decide which interpreters run and which
servers are sent prompts and keys (`settings.Settings`), and a person decides about work that came from
elsewhere (`jobs.foreign`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from capsafe_core import catalogue
from capsafe_core.addresses import addresses_of
from capsafe_core.errors import NotAllowedError
from capsafe_core.jobs.folder import Manifest, folder_beside, open_job
from capsafe_core.jobs.foreign import foreign_folders, foreign_studies, is_foreign, refuse_foreign
from capsafe_core.jobs.importing import read_heads
from capsafe_core.jobs.own_checkpoints import OwnCheckpoint
from capsafe_core.jobs.plan import plan_study
from capsafe_core.records import StudyRecord
from capsafe_core.settings import Settings
from capsafe_core.study import RecipeSettings, recorded_text

HERE = ("survey", "import")
"""kinds of work that no engine does: they run in this interpreter"""
JUDGING = ("judge", "stress")
"""kinds of work that a judge does"""
UNTOLD = "OPENAI_API_KEY"
"""the variable of a server's key where the study names none"""


@dataclass(frozen=True)
class Uses:
    """What work would use beyond this workspace's folders, each as a person reads it."""

    engines: tuple[str, ...] = ()
    interpreters: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    code: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """One line for each kind of thing."""
        heads = (
            ("Engines", self.engines),
            ("Interpreters named (only those of this workspace's settings run)", self.interpreters),
            ("Servers that get prompts and a key (only those of this workspace's settings)", self.servers),
            ("Models", self.models),
            ("Files read", self.files),
            ("Code that comes with models or tasks, or pickles", self.code),
        )
        return [f"{head}: {'; '.join(values) or 'none'}." for head, values in heads]


def permit(folder: Path, manifest: Manifest, settings: Settings) -> Path:
    """The interpreter that may do a job.

    Raises:
        NotAllowedError: the job or its study came from elsewhere and nobody adopted it, or it asks for an
            interpreter, an address or a key that the workspace's settings do not allow.
    """
    require_own(folder, manifest)
    if manifest.kind in HERE:
        return Path(sys.executable)
    engines = _engines(manifest)
    if manifest.kind in JUDGING and _asks_engine(manifest) is None:
        raise NotAllowedError(
            f"The job {folder.name} asks for a judge of another type than its name or a file can have, so "
            "what it would use is not known.",
            "Describe the judge as docs/judges.md does, and plan the job again.",
        )
    for engine in engines:
        _allowed_server(engine, settings)
    names = {str(engine.get("name", "transformers")) for engine in engines} or {"transformers"}
    if len(names) > 1:
        raise NotAllowedError(
            f"The job {folder.name} asks for several engines at once.", "Plan it again from its study."
        )
    name = names.pop()
    python = settings.python_of(name)
    if manifest.python and Path(manifest.python) != python:
        raise NotAllowedError(
            f"The study names the interpreter {manifest.python} for {name}, and this workspace runs {name} "
            f"with {python}.",
            f"If you trust it: `capsafe allow python {name} {manifest.python}`. Else remove `python` from "
            "the study.",
        )
    return python


def permit_all(root: Path, manifests: Iterable[Manifest], settings: Settings) -> None:
    """Ask for all jobs of a graph before the first one starts; raises as `permit` does."""
    for manifest in manifests:
        permit(root / manifest.job_id, manifest, settings)


def require_own(folder: Path, manifest: Manifest) -> None:
    """Refuse what came from elsewhere and was not adopted; a survey reads only what the person in front
    names.

    Raises:
        NotAllowedError: the job, one that it comes after, or its study did.
    """
    if is_foreign(folder):
        raise NotAllowedError(
            f"The job {folder.name} came from elsewhere and has not been adopted, so it does not run.",
            "`capsafe adopt STUDY` and the Runs page show what it would use, and ask you.",
        )
    for name in manifest.after:  # whose outputs and adapters it takes
        if is_foreign(folder_beside(folder, name)):
            raise NotAllowedError(
                f"The job {folder.name} takes what {name} brought, which came from elsewhere and has not "
                "been adopted.",
                "`capsafe adopt STUDY` and the Runs page show what would be used, and ask you.",
            )
    if manifest.kind == "survey":
        return
    for study in foreign_studies(folder.parent):
        by_name = not manifest.study and (manifest.name == study or manifest.name.startswith(f"{study}-"))
        if manifest.study == study or by_name:
            refuse_foreign(folder.parent, study)


def _allowed_server(engine: dict[str, Any], settings: Settings) -> None:
    if engine.get("name") != "openai":
        return
    key = str(engine.get("api_key_env", UNTOLD))
    allowed = {(server.base_url, server.api_key_env) for server in settings.servers}
    for url in addresses_of(engine):
        if (url, key) not in allowed:
            raise NotAllowedError(
                f"This workspace does not allow prompts to be sent to {url} with the key in {key}.",
                f"If you trust that address with the key: `capsafe allow server {url} --key {key}`.",
            )


def _engines(manifest: Manifest) -> list[dict[str, Any]]:
    """The engines that a job would open."""
    works = manifest.work.get("jobs") if manifest.kind in ("probe", "preview") else [manifest.work]
    if manifest.kind in JUDGING and _asks_engine(manifest) is False:
        return []
    engines = (
        [work.get("engine") for work in works if isinstance(work, dict)] if isinstance(works, list) else []
    )
    return [engine for engine in engines if isinstance(engine, dict)]


def _asks_engine(manifest: Manifest) -> bool | None:
    """Whether an engine answers for the judge of a job; None where that cannot be told. Only judges of the
    catalogue are without one, whatever an entry that comes with the job says of its type."""
    own = manifest.work.get("entry")
    kind = catalogue.judge_type(str(manifest.work.get("judge")), own if isinstance(own, dict) else None)
    if kind == "language_model":
        return True
    return False if own is None and kind in catalogue.WITHOUT_ENGINE else None


def foreign_uses(root: Path, study: str) -> Uses:
    """What a study from elsewhere would use: the jobs that came along, and those that its texts ask for.

    Nothing that they name is opened.
    """
    manifests: list[Manifest] = []
    files: list[str] = []
    folders = foreign_folders(root, study)
    for folder in folders:
        job = open_job(folder)
        manifests.append(job.manifest)
        texts = [r.text for r in job.records() if isinstance(r, StudyRecord)]
        manifests += [
            manifest
            for text in texts
            for manifest in plan_study(
                recorded_text(text, study), read_judge=_unread, find_checkpoints=_unseen
            )
        ]
        files += [path for head in read_heads([job]) for paths in head["paths"].values() for path in paths]
    uses = uses_of(manifests)
    own = {folder.name for folder in folders} | {manifest.job_id for manifest in manifests}
    others = [
        f"what the job {job} here made"
        for manifest in manifests
        for job in _jobs_named(manifest.work)
        if job not in own
    ]
    return replace(uses, files=_each([*uses.files, *map(str, files), *others]))


def _unread(path: Path) -> dict[str, Any]:
    """In place of a judge's file of somebody else, which is not read before it is adopted; only language
    models are described so."""
    return {"type": "language_model", "path": str(path)}


def _unseen(recipe: RecipeSettings) -> list[OwnCheckpoint]:
    """In place of the checkpoints of somebody else's recipe, whose folders are not looked into before it is
    adopted: where they would be looked for, the first as what a mitigation would take."""
    last = recipe.steps[-1] if recipe.steps else 0
    places = enumerate(map(Path, recipe.folders), last)
    return [OwnCheckpoint(place, 0, step, is_adapter=step == last) for step, place in places]


def _jobs_named(work: dict[str, Any]) -> Iterator[str]:
    """The jobs whose outputs or adapters a job takes."""
    for table in _tables(work):
        if isinstance(table.get("generations"), list):
            yield from map(str, table["generations"])
        for key in ("job", "of"):
            if isinstance(table.get(key), str):
                yield table[key]


def uses_of(manifests: Iterable[Manifest]) -> Uses:
    """What jobs would use."""
    all_of = [(manifest, list(_tables(manifest.work))) for manifest in manifests]
    engines = [engine for manifest, _ in all_of for engine in _engines(manifest)]
    tables = [table for _, several in all_of for table in several]
    sources = [str(table["source"]) for table in tables if isinstance(table.get("source"), str)]
    files = [source.partition(":")[2] for source in sources if source.startswith("file:")]
    files += [
        f"{source.partition(':')[2]} (a data set of the hub)"
        for source in sources
        if source.startswith("hub:")
    ]
    files += [str(table["path"]) for table in tables if isinstance(table.get("path"), str)]
    files += [str(table["include_path"]) for table in tables if "include_path" in table]
    files += [
        str(path) for table in tables if isinstance(table.get("roots"), list) for path in table["roots"]
    ]
    models = [str(table["model"]) for table in tables if isinstance(table.get("model"), str)]
    models += [
        str(catalogue.judges().get(str(m.work.get("judge")), {}).get("model", ""))
        for m, _ in all_of
        if m.kind in JUDGING and not m.work.get("model")
    ]
    return Uses(
        _each(str(engine.get("name", "transformers")) for engine in engines),
        _each(manifest.python for manifest, _ in all_of if manifest.python and manifest.kind not in HERE),
        _each(
            f"{url} with the key in {engine.get('api_key_env', UNTOLD)}"
            for engine in engines
            if engine.get("name") == "openai"
            for url in addresses_of(engine)
        ),
        _each(models),
        _each(files),
        _each(_code(tables, sources)),
    )


def _code(tables: list[dict[str, Any]], sources: list[str]) -> Iterator[str]:
    for table in tables:
        for flag, words in (("trusted", "code of the model"), ("pickles", "pickled weights of the model")):
            if table.get(flag):
                yield f"{words} {table.get('model', '')}".strip()
        if isinstance(table.get("entry"), dict):
            yield f"the judge {table.get('judge')!r}, described by the study"
    yield from (f"the task {source}" for source in sources if source.startswith("lm_eval:"))


def _tables(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in a job's settings, however deep."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _each(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))
