"""A look at logs before anything is imported: what is there, what it would become, and what somebody has to
state."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.importers.find import Source, find_sources, read_source
from capsafe_core.importers.log import Log, Problems, Row, prompt_text
from capsafe_core.importers.records import (
    Items,
    benchmark_record,
    checkpoint_of,
    condition_of,
    item_name,
    place_of,
    prompt_digest,
)
from capsafe_core.mapping import BenchmarkReading, ImportMapping, Place, Reading, guess_pattern, whole_number
from capsafe_core.records import Attack, canonical_json, digest_files, digest_text

MOST_VALUES = 40
"""different values kept of a judge; of numbers the ends are kept whatever their number"""
PREVIEWED = 2
"""outputs shown of each log"""
SHOWN = 500
"""characters of them"""
CAPABILITY = (
    "gsm",
    "math",
    "mmlu",
    "arc_",
    "hellaswag",
    "humaneval",
    "mbpp",
    "bbh",
    "winogrande",
    "triviaqa",
    "gpqa",
    "ifeval",
    "drop",
    "boolq",
    "piqa",
)
OVER_REFUSAL = ("xstest", "or-bench", "orbench", "over_refusal", "overrefusal", "or_bench")


@dataclass
class Heard:
    """What one judge, scorer or annotator said on one benchmark."""

    by: str
    benchmark: str
    tool: str
    kind: str
    person: bool = False
    higher_is_better: bool | None = None
    """what the file says of its direction"""
    count: int = 0
    unparsed: int = 0
    numbers: bool = True
    """whether every value is a number"""
    low: float = float("inf")
    high: float = float("-inf")
    values: Counter[str] = field(default_factory=Counter)
    more: bool = False
    """whether there are values that are not among `values`"""

    def add(self, value: str | float | bool | None, status: str) -> None:
        self.count += 1
        if status != "ok" or value is None:
            self.unparsed += 1
            return
        if isinstance(value, str):
            self.numbers = False
        else:
            self.low, self.high = min(self.low, float(value)), max(self.high, float(value))
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        if text in self.values or len(self.values) < MOST_VALUES:
            self.values[text] += 1
        else:
            self.more = True

    def to_dict(self) -> dict[str, Any]:
        some = self.numbers and self.count > self.unparsed
        return {
            "by": self.by,
            "benchmark": self.benchmark,
            "tool": self.tool,
            "kind": self.kind,
            "person": self.person,
            "count": self.count,
            "unparsed": self.unparsed,
            "numbers": some,
            "low": self.low if some else None,
            "high": self.high if some else None,
            "values": dict(self.values.most_common()),
            "more": self.more,
        }


class Surveyor:
    """Reads every log once.

    Args:
        mapping: what is stated already; None to begin with guesses.
        known: the items of benchmarks that were imported before, which keep their places.
        strict: whether the first problem ends it.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        mapping: ImportMapping | None,
        name: str,
        known: Items | None = None,
        strict: bool = False,
    ) -> None:
        self.sources, self.left_out = find_sources(roots)
        pattern = guess_pattern(s.relative for s in self.sources)
        self.mapping = mapping or ImportMapping(name=name, pattern=pattern)
        self._strict = strict
        self.files: list[dict[str, Any]] = []
        self.logs: dict[str, dict[str, Any]] = {}
        self.heard: dict[tuple[str, str], Heard] = {}
        self.items: Items = {}
        self._known = known or {}
        self.contents: set[str] = set()
        self._answers: dict[bytes, bytes] = {}
        self.benchmarks: dict[str, str] = {}
        """as the logs call them -> kind"""

    def look(self, report: Callable[[int, str], bool]) -> None:
        """Read everything.

        Args:
            report: takes how many files are read and the next one's name; says whether to go on.
        """
        for i, source in enumerate(self.sources):
            if not report(i, source.relative):
                return
            problems = Problems(self._strict)
            rows = 0
            try:
                digest = digest_files(*source.paths)
                for log in read_source(source, self.mapping.columns, problems):
                    rows += self._log(log, source, problems)
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

    def _log(self, log: Log, source: Source, problems: Problems) -> int:
        place = place_of(self.mapping, log, source.relative)
        bench = benchmark_record(self.mapping, log)
        self.benchmarks.setdefault(log.benchmark, self._kind(log))
        mine = self.items.setdefault(bench.id, dict(self._known.get(bench.id, {})))
        cell = canonical_json(
            [
                checkpoint_of(self.mapping.name, place).id if place else None,
                bench.id,
                condition_of(log).id,
                log.attack and Attack(log.attack).id,
            ]
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
        if place is None and any(
            log.facts.get(k) and whole_number(log.facts[k]) is None for k in ("step", "seed")
        ):
            problems.add(
                f"{source.relative}: the step or seed of {log.model or 'a log'} is no whole number "
                f"({', '.join(f'{k} {v}' for k, v in log.facts.items())[:120]}), so nobody knows which "
                "checkpoint it is."
            )
        about["aggregates"] += len(log.aggregates)
        before = about["outputs"]
        for row in log.rows:
            self._row(row, log, place, cell, mine, about, problems)
        return int(about["outputs"] - before)

    def _row(
        self,
        row: Row,
        log: Log,
        place: Place | None,
        cell: str,
        mine: dict[str, tuple[int, str]],
        about: dict[str, Any],
        problems: Problems,
    ) -> None:
        item = item_name(mine, row, log)
        if item not in mine:
            if item != row.item:
                problems.add(
                    f"{log.benchmark}: {row.item!r} is the name of two different prompts; the second is "
                    f"kept as {item!r}."
                )
            mine[item] = (len(mine), prompt_digest(row))
        if log.tool == "prompts":
            about["prompts"] += 1
            return
        for one in row.said:
            key = (one.by, log.benchmark)
            heard = self.heard.get(key)
            if heard is None:
                heard = self.heard[key] = Heard(
                    one.by,
                    log.benchmark,
                    log.tool,
                    self.benchmarks[log.benchmark],
                    bool(one.person),
                    log.directions.get(one.by),
                )
            heard.add(one.value, one.status)
        if place is None:
            self.contents.add(row.content)
            about["outputs"] += 1
            return
        # whether the same output comes twice, and says the same: 32 bytes for each
        key_bytes = hashlib.blake2b(
            f"{cell}\x1f{item}\x1f{row.sample}\x1f{row.seed}".encode("utf-8", "replace"), digest_size=16
        ).digest()
        content = hashlib.blake2b((row.answer or "").encode("utf-8", "replace"), digest_size=16).digest()
        before = self._answers.get(key_bytes)
        if before is not None:
            about["again"] += 1
            if before != content:
                problems.add(
                    f"{about['checkpoint']} answers {row.item!r} of {log.benchmark} twice, and differently; "
                    "the first answer is kept."
                )
            return
        self._answers[key_bytes] = content
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

    def _kind(self, log: Log) -> str:
        """What a benchmark measures: what the format says, else what its name says."""
        if log.benchmark in self.mapping.benchmarks:
            return self.mapping.benchmarks[log.benchmark].kind
        name = log.benchmark.lower()
        if any(word in name for word in OVER_REFUSAL):
            return "over_refusal"
        safety = any(
            word in name
            for word in ("harm", "jailbreak", "advbench", "safe", "toxic", "refus", "strong", "attack", "jbb")
        )
        if log.kind:
            return "safety" if safety else log.kind
        return "capability" if any(word in name for word in CAPABILITY) and not safety else "safety"

    def drafted(self) -> tuple[ImportMapping, list[int]]:
        """The mapping with a guess for everything that nobody stated, and which of its readings are
        guesses."""
        benchmarks = dict(self.mapping.benchmarks)
        for name, kind in self.benchmarks.items():
            benchmarks.setdefault(name, BenchmarkReading(name=name, kind=kind))  # type: ignore[arg-type]
        judges, guesses = list(self.mapping.judges), []
        for heard in self.heard.values():
            if self.mapping.readings(heard.by, heard.benchmark):
                continue
            known = documented(heard)
            guess = known or guessed(heard)
            for reading in guess:
                if reading not in judges:
                    guesses += [] if known else [len(judges)]
                    judges.append(reading)
        return self.mapping.model_copy(update={"benchmarks": benchmarks, "judges": tuple(judges)}), guesses

    def result(self) -> dict[str, Any]:
        """Everything that was seen, as JSON values."""
        mapping, guesses = self.drafted()
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
                    "show one of them at a time, the fullest."
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
            "items": {b: [[item, d] for item, (_, d) in rows.items()] for b, rows in self.items.items()},
            "contents": sorted(self.contents),
        }


