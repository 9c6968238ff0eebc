"""What a look at logs saw, before anything is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from capsafe_core.checkpoint_places import Told
from capsafe_core.mapping import ImportMapping, Reading
from capsafe_core.records import UNKNOWN_KIND

LOG_COLUMNS = (
    "tool",
    "checkpoint",
    "benchmark",
    "attack",
    "outputs",
    "no_response",
    "prompts",
    "aggregates",
    "files",
)
"""what is shown of each of a survey's logs"""


@dataclass(frozen=True)
class Survey:
    """What a survey saw.

    Attributes:
        files: {tool, paths, relative, digest, outputs, problems, problem_count}.
        left_out: sentences about files that were not read.
        logs: {tool, model, checkpoint, place, benchmark, attack, outputs, no_response, prompts, again,
            aggregates, files, first, preview}.
        judges: {by, benchmark, tool, kind, person, count, unparsed, numbers, low, high, values, more}.
        unread: those among `judges` of which not even a guess can be made.
        mapping: what was stated, with a guess for the rest.
        guesses: places in `mapping.judges` that are guesses.
        items: benchmark id -> [item, digest of its prompt].
        contents: content hashes of outputs that name no model.
        conflicts: {kind, key, words, first, last, files} of what is said differently.
        columns: {column, use, files, first} of tables: what each column is taken to be.
        unplaced_steps: what stands where a step is expected, and is not a step that anybody stated.
        told: what the logs say of each checkpoint, by which two of one name are told apart.
    """

    files: list[dict[str, Any]]
    left_out: list[str]
    logs: list[dict[str, Any]]
    judges: list[dict[str, Any]]
    unread: list[dict[str, Any]]
    mapping: ImportMapping
    guesses: list[int]
    items: dict[str, list[list[str]]]
    contents: list[str]
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    columns: list[dict[str, Any]] = field(default_factory=list)
    unplaced_steps: list[str] = field(default_factory=list)
    told: Told = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        return sum(log["outputs"] for log in self.logs)

    @property
    def unplaced(self) -> str:
        """A sentence about outputs that name no model; "" where there are none."""
        lost = [log for log in self.logs if not log["place"] and log["outputs"]]
        if not lost:
            return ""
        return (
            f"{sum(log['outputs'] for log in lost):,} outputs name no model (the first in "
            f"{lost[0]['first']}): what was said of them goes to those outputs that are here already and "
            "say the same. "
            "To import them as outputs, give the file a name among the aliases, or state a pattern or a "
            "column for the checkpoint."
        )

    @property
    def words(self) -> str:
        """What is there, in a sentence."""
        models = {log["checkpoint"] for log in self.logs if log["checkpoint"]}
        silent = sum(log["no_response"] for log in self.logs)
        prompts, numbers = (
            sum(log["prompts"] for log in self.logs),
            sum(log["aggregates"] for log in self.logs),
        )
        nameless = sum(log["outputs"] for log in self.logs if not log["place"])
        parts = [
            f"{self.outputs - nameless:,} outputs of {len(models)} "
            f"checkpoint{'s' if len(models) != 1 else ''} in {len(self.files)} "
            f"file{'s' if len(self.files) != 1 else ''}"
        ]
        parts += [f"{nameless:,} that name no model"] if nameless else []
        parts += [f"{silent:,} of them without a response"] if silent else []
        parts += [f"{prompts:,} prompts without outputs"] if prompts else []
        parts += [f"{numbers:,} aggregate numbers"] if numbers else []
        count = sum(file["problem_count"] for file in self.files)
        parts += [f"{count:,} problems"] if count else []
        return "; ".join(parts) + "."

    def accepted(self, guesses: bool) -> ImportMapping:
        """The mapping with the guessed readings, or without them."""
        judges = tuple(r for i, r in enumerate(self.mapping.judges) if guesses or i not in self.guesses)
        return self.mapping.model_copy(update={"judges": judges})

    def settled(self, mapping: ImportMapping) -> ImportMapping:
        """A mapping whose unknown benchmarks measure what its readings speak of."""
        return mapping.settled((h["by"], h["benchmark"]) for h in self.judges)

    @property
    def unknown(self) -> list[str]:
        """Benchmarks of which nobody knows what they measure, as the logs call them."""
        used = {log["benchmark"] for log in self.logs}
        return [
            name for name, b in self.mapping.benchmarks.items() if b.kind == UNKNOWN_KIND and name in used
        ]

    def withheld(self, rule: str) -> dict[str, str]:
        """What is said differently -> the digest of what counts by a rule; "" where nothing does. What an
        earlier import says goes on counting by any rule."""
        return {c["key"]: c.get("first" if _is_earlier(c) else rule, "") for c in self.conflicts}


