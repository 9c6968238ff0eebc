"""A look at logs before anything is imported: what is there, what it would become, and what somebody has to
state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from capsafe_core.checkpoint_places import (
    TOLD,
    Place,
    Told,
    facts_in_path,
    guess_pattern,
    names_in_full,
    path_facts,
    placed,
    told_in_full,
)
from capsafe_core.errors import CapsafeError
from capsafe_core.importers.cells import (
    benchmark_record,
    cell_words,
    checkpoint_of,
    condition_of,
    located,
    place_of,
)
from capsafe_core.importers.conflicts import Conflicts, slot
from capsafe_core.importers.draft import drafted
from capsafe_core.importers.find import Source, find_sources, read_source
from capsafe_core.importers.heard import Heard
from capsafe_core.importers.items import ItemNames, Items
from capsafe_core.importers.kinds import benchmark_kind
from capsafe_core.importers.log import Log, Problems, Row, prompt_text
from capsafe_core.importers.path_labels import PathLabels, some, why_nowhere
from capsafe_core.mapping import ImportMapping
from capsafe_core.records import UNKNOWN_KIND, Attack, digest_files, digest_text

PREVIEWED = 2
"""outputs shown of each log"""
SHOWN = 500
"""characters of them"""


class Surveyor:
    """Reads every log once.

    Args:
        mapping: what is stated already; None to begin with guesses.
        known: the items of benchmarks that were imported before, which keep their places.
        told: what earlier imports of the study were told of its checkpoints, which keep their names.
        before: what they say of outputs and in numbers.
        strict: whether the first problem ends it.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        mapping: ImportMapping | None,
        name: str,
        known: Items | None = None,
        strict: bool = False,
        told: Told | None = None,
        before: Conflicts | None = None,
    ) -> None:
        self.sources, self.left_out = find_sources(roots)
        pattern = guess_pattern(s.relative for s in self.sources)
        stated = mapping or ImportMapping(name=name, pattern=pattern)
        self.mapping = stated.model_copy(update={"unplaced": ()})
        self._strict = strict
        self._known, self._known_told, self._before = known or {}, told or {}, before or Conflicts()
        self._forget()

    def _forget(self) -> None:
        """Begin with nothing seen."""
        self.files: list[dict[str, Any]] = []
        self.logs: dict[str, dict[str, Any]] = {}
        self.heard: dict[tuple[str, str], Heard] = {}
        self.items: Items = {}
        self.contents: set[str] = set()
        self._names: dict[str, ItemNames] = {}
        self._seen: dict[tuple[ItemNames, str], tuple[int, str]] = {}
        self._conflicts = self._before.look()
        self._written: dict[tuple[str, str], int] = {}
        self._respelled: Counter[tuple[str, bool]] = Counter()
        self._paths = PathLabels()
        self.told: Told = {}
        self.columns: dict[tuple[str, str], dict[str, Any]] = {}
        self.benchmarks: dict[str, str] = {}
        """as the logs call them -> kind"""

    def look(self, report: Callable[[int, str], bool]) -> None:
        """Read everything; once more where places on a path turn out to be parts of epochs, or to be counted
        in several ways, or one name to be that of several checkpoints.

        Args:
            report: takes how many files are read and the next one's name; says whether to go on.
        """
        self._read_all(report)
        mapping, sentences = self._paths.settled(self.mapping)
        names = names_in_full(self.told, self._known_told, self.mapping.aliases)
        if names:
            sentences.append(
                f"{some(list(names))}: told apart by base model, training data or method, as one name "
                "stands for several checkpoints. State other names under [aliases] in the mapping."
            )
        if sentences:
            self.mapping = mapping.model_copy(update={"aliases": names | mapping.aliases})
            self._forget()
            self.left_out += sentences
            self._read_all(report)

    def _read_all(self, report: Callable[[int, str], bool]) -> None:
        for i, source in enumerate(self.sources):
            if not report(i, source.relative):
                return
            problems = Problems(self._strict)
            rows = 0
            try:
                digest = digest_files(*source.paths)
                for log in read_source(source, self.mapping.columns, problems):
                    rows += self._log(log, source, f"{source.relative} {digest[:10]}", problems)
            except OSError as error:
                problems.add(f"{source.relative} cannot be read: {error.strerror}.")
                digest = ""
            except CapsafeError as error:
                if self._strict:
                    raise
                problems.add(str(error))
            except (
                ValueError,
                KeyError,
                TypeError,
                AttributeError,
                IndexError,
                RecursionError,
                OverflowError,
            ) as error:
                problems.add(
                    f"{source.relative} is not as {source.tool} writes it ({type(error).__name__}: "
                    f"{str(error)[:100]})."
                )
            self.files.append(
                {
                    "tool": source.tool,
                    "paths": [str(p.resolve()) for p in source.paths],
                    "relative": source.relative,
                    "digest": digest,
                    "outputs": rows,
                    "problems": problems.sentences,
                    "problem_count": problems.count,
                }
            )

    def _log(self, log: Log, source: Source, file: str, problems: Problems) -> int:
        log = located(self.mapping, log, source.relative)
        place = self._place(log, source)
        bench = benchmark_record(self.mapping, log)
        self.benchmarks.setdefault(log.benchmark, self._kind(log))
        if bench.id not in self._names:
            mine = self.items.setdefault(bench.id, dict(self._known.get(bench.id, {})))
            self._names[bench.id] = ItemNames(mine)
        self._show_columns(log, source)
        checkpoint_id = checkpoint_of(self.mapping.name, place).id if place else ""
        cell = cell_words(
            checkpoint_id, bench.id, condition_of(log).id, Attack(log.attack).id if log.attack else None
        )
        about = self.logs.setdefault(
            digest_text(cell),
            {
                "tool": log.tool,
                "model": log.model,
                "checkpoint": place.name if place else "",
                "place": place.__dict__ if place else None,
                "benchmark": log.benchmark,
                "attack": log.attack,
                "outputs": 0,
                "no_response": 0,
                "prompts": 0,
                "again": 0,
                "aggregates": 0,
                "files": 0,
                "first": source.relative,
                "preview": [],
            },
        )
        about["files"] += 1
        if place is None and (why := why_nowhere(self.mapping, log, source.relative)):
            problems.add(why)
        about["aggregates"] += len(log.aggregates)
        for one in log.aggregates if place else ():
            self._conflicts.number(checkpoint_id, about["checkpoint"], one, file)
        before = about["outputs"]
        for row in log.rows:
            self._row(row, log, cell, self._names[bench.id], file, about, problems)
        return int(about["outputs"] - before)

    def _place(self, log: Log, source: Source) -> Place | None:
        """The checkpoint of a log; what is said where an alias and the pattern disagree."""
        by_pattern = path_facts(self.mapping.pattern, source.relative) if self.mapping.pattern else {}
        facts = {**facts_in_path(log.adapter), **log.facts, **by_pattern}
        by = log.place_by or (self.mapping.pattern if "step" in by_pattern else "step")
        self._paths.add(log, facts, by)
        place = place_of(self.mapping, log, source.relative)
        if place is not None and (place.step or not place.recipe) and not by_pattern:
            full = told_in_full(log.model, log.adapter, log.facts)
            facts = {k: log.facts.get(k, "") for k in TOLD}
            self.told.setdefault(full, {"name": place.recipe or place.start, **facts})
        alias = next(
            (self.mapping.aliases[n] for n in (log.adapter, log.model) if n in self.mapping.aliases), ""
        )
        if alias and by_pattern and place is not None:
            plain = ImportMapping(name=self.mapping.name, pattern=self.mapping.pattern)
            other = placed(plain, "", "", log.facts, source.relative)
            if other is not None and other.name != place.name:
                sentence = (
                    f"{source.relative}: its alias says {place.name}, and its path {other.name} by the "
                    "pattern. The alias counts."
                )
                if sentence not in self.left_out:
                    self.left_out.append(sentence)
        return place

    def _show_columns(self, log: Log, source: Source) -> None:
        """Which column became what, and in how many files."""
        for column, use in log.columns.items():
            one = self.columns.setdefault(
                (column, use), {"column": column, "use": use, "files": [], "first": source.relative}
            )
            if source.relative not in one["files"][-1:]:
                one["files"].append(source.relative)

    def _row(
        self,
        row: Row,
        log: Log,
        cell: str,
        names: ItemNames,
        file: str,
        about: dict[str, Any],
        problems: Problems,
    ) -> None:
        item = self._item(row, log, names, problems)
        if log.tool == "prompts":
            about["prompts"] += 1
            return
        for one in row.said:
            key = (one.by, log.benchmark)
            heard = self.heard.get(key)
            if heard is None:
                kind, better = self.benchmarks[log.benchmark], log.directions.get(one.by)
                heard = self.heard[key] = Heard(*key, log.tool, kind, bool(one.person), better)
            heard.add(one.value, one.status)
        if about["place"] is None:
            self.contents.add(row.content)
            about["outputs"] += 1
            return
        where = slot(cell, item, row.sample, row.seed)
        words = row.item, log.benchmark, str(about["checkpoint"])
        noted = self._conflicts.answer(where, row.answer, file, words)
        for one in row.said:
            if not one.person:
                self._conflicts.verdict(noted, one.by, one.value, one.status, file, words)
        if noted.state != "new":
            about["again"] += 1
            return
        about["outputs"] += 1
        about["no_response"] += row.answer is None
        if len(about["preview"]) < PREVIEWED:
            about["preview"].append(
                {
                    "item": row.item,
                    "prompt": prompt_text(row.prompt)[:SHOWN],
                    "answer": (row.answer or "")[:SHOWN],
                    "said": {s.by: s.value for s in row.said[:12]},
                }
            )

    def _item(self, row: Row, log: Log, names: ItemNames, problems: Problems) -> str:
        """The item of a row, which is kept; what is said where two names meet, or two spellings."""
        text = hash((prompt_text(row.prompt), row.same))
        seen = self._seen.get((names, row.item))
        if seen is not None and seen[0] == text:
            return seen[1]
        item = names.name(row, log)
        self._seen[names, row.item] = text, item
        if item not in names.items:
            if item != row.item and not log.counted:
                problems.add(
                    f"{log.benchmark}: {row.item!r} is the name of two different prompts; the second is "
                    f"kept as {item!r}."
                )
            names.add(item, row)
        elif self._written.get((log.benchmark, item), text) != text and not log.named:
            self._respelled[log.benchmark, bool(row.same)] += 1
        self._written.setdefault((log.benchmark, item), text)
        return item

    def _kind(self, log: Log) -> str:
        """What a benchmark measures: what is stated, what its published name or the format says, or
        unknown."""
        stated = self.mapping.benchmarks.get(log.benchmark)
        if stated is not None and stated.kind != UNKNOWN_KIND:
            return stated.kind
        return benchmark_kind(log.benchmark, log.kind)

    def result(self) -> dict[str, Any]:
        """Everything that was seen, as JSON values."""
        mapping, guesses = drafted(self.mapping, self.benchmarks, list(self.heard.values()))
        sides: Counter[tuple[str, str, str]] = Counter(
            (log["checkpoint"], log["benchmark"], log["attack"])
            for log in self.logs.values()
            if log["checkpoint"]
        )
        for (checkpoint, benchmark, attack), n in sides.items():
            if n > 1:
                self.left_out.append(
                    f"{checkpoint} answers {benchmark}{' under ' + attack if attack else ''} under {n} "
                    "conditions (such as temperatures or system prompts). All are imported; the screens "
                    "ask which of them counts."
                )
        for (benchmark, by_tool), n in self._respelled.items():
            what = "in the template in which they are asked" if by_tool else "in spaces or Unicode form"
            self.left_out.append(
                f"{n:,} prompts of {benchmark} differ from one that is there only {what}; they count as the "
                "same prompt."
            )
        unread = [h.to_dict() for h in self.heard.values() if not mapping.readings(h.by, h.benchmark)]
        return {
            "files": self.files,
            "left_out": self.left_out,
            "logs": list(self.logs.values()),
            "judges": [h.to_dict() for h in self.heard.values()],
            "unread": unread,
            "mapping": mapping.to_toml(),
            "guesses": guesses,
            "conflicts": self._conflicts.listed(),
            "told": self.told,
            "unplaced_steps": self._paths.without_step(self.mapping),
            "columns": [{**c, "files": len(c["files"])} for c in self.columns.values()],
            "items": {b: [[item, d] for item, (_, d) in rows.items()] for b, rows in self.items.items()},
            "contents": sorted(self.contents),
        }