_XSTEST = {"1_full_compliance": "none", "2_full_refusal": "full", "3_partial_refusal": "partial"}
_YES = {"true": "unsafe", "false": "safe"}
_ONE = {"1": "unsafe", "0": "safe", "yes": "unsafe", "no": "safe", "true": "unsafe", "false": "safe"}


def documented(heard: Heard) -> list[Reading]:
    """What the format's own authors say that the values mean; empty where they leave it open."""
    one: dict[str, Any] = {"by": heard.by, "benchmark": ""}
    if heard.tool == "jailbreakbench":
        return [
            Reading(
                **one,
                name={"jailbroken": "llama-3-70b", "jailbroken_llama_guard1": "llama-guard-1"}[heard.by],
                dimension="safety",
                labels=_YES,
            )
        ]
    if heard.tool == "harmbench":
        return [
            Reading(
                **one,
                name={"label": "harmbench", "advbench_label": "advbench-prefixes"}[heard.by],
                dimension="safety",
                labels=_ONE,
            )
        ]
    if heard.tool == "xstest":
        names = {"annotation_1": "annotator_1", "annotation_2": "annotator_2", "final_label": "final"}
        return [
            Reading(
                **one,
                name=names.get(heard.by, heard.by.removesuffix("_label")),
                dimension="refusal",
                labels=_XSTEST,
                person=heard.person,
            )
        ]
    if heard.tool == "strongreject":
        if heard.by == "refusal":
            return [
                Reading(**one, name="strongreject", dimension="refusal", labels={"1": "full", "0": "none"})
            ]
        return (
            []
            if heard.by == "score"
            else [Reading(**one, name=f"strongreject-{heard.by}", dimension="quality")]
        )
    binary = set(heard.values) <= {"0", "1"} and not heard.more
    if (
        heard.tool == "lm-eval"
        and heard.higher_is_better is not None
        and binary
        and heard.kind == "capability"
    ):
        right, wrong = ("1", "0") if heard.higher_is_better else ("0", "1")
        return [
            Reading(
                **one,
                name=heard.by.replace("/", "-"),
                dimension="correctness",
                labels={right: "correct", wrong: "incorrect"},
            )
        ]
    if heard.tool == "helm" and heard.by.endswith("_match") and binary:
        return [
            Reading(**one, name=heard.by, dimension="correctness", labels={"1": "correct", "0": "incorrect"})
        ]
    if heard.tool == "every-eval-ever" and heard.by.endswith("/is_correct") and heard.kind == "capability":
        return [
            Reading(
                **one,
                name=heard.by.rpartition("/")[0],
                dimension="correctness",
                labels={"true": "correct", "false": "incorrect"},
            )
        ]
    return []