def _is_earlier(conflict: dict[str, Any]) -> bool:
    """Whether what files say differently is said by an earlier import, too."""
    return str(conflict["files"][0]).startswith("the import ")


SHOWN_VALUES = 40
"""different values of a judge that a page and a command show"""


def values_words(values: dict[str, int]) -> str:
    """A judge's values and how often each comes."""
    words = [f"{value[:30]} ×{n:,}" for value, n in list(values.items())[:SHOWN_VALUES]]
    more = len(values) - len(words)
    return ", ".join(words) + (f" and {more:,} more" if more > 0 else "")


def reading_values(survey: Survey, reading: Reading) -> dict[str, int]:
    """The values that a reading is about, over the benchmarks where it holds."""
    values: dict[str, int] = {}
    for heard in survey.judges:
        if heard["by"] == reading.by and reading.benchmark in ("", heard["benchmark"]):
            for value, n in heard["values"].items():
                values[value] = values.get(value, 0) + n
    return values


def unknown_words(survey: Survey) -> str:
    """A sentence about benchmarks of which nobody knows what they measure; "" where there are none."""
    settled = survey.settled(survey.mapping).benchmarks
    open_ones = [
        f"{name} (it counts as {settled[name].kind} once its readings are accepted)"
        if settled[name].kind != UNKNOWN_KIND
        else name
        for name in survey.unknown
    ]
    if not open_ones:
        return ""
    measure = "measures" if len(open_ones) == 1 else "measure"
    return f"What {_some(open_ones)} {measure} is unknown. State it: capability, safety or over_refusal."


def conflict_words(survey: Survey, rule: str) -> str:
    """A sentence about what files say differently; "" where they agree."""
    if not survey.conflicts:
        return ""

    def names(conflicts: list[dict[str, Any]]) -> list[str]:
        return list(dict.fromkeys(f.rpartition(" ")[0] for c in conflicts for f in c["files"]))

    earlier = [c for c in survey.conflicts if _is_earlier(c)]
    alone = [c for c in survey.conflicts if c not in earlier and len(set(c["files"])) == 1]
    between = names([c for c in survey.conflicts if c not in earlier and c not in alone])
    kept = []
    if between:
        kept += [
            {
                "first": f"What {between[0]} says counts, as it was read first.",
                "last": f"What {between[-1]} says counts, as it was read last.",
            }.get(rule, "Neither counts until you pick whether the file that was read first or last does.")
        ]
    if alone:
        counts = "neither counts until you pick whether what stands there first or last does"
        counts = f"what stands there {rule} counts" if rule else counts
        kept += [f"Where one file contradicts itself, {counts}."]
    if earlier:
        kept += [
            "What an earlier import says goes on counting. To have what is said here instead, undo that "
            "import and import this again."
        ]
    return (
        f"{len(survey.conflicts):,} {'thing is' if len(survey.conflicts) == 1 else 'things are'} said "
        f"differently: {_some([c['words'] for c in survey.conflicts])}. Said by: "
        f"{_some(names(survey.conflicts))}. {' '.join(kept)}"
    )


def _some(words: list[str], most: int = 5) -> str:
    more = len(words) - most
    return "; ".join(words[:most]) + (f"; and {more:,} more" if more > 0 else "")
