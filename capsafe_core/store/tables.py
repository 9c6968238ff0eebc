"""How each record becomes a row of its table."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from capsafe_core.values import well_formed

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """A facts table: its id column, its Arrow schema (without the batch), and the row of a record."""

    name: str
    id: str
    schema: pa.Schema
    row: Callable[[Any], Row]

    def arrow(self, rows: Collection[Row]) -> pa.Table:
        """Rows as an Arrow table."""
        columns = zip(*rows, strict=True) if rows else ([] for _ in self.schema)
        return pa.table(
            [_array(c, f.type) for c, f in zip(columns, self.schema, strict=True)], schema=self.schema
        )

    def arrow_of_columns(self, line: dict[str, Any], same: dict[str, Any]) -> pa.Table:
        """The rows of a shard line that holds columns, of generations or judgments.

        Args:
            same: columns of this table that the line's rows share.
        """
        values = {**same, **line["columns"], self.id: line["ids"]}
        n = len(line["ids"])
        arrays = [
            _array(values[f.name], f.type)
            if isinstance(values[f.name], list)
            else pa.repeat(pa.scalar(values[f.name], f.type), n)
            for f in self.schema
        ]
        return pa.table(arrays, schema=self.schema)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except (
        UnicodeEncodeError
    ):  # half a character, as a browser or a tokenizer may cut it: the shard keeps it, the store cannot
        return pa.array([well_formed(v) for v in values], kind)


def _table(table: str, row: Callable[[Any], Row], /, **columns: pa.DataType) -> Table:
    return Table(table, next(iter(columns)), pa.schema(list(columns.items())), row)


_T, _I, _L, _F, _TS = pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.list_(pa.string())


def _json(value: Any) -> str:
    text = json.dumps(value)
    return json.dumps(well_formed(value)) if "\\ud" in text else text


TABLES: dict[str, Table] = {
    "study": _table(
        "studies",
        lambda x: (x.id, x.name, x.text, x.digest, x.primary_digest, x.declared),
        study_id=_T,
        name=_T,
        text=_T,
        digest=_T,
        primary_digest=_T,
        declared=_F,
    ),
    "checkpoint": _table(
        "checkpoints",
        lambda x: (x.id, x.origin, x.origin_digest, list(x.adapters)),
        checkpoint_id=_T,
        origin=_T,
        origin_digest=_T,
        adapters=_TS,
    ),
    "path_point": _table(
        "path_points",
        lambda x: (
            x.id,
            x.path_id,
            x.study,
            x.recipe,
            x.seed,
            x.step,
            x.checkpoint_id,
            x.start,
            x.dataset,
            x.learning_rate,
        ),
        point_id=_T,
        path_id=_T,
        study=_T,
        recipe=_T,
        seed=_I,
        step=_I,
        checkpoint_id=_T,
        start=_T,
        dataset=_T,
        learning_rate=_F,
    ),
    "benchmark": _table(
        "benchmarks",
        lambda x: (x.id, x.name, x.version, x.kind, x.digest, x.size, x.licence, x.source),
        benchmark_id=_T,
        name=_T,
        version=_T,
        kind=_T,
        digest=_T,
        size=_I,
        licence=_T,
        source=_T,
    ),
    "prompt": _table(
        "prompts",
        lambda x: (
            x.id,
            x.benchmark_id,
            x.item,
            x.position,
            x.text,
            _json(x.messages),
            x.category,
            x.behaviour,
            x.behaviour_text,
            x.context,
            x.reference,
        ),
        prompt_id=_T,
        benchmark_id=_T,
        item=_T,
        position=_I,
        text=_T,
        messages=_T,
        category=_T,
        behaviour=_T,
        behaviour_text=_T,
        context=_T,
        reference=_T,
    ),
    "condition": _table(
        "conditions",
        lambda x: (
            x.id,
            x.system_prompt,
            x.template_digest,
            x.few_shot,
            x.temperature,
            x.top_p,
            x.max_tokens,
            x.engine,
            x.engine_version,
            x.dtype,
        ),
        condition_id=_T,
        system_prompt=_T,
        template_digest=_T,
        few_shot=_I,
        temperature=_F,
        top_p=_F,
        max_tokens=_I,
        engine=_T,
        engine_version=_T,
        dtype=_T,
    ),
    "attack": _table(
        "attacks", lambda x: (x.id, x.name, _json(x.settings)), attack_id=_T, name=_T, settings=_T
    ),
    "cell": _table(
        "cells",
        lambda x: (x.cell_id, x.checkpoint_id, x.benchmark_id, x.condition_id, x.attack_id),
        cell_id=_T,
        checkpoint_id=_T,
        benchmark_id=_T,
        condition_id=_T,
        attack_id=_T,
    ),
    "generation": _table(
        "generations",
        lambda x: (
            x.id,
            x.cell_id,
            x.prompt_id,
            x.sample,
            x.seed,
            x.text,
            x.finish_reason,
            x.tokens,
            x.asked,
        ),
        generation_id=_T,
        cell_id=_T,
        prompt_id=_T,
        sample=_I,
        seed=_L,
        text=_T,
        finish_reason=_T,
        tokens=_I,
        asked=_T,
    ),
    "rater": _table(
        "raters",
        lambda x: (
            x.id,
            x.name,
            x.kind,
            x.family,
            list(x.dimensions),
            x.version,
            x.stance,
            _json(x.settings),
        ),
        rater_id=_T,
        name=_T,
        kind=_T,
        family=_T,
        dimensions=_TS,
        version=_T,
        stance=_T,
        settings=_T,
    ),
    "judgment": _table(
        "judgments",
        lambda x: (
            x.id,
            x.generation_id,
            x.cell_id,
            x.rater_id,
            x.dimension,
            x.status,
            x.label,
            x.native,
            x.score,
            x.raw,
            x.asked,
            _json(x.evidence),
            x.attempt,
        ),
        judgment_id=_T,
        generation_id=_T,
        cell_id=_T,
        rater_id=_T,
        dimension=_T,
        status=_T,
        label=_T,
        native=_T,
        score=_F,
        raw=_T,
        asked=_T,
        evidence=_T,
        attempt=_I,
    ),
    "measurement": _table(
        "measurements",
        lambda x: (x.id, x.checkpoint_id, x.benchmark, x.metric, x.value, x.stderr, x.n, x.source),
        measurement_id=_T,
        checkpoint_id=_T,
        benchmark=_T,
        metric=_T,
        value=_F,
        stderr=_F,
        n=_I,
        source=_T,
    ),
    "label": _table(
        "label_events",
        lambda x: (
            x.id,
            x.generation_id,
            x.cell_id,
            x.rater_id,
            x.dimension,
            x.action,
            x.label,
            x.shown,
            x.created,
            list(x.reasons),
            _json(x.evidence),
            x.note,
            x.queue,
            x.confidence,
            x.guidelines,
            x.repeat,
        ),
        event_id=_T,
        generation_id=_T,
        cell_id=_T,
        rater_id=_T,
        dimension=_T,
        action=_T,
        label=_T,
        shown=_F,
        created=_F,
        reasons=_TS,
        evidence=_T,
        note=_T,
        queue=_T,
        confidence=_F,
        guidelines=_T,
        repeat=_I,
    ),
    "queue": _table(
        "queues",
        lambda x: (
            x.id,
            x.queue,
            x.study,
            x.name,
            x.state,
            x.created,
            x.author,
            _json(x.settings),
            _json(x.selection),
            _json(x.strata),
            x.words,
        ),
        version_id=_T,
        queue=_T,
        study=_T,
        name=_T,
        state=_T,
        created=_F,
        author=_T,
        settings=_T,
        selection=_T,
        strata=_T,
        words=_T,
    ),
    "queue_frame": _table(
        "queue_frames",
        lambda x: (x.id, x.queue, x.draw, x.cell_id, list(x.strata)),
        frame_id=_T,
        queue=_T,
        draw=_I,
        cell_id=_T,
        strata=pa.list_(pa.int32()),
    ),
    "practice": _table(
        "practices",
        lambda x: (x.id, x.rater_id, x.guidelines, x.queue, x.right, x.asked, x.created),
        practice_id=_T,
        rater_id=_T,
        guidelines=_T,
        queue=_T,
        right_answers=_I,
        asked=_I,
        created=_F,
    ),
    "guidelines": _table(
        "guidelines",
        lambda x: (x.id, x.version, x.text, x.author, x.created),
        guidelines_id=_T,
        version=_T,
        text=_T,
        author=_T,
        created=_F,
    ),
    "queue_item": _table(
        "queue_items",
        lambda x: (x.id, x.queue, x.generation_id, x.cell_id, x.stratum, x.place, x.probability),
        item_id=_T,
        queue=_T,
        generation_id=_T,
        cell_id=_T,
        stratum=_T,
        place=_I,
        probability=_F,
    ),
}
"""By record type; "cell" is made from generations."""