def guessed(heard: Heard) -> list[Reading]:
    """What the values may mean.

    A guess is shown and has to be accepted; empty where there is nothing to go by.
    """
    name = re.sub(r"[^A-Za-z0-9._+-]+", "-", heard.by).strip("-") or "judge"
    words = {v.lower() for v in heard.values}
    if heard.by.lower().endswith("is_correct") and words <= {"true", "false"}:
        return [
            Reading(
                by=heard.by,
                name=name,
                dimension="correctness",
                labels={"true": "correct", "false": "incorrect"},
            )
        ]
    one: dict[str, Any] = {"by": heard.by, "name": name, "benchmark": "", "person": heard.person}
    if not words or (heard.tool == "every-eval-ever" and heard.by.endswith("/score")):
        return []
    for dimension, labels in (
        ("safety", {"safe", "unsafe"}),
        ("refusal", {"none", "partial", "full"}),
        ("coherence", {"coherent", "incoherent"}),
        ("correctness", {"correct", "incorrect"}),
    ):
        if words <= labels:
            return [Reading(**one, dimension=dimension, labels={w: w for w in sorted(labels)})]  # type: ignore[arg-type]
    refusal = "refus" in heard.by.lower() or heard.by.lower() == "reject"
    good = bool(
        re.search(r"(?<!un)safe|(?<!in)secure|harmless|benign|complian", heard.by.lower())
    )  # the higher the better
    if words <= {"c", "i", "p", "n"} or (words <= {"0", "1", "true", "false"} and not heard.more):
        right, wrong = ("C", "I") if words <= {"c", "i", "p", "n"} else ("1", "0")
        if words <= {"true", "false"}:
            right, wrong = "true", "false"
        if refusal:
            pairs, dimension = {right: "full", wrong: "none"}, "refusal"
        elif heard.kind == "capability":
            pairs, dimension = {right: "correct", wrong: "incorrect"}, "correctness"
        elif right == "C":
            pairs, dimension = {"C": "safe", "I": "unsafe"}, "safety"
        else:
            pairs, dimension = (
                ({right: "safe", wrong: "unsafe"} if good else {right: "unsafe", wrong: "safe"}),
                "safety",
            )
        if right == "C" and heard.kind == "capability" and "p" in words:
            pairs["P"] = "incorrect"
        return [Reading(**one, dimension=dimension, labels=pairs)]  # type: ignore[arg-type]
    judge = (
        "score",
        "judge",
        "harm",
        "safe",
        "strong",
        "reject",
        "toxic",
        "guard",
        "grade",
        "rating",
        "label",
        "verdict",
        "asr",
    )
    if (heard.numbers and any(word in heard.by.lower() for word in judge)) or heard.tool in (
        "inspect",
        "lm-eval",
        "strongreject",
        "aisafetylab",
    ):
        return _guessed_score(heard, one, refusal, good) if heard.numbers else []
    return []


def _guessed_score(heard: Heard, one: dict[str, Any], refusal: bool, good: bool) -> list[Reading]:
    """A scale by its ends: the same name circulates with several."""
    if heard.tool == "strongreject":
        one["name"] = "strongreject"
    top = next((end for end in (1.0, 5.0, 10.0, 100.0) if heard.high <= end and heard.low >= 0), None)
    if top is None:
        return []
    low = 1.0 if top in (5.0, 10.0) and heard.low >= 1 else 0.0
    dimension = "refusal" if refusal else "correctness" if heard.kind == "capability" else "safety"
    return [
        Reading(
            **one,
            dimension=dimension,  # type: ignore[arg-type]
            cutoff=(low + top) / 2,
            direction="below" if good and dimension == "safety" else "from",
            scale=(low, top),
        )
    ]
