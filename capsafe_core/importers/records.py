"""Logs and a mapping into records. What a log does not say is said to be unknown, never made up."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from typing import Any

from capsafe_core.importers.cells import (
    benchmark_record,
    cell_words,
    checkpoint_of,
    condition_of,
    located,
    place_of,
)
from capsafe_core.importers.conflicts import (
    answer_digest,
    number_digest,
    number_key,
    slot,
    verdict_digest,
    verdict_key,
)
from capsafe_core.importers.items import ItemNames, Items
from capsafe_core.importers.log import Log, Row, Said
from capsafe_core.mapping import ImportMapping, Place, Reading
from capsafe_core.people import Person
from capsafe_core.records import (
    Attack,
    BenchmarkRecord,
    Checkpoint,
    Generation,
    Judgment,
    LabelEvent,
    Measurement,
    PathPoint,
    Prompt,
    Rater,
    Record,
    Rows,
    canonical_json,
    digest_text,
    generation_key,
    identify,
    judgment_key,
)

MANY = 2000
"""outputs that go into one line of the shard"""
REMEMBERED = 50_000
"""values whose verdicts are remembered"""
_GENERATION = ("prompt_id", "sample", "seed", "text", "finish_reason", "tokens", "asked", "reasoning")
_JUDGMENT = ("generation_id", "rater_id", "dimension", "status", "label", "native", "score", "raw")
Verdict = tuple[str, str, str, str | None, float | None, str]
"""Rater, dimension, status, label, score and the value as the log spells it."""


def raters_of(mapping: ImportMapping) -> dict[str, Rater]:
    """The judges and annotators, by name. Other readings of the same values are another version."""
    found = {}
    for name in dict.fromkeys(r.name for r in mapping.judges):
        mine = [r for r in mapping.judges if r.name == name]
        dimensions = tuple(dict.fromkeys(r.dimension for r in mine))
        # on which benchmark the same is said does not make it another judge
        said = {canonical_json({**r.model_dump(), "benchmark": ""}): r for r in mine}
        plain = [{**r.model_dump(), "benchmark": ""} for r in said.values()]
        version = digest_text(canonical_json(plain))[:8]
        if mine[0].person:
            found[name] = Person(name).rater
        else:
            found[name] = Rater(
                name,
                "judge",
                name,
                dimensions,
                f"imported-{version}",
                "not documented",
                {"readings": [r.words for r in said.values()]},
            )
    return found


class _Columns:
    """Gathers rows of one kind."""

    def __init__(self, kind: str, same: dict[str, Any], names: tuple[str, ...]) -> None:
        self._kind, self._same, self._names = kind, same, names
        self.ids: list[str] = []
        self._rows: list[tuple[Any, ...]] = []

    def add(self, key: str, *values: Any) -> None:
        self.ids.append(key)
        self._rows.append(values)

    def taken(self) -> Iterator[Rows]:
        """What was gathered since the last time."""
        if self.ids:
            yield Rows(
                self._kind,
                self.ids,
                self._same,
                dict(zip(self._names, map(list, zip(*self._rows, strict=True)), strict=True)),
            )
            self.ids, self._rows = [], []


class Converter:
    """Turns the logs of an import into records.

    Args:
        items: the prompts of every benchmark in order, from the survey.
        known: content hash -> (generation id, cell id) of outputs that are there, for logs that name no
            model.
        recipes: [start, recipe, data set, seed] of the study, whose paths begin at their starts.
        starts: names of those whose outputs are here: only they can begin a path.
        created: when the import was asked for, in seconds since 1970: the time of labels that have none.
        answers: generation id -> hash of the answer that is kept, of this import so far; shared by the
            converters of its files.
        withheld: what is said differently -> the digest of what counts; "" where nothing does.
        names: by benchmark, shared by the converters of an import's files.
    """

    def __init__(
        self,
        mapping: ImportMapping,
        items: Items,
        known: Mapping[str, list[tuple[str, str]]],
        recipes: Sequence[tuple[str, str, str, int]],
        starts: Collection[str],
        created: float,
        answers: dict[str, int],
        withheld: Mapping[str, str] | None = None,
        names: dict[str, ItemNames] | None = None,
    ) -> None:
        self._withheld, self._names = withheld or {}, {} if names is None else names
        self._mapping, self._items, self._known, self._recipes, self._starts, self._created, self._answers = (
            mapping,
            items,
            known,
            recipes,
            starts,
            created,
            answers,
        )
        self._raters = {name: (rater, rater.id) for name, rater in raters_of(mapping).items()}
        self._by_people = any(reading.person for reading in mapping.judges)
        self._waiting: dict[str, Rater] = {}
        self._known_raters: set[str] = set()
        self._said: dict[tuple[Any, ...], list[Verdict]] = {}
        self._prompts: dict[tuple[str, str], tuple[Any, str, str]] = {}

    def records(self, log: Log, relative: str, digest: str = "") -> Iterator[Record | Rows]:
        """The records of one log. Its rows are read while one goes.

        Args:
            relative, digest: of the file.
        """
        log = located(self._mapping, log, relative)
        place = place_of(self._mapping, log, relative)
        bench = benchmark_record(self._mapping, log)
        if place is None:
            yield from self._without_model(log, bench)
            return
        checkpoint = checkpoint_of(self._mapping.name, place)
        yield from self._path(place, checkpoint)
        for a in log.aggregates:
            if not self._counts(number_key(checkpoint.id, a.benchmark, a.metric), number_digest(a.value)):
                continue
            yield Measurement(
                checkpoint.id,
                self._mapping.benchmark(a.benchmark, log.kind).name,
                a.metric,
                a.value,
                a.stderr,
                a.n,
                f"{relative} {digest[:8]}".strip(),
            )
        condition = condition_of(log)
        attack = Attack(log.attack) if log.attack else None
        cell = Generation(
            checkpoint.id, bench.id, condition.id, "", 0, 0, "", "", 0, attack.id if attack else None
        )
        yield bench
        yield condition
        if attack:
            yield attack
        yield from self._outputs(log, bench.id, cell)

    def _named(self, benchmark_id: str) -> ItemNames:
        if benchmark_id not in self._names:
            self._names[benchmark_id] = ItemNames(self._items.get(benchmark_id, {}))
        return self._names[benchmark_id]

    def _counts(self, key: str, said: int | str) -> bool:
        """Whether what is said of a thing counts."""
        return self._withheld.get(key, str(said)) == str(said)

    def _outputs(self, log: Log, benchmark_id: str, cell: Generation) -> Iterator[Record | Rows]:
        """The rows of a log, many to a line; an output that comes twice counts once."""
        names = self._named(benchmark_id)
        ids = cell.checkpoint_id, benchmark_id, cell.condition_id, cell.attack_id
        slots = cell_words(*ids) if self._withheld else ""
        cell_id = cell.cell_id
        same = {
            name: getattr(cell, name)
            for name in ("checkpoint_id", "benchmark_id", "condition_id", "attack_id")
        }
        seen: set[str] = set()
        outputs, verdicts = (
            _Columns("generation", same, _GENERATION),
            _Columns("judgment", {"cell_id": cell_id}, _JUDGMENT),
        )
        for row in log.rows:
            prompt_id, item = yield from self._asked(log, benchmark_id, names, row)
            where = slot(slots, item, row.sample, row.seed) if slots else b""
            content = answer_digest(row.answer)
            if where and not self._counts(where.hex(), content):
                continue
            generation_id = generation_key(cell_id, prompt_id, row.sample, row.seed)
            if self._answers.setdefault(generation_id, content) != content:
                continue  # another answer in its place: what was said of it is not said of the kept one
            if generation_id not in seen:
                seen.add(generation_id)
                outputs.add(
                    generation_id,
                    prompt_id,
                    row.sample,
                    row.seed,
                    row.answer or "",
                    row.finish if row.answer is not None else "no_response",
                    row.tokens,
                    row.asked,
                    row.reasoning,
                )
            for one in row.said:
                if where and not one.person:
                    said = verdict_digest(one.value, one.status)
                    if not self._counts(verdict_key(where, content, one.by), said):
                        continue
                for rater_id, dimension, status, label, score, native in self._verdicts(one, log.benchmark):
                    key = judgment_key(generation_id, rater_id, dimension, 1)
                    if key not in seen:
                        seen.add(key)
                        verdicts.add(
                            key, generation_id, rater_id, dimension, status, label, native, score, one.raw
                        )
                yield from self._told(one, log.benchmark, generation_id, cell_id)
            if len(outputs.ids) >= MANY:
                yield from outputs.taken()
                yield from verdicts.taken()
        yield from outputs.taken()
        yield from verdicts.taken()

    def _asked(
        self, log: Log, benchmark_id: str, names: ItemNames, row: Row
    ) -> Generator[Record, None, tuple[str, str]]:
        """The prompt of a row, where it was not told of yet; its id and its item."""
        known = self._prompts.get((benchmark_id, row.item))
        if known is None or known[0] != row.prompt:
            item = names.name(row, log)
            prompt = _prompt(benchmark_id, item, names.place(item), row)
            known = self._prompts[benchmark_id, row.item] = row.prompt, prompt.id, item
            if names.tells(item, row):
                yield prompt
        return known[1], known[2]

    def _path(self, place: Place, checkpoint: Checkpoint) -> Iterator[Record]:
        """The checkpoint's place: a step of a recipe, the beginning of those that start from it, or, where
        there are none, a path of its own."""
        study = self._mapping.name
        yield checkpoint
        if place.recipe and place.step:
            yield PathPoint(
                study, place.recipe, place.seed, place.step, checkpoint.id, place.start, place.data, 0.0
            )
            if place.start in self._starts:
                origin = checkpoint_of(study, Place(place.start))
                yield origin
                yield PathPoint(study, place.recipe, place.seed, 0, origin.id, place.start, place.data, 0.0)
            return
        from_here = [
            (recipe, seed, data) for start, recipe, data, seed in self._recipes if start == place.start
        ]
        for recipe, seed, data in from_here or [(place.start, 0, "")]:
            yield PathPoint(study, recipe, seed, 0, checkpoint.id, place.start, data, 0.0)

    def _without_model(self, log: Log, bench: BenchmarkRecord) -> Iterator[Record]:
        """Prompts alone, or judgments of outputs that are there already."""
        names = self._named(bench.id)
        yield bench
        for row in log.rows:
            if log.tool == "prompts":
                item = names.name(row, log)
                yield _prompt(bench.id, item, names.place(item), row)
                continue
            for generation_id, cell_id in self._known.get(row.content, []):
                for one in row.said:
                    for rater_id, dimension, status, label, score, native in self._verdicts(
                        one, log.benchmark
                    ):
                        yield Judgment(
                            generation_id, cell_id, rater_id, dimension, status, label, native, score, one.raw
                        )
                    yield from self._told(one, log.benchmark, generation_id, cell_id)

    def _verdicts(self, one: Said, benchmark: str) -> list[Verdict]:
        """What a judge's value says: nothing where a person said it. The same value says the same again."""
        key = one.by, benchmark, one.value, one.value.__class__, one.status, bool(one.person)
        found = self._said.get(key)
        if found is None:
            found = []
            if len(self._said) > REMEMBERED:
                self._said.clear()
            for reading in [] if one.person else self._mapping.readings(one.by, benchmark):
                if not reading.person:
                    status, label, score = reading.verdict(one.value, one.status)
                    rater_id = self._raters[reading.name][1]
                    if rater_id not in self._known_raters:
                        self._known_raters.add(rater_id)
                        self._waiting[rater_id] = self._raters[reading.name][0]
                    found.append((rater_id, reading.dimension, status, label, score, spelled_out(one.value)))
            self._said[key] = found
        return found

    def _told(self, one: Said, benchmark: str, generation_id: str, cell_id: str) -> Iterator[Record]:
        """Raters who were not told of yet, and what people said."""
        while self._waiting:
            yield self._waiting.pop(next(iter(self._waiting)))
        for reading in self._mapping.readings(one.by, benchmark) if one.person or self._by_people else []:
            if one.person or reading.person:
                yield from self._label(
                    reading, one, reading.verdict(one.value, one.status)[1], generation_id, cell_id
                )

    def _label(
        self, reading: Reading, one: Said, label: str | None, generation_id: str, cell_id: str
    ) -> Iterator[Record]:
        """What a person said; a final label of several people is a ruling."""
        if label is None:
            return
        final = one.person == "final"
        name = reading.name if reading.person else one.person
        rater = Person(name).rater
        if rater.id not in self._known_raters:
            self._known_raters.add(rater.id)
            yield rater
        created = one.created or self._created
        event = identify("imported label", generation_id, rater.id, reading.dimension, final, label)
        yield LabelEvent(
            event,
            generation_id,
            cell_id,
            rater.id,
            reading.dimension,
            "adjudicate" if final else "label",
            label,
            created,
            created,
            note=one.raw,
        )


def spelled_out(value: Any) -> str:
    """A value as the log spells it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return str(int(value))
    return "" if value is None else str(value)


def _prompt(benchmark_id: str, item: str, position: int, row: Row) -> Prompt:
    messages = ({"role": "user", "content": row.prompt},) if isinstance(row.prompt, str) else row.prompt
    return Prompt(
        benchmark_id,
        item,
        position,
        messages,
        row.category,
        row.behaviour or item,
        row.behaviour_text,
        row.context,
        row.reference,
    )
