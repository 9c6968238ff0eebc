"""What a log is about: its checkpoint, its benchmark, its condition and its attack."""

from __future__ import annotations

from dataclasses import replace

from capsafe_core.checkpoint_places import Place, folder_facts, path_facts, placed
from capsafe_core.importers.log import Log, attack_name
from capsafe_core.mapping import ImportMapping
from capsafe_core.records import BenchmarkRecord, Checkpoint, Condition, canonical_json, digest_text

UNKNOWN = -1.0
"""a temperature or a top_p that no log told"""


def benchmark_record(mapping: ImportMapping, log: Log) -> BenchmarkRecord:
    """The benchmark of a log.

    Prompts may come from many files, so its identity is its name, its version and the columns that were read.
    """
    reading = mapping.benchmark(log.benchmark, log.kind)
    digest = digest_text(
        canonical_json(
            ["imported", reading.name, log.version, mapping.columns if log.tool == "table" else {}]
        )
    )
    return BenchmarkRecord(
        reading.name, log.version or "imported", reading.kind, digest, 0, log.licence, f"imported:{log.tool}"
    )


def place_of(mapping: ImportMapping, log: Log, relative: str) -> Place | None:
    """The checkpoint of a log; None where nobody says. A trainer's state tells of every step up to the one in
    its path."""
    place = placed(mapping, log.model, log.adapter, log.facts, relative)
    if place is None or log.tool != "trainer-state":
        return place
    return replace(place, step=int(log.facts["step"]))


def condition_of(log: Log) -> Condition:
    """The condition, as far as the log tells it."""
    c = log.condition
    return Condition(
        str(c.get("system_prompt", "")),
        str(c.get("template_digest", "")),
        int(c.get("few_shot") or 0),
        float(c.get("temperature", UNKNOWN)),
        float(c.get("top_p", UNKNOWN)),
        int(float(c.get("max_tokens") or 0)),
        _engine(log),
        str(c.get("engine_version", "")),
        "",
    )


def _engine(log: Log) -> str:
    """What answered: the engine, and the defence that stood around the model. A defended model is not the
    model."""
    defence = attack_name(str(log.condition.get("defence") or ""))
    engine = str(log.condition.get("engine") or log.tool)
    return f"{engine} with {defence}" if defence else engine


def located(mapping: ImportMapping, log: Log, relative: str) -> Log:
    """A log with the benchmark, the attack and the judge that its path names by the mapping's pattern, and
    with what the path in its model's name says."""
    _locate_model(mapping, log)
    facts = path_facts(mapping.pattern, relative) if mapping.pattern else {}
    log.benchmark = facts.get("benchmark", log.benchmark)
    log.attack = attack_name(facts.get("attack", log.attack))
    judge = facts.get("judge")
    if judge:
        log.rows = (
            replace(row, said=tuple(replace(s, by=f"{judge}/{s.by}") for s in row.said)) for row in log.rows
        )
    return log


def _locate_model(mapping: ImportMapping, log: Log) -> None:
    """Tell a model that goes by the folder of its weights, out/llama-math/checkpoint-100, by what that says,
    unless its name or its step is stated otherwise."""
    if log.adapter or log.model in mapping.aliases or path_facts(mapping.pattern, log.model):
        return
    found = folder_facts(log.model)
    stated = log.facts.get("step")
    if found and (not stated or mapping.step(stated) == mapping.step(found["step"])):
        log.model, log.facts = "", found | log.facts


def checkpoint_of(study: str, place: Place) -> Checkpoint:
    """Weights that nobody has seen here: identified by their names within the study."""
    return Checkpoint(
        place.start,
        f"name:{study}/{place.start}",
        (f"name:{place.recipe}/s{place.seed}/step-{place.step}",) if place.recipe and place.step else (),
    )


def cell_words(checkpoint_id: str, benchmark_id: str, condition_id: str, attack_id: str | None) -> str:
    """What an output's cell is, in a line."""
    return f"{checkpoint_id} {benchmark_id} {condition_id} {attack_id or ''}"
