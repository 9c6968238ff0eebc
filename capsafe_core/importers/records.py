"""Logs and a mapping into records. What a log does not say is said to be unknown, never made up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from capsafe_core.importers.log import Log, Row, Said, prompt_text
from capsafe_core.mapping import ImportMapping, Place, Reading, placed
from capsafe_core.people import Person
from capsafe_core.records import (
    Attack,
    BenchmarkRecord,
    Checkpoint,
    Condition,
    Generation,
    Judgment,
    LabelEvent,
    Measurement,
    PathPoint,
    Prompt,
    Rater,
    Record,
    canonical_json,
    digest_text,
    identify,
)

UNKNOWN = -1.0
"""a temperature or a top_p that no log told"""
Items = dict[str, dict[str, tuple[int, str]]]
"""Benchmark (`benchmark_key`) -> item -> its position and the digest of its prompt."""


def benchmark_record(mapping: ImportMapping, log: Log) -> BenchmarkRecord:
    """The benchmark of a log. Prompts may come from many files, so its identity is its name, its version and the columns that were read."""
    reading = mapping.benchmark(log.benchmark, log.kind)
    digest = digest_text(canonical_json(["imported", reading.name, log.version, mapping.columns if log.tool == "table" else {}]))
    return BenchmarkRecord(reading.name, log.version or "imported", reading.kind, digest, 0, log.licence, f"imported:{log.tool}")


def place_of(mapping: ImportMapping, log: Log, relative: str) -> Place | None:
    """The checkpoint of a log; None where nobody says."""
    return placed(mapping, log.model, log.adapter, log.facts, relative)


def item_name(items: Mapping[str, tuple[int, str]], row: Row, log: Log) -> str:
    """The item of a row: its own name, and with the prompt's digest where another prompt has this name already."""
    known = items.get(row.item)
    if known is None or log.named:
        return row.item
    digest = prompt_digest(row)
    return row.item if known[1] == digest else f"{row.item} ({digest[:6]})"


def prompt_digest(row: Row) -> str:
    """By which two prompts of one name are told apart."""
    return digest_text(prompt_text(row.prompt))[:12]


def condition_of(log: Log) -> Condition:
    """The condition, as far as the log tells it."""
    c = log.condition
    return Condition(
        str(c.get("system_prompt", "")), str(c.get("template_digest", "")), int(c.get("few_shot") or 0), float(c.get("temperature", UNKNOWN)), float(c.get("top_p", UNKNOWN)),
        int(float(c.get("max_tokens") or 0)), str(c.get("engine") or log.tool), str(c.get("engine_version", "")), "",
    )  # fmt: skip


def checkpoint_of(place: Place) -> Checkpoint:
    """Weights that nobody has seen here: identified by their names."""
    digest = f"name:{place.start}"
    return Checkpoint(place.start, digest, (f"name:{place.recipe}/s{place.seed}/step-{place.step}",) if place.recipe and place.step else ())


def raters_of(mapping: ImportMapping) -> dict[str, Rater]:
    """The judges and annotators, by name. Other readings of the same values are another version."""
    found = {}
    for name in dict.fromkeys(r.name for r in mapping.judges):
        mine = [r for r in mapping.judges if r.name == name]
        dimensions = tuple(dict.fromkeys(r.dimension for r in mine))
        version = digest_text(canonical_json([r.model_dump() for r in mine]))[:8]
        if mine[0].person:
            found[name] = Person(name).rater
        else:
            found[name] = Rater(name, "judge", name, dimensions, f"imported-{version}", "not documented", {"readings": [r.words for r in mine]})
    return found


class Converter:
    """Turns the logs of an import into records.

    Args:
        items: the prompts of every benchmark in order, from the survey.
        known: content hash -> (generation id, cell id) of outputs that are there, for logs that name no model.
        recipes: [start, recipe, data set, seed] of the study, whose paths begin at their starts.
        created: when the import was asked for, in seconds since 1970: the time of labels that have none.
    """

    def __init__(self, mapping: ImportMapping, items: Items, known: Mapping[str, list[tuple[str, str]]], recipes: Sequence[tuple[str, str, str, int]], created: float) -> None:
        self._mapping, self._items, self._known, self._recipes, self._created = mapping, items, known, recipes, created
        self._raters = {name: (rater, rater.id) for name, rater in raters_of(mapping).items()}

    def records(self, log: Log, relative: str) -> Iterator[Record]:
        """The records of one log. Its rows are read while one goes."""
        place = place_of(self._mapping, log, relative)
        bench = benchmark_record(self._mapping, log)
        readings: dict[str, list[Reading]] = {}
        told: set[str] = set()
        if place is None:
            yield from self._without_model(log, bench, readings, told)
            return
        checkpoint = checkpoint_of(place)
        yield from self._path(place, checkpoint)
        for a in log.aggregates:
            yield Measurement(checkpoint.id, self._mapping.benchmark(a.benchmark, log.kind).name, a.metric, a.value, a.stderr, a.n, relative)
        condition = condition_of(log)
        attack = Attack(log.attack) if log.attack else None
        ids = checkpoint.id, bench.id, condition.id
        head: list[Record] = [bench, condition, *([attack] if attack else [])]
        attack_id = attack.id if attack else None
        mine = self._items.get(bench.id, {})
        asked: set[str] = set()
        for row in log.rows:
            yield from head
            head = []
            item = item_name(mine, row, log)
            place_, digest = mine.get(item, (0, ""))
            prompt = _prompt(bench.id, item, place_, row)
            if item not in asked and digest == prompt_digest(row):  # one in other words was told by another file
                asked.add(item)
                yield prompt
            g = Generation(*ids, prompt.id, row.sample, row.seed, row.answer or "", row.finish if row.answer is not None else "no_response", row.tokens, attack_id, row.asked)
            yield g
            yield from self._said(row.said, log.benchmark, g.id, g.cell_id, readings, told)

    def _path(self, place: Place, checkpoint: Checkpoint) -> Iterator[Record]:
        """The checkpoint's place: a step of a recipe, the beginning of those that start from it, or, where there are none, a path of its own."""
        study = self._mapping.name
        yield checkpoint
        if place.recipe and place.step:
            yield PathPoint(study, place.recipe, place.seed, place.step, checkpoint.id, place.start, place.data, 0.0)
            return
        from_here = [(recipe, seed, data) for start, recipe, data, seed in self._recipes if start == place.start]
        for recipe, seed, data in from_here or [(place.start, 0, "")]:
            yield PathPoint(study, recipe, seed, 0, checkpoint.id, place.start, data, 0.0)

    def _without_model(self, log: Log, bench: BenchmarkRecord, readings: dict[str, list[Reading]], told: set[str]) -> Iterator[Record]:
        """Prompts alone, or judgments of outputs that are there already."""
        mine = self._items.get(bench.id, {})
        yield bench
        for row in log.rows:
            if log.tool == "prompts":
                item = item_name(mine, row, log)
                yield _prompt(bench.id, item, mine.get(item, (0, ""))[0], row)
                continue
            for generation_id, cell_id in self._known.get(row.content, []):
                yield from self._said(row.said, log.benchmark, generation_id, cell_id, readings, told)

    def _said(self, said: tuple[Said, ...], benchmark: str, generation_id: str, cell_id: str, readings: dict[str, list[Reading]], told: set[str]) -> Iterator[Record]:
        for one in said:
            mine = readings.get(one.by)
            if mine is None:
                mine = readings[one.by] = self._mapping.readings(one.by, benchmark)
            for reading in mine:
                status, label, score = reading.verdict(one.value, one.status)
                native = spelled_out(one.value)
                if reading.person or one.person:
                    yield from self._label(reading, one, label, generation_id, cell_id, told)
                    continue
                rater, rater_id = self._raters[reading.name]
                if rater_id not in told:
                    told.add(rater_id)
                    yield rater
                yield Judgment(generation_id, cell_id, rater_id, reading.dimension, status, label, native, score, one.raw)

    def _label(self, reading: Reading, one: Said, label: str | None, generation_id: str, cell_id: str, told: set[str]) -> Iterator[Record]:
        """What a person said; a final label of several people is a ruling."""
        if label is None:
            return
        final = one.person == "final"
        name = reading.name if reading.person else one.person
        rater = Person(name).rater
        if rater.id not in told:
            told.add(rater.id)
            yield rater
        created = one.created or self._created
        event = identify("imported label", generation_id, rater.id, reading.dimension, final, label)
        yield LabelEvent(event, generation_id, cell_id, rater.id, reading.dimension, "adjudicate" if final else "label", label, created, created, note=one.raw)


def spelled_out(value: Any) -> str:
    """A value as the log spells it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return str(int(value))
    return "" if value is None else str(value)


def _prompt(benchmark_id: str, item: str, position: int, row: Row) -> Prompt:
    messages = ({"role": "user", "content": row.prompt},) if isinstance(row.prompt, str) else row.prompt
    return Prompt(benchmark_id, item, position, messages, row.category, row.behaviour or item, row.behaviour_text, row.context, row.reference)
