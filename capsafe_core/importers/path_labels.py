"""What logs say where a step of a path is expected, and which of it nobody can put in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from capsafe_core.importers.log import Log
from capsafe_core.mapping import ImportMapping
from capsafe_core.path_steps import FEW, guess_places, mixed_units, numbers_in, timed, whole_number
from capsafe_core.toml_text import toml_key


class PathLabels:
    """Of each path through training, what stands where a step is expected."""

    def __init__(self) -> None:
        self._paths: dict[tuple[str, ...], dict[str, str]] = {}

    def add(self, log: Log, facts: Mapping[str, str], by: str) -> None:
        """Note a log's step, and the column, key or pattern that says it."""
        if facts.get("step"):
            path = (log.model, *(facts.get(k, "") for k in ("base", "data", "recipe", "seed")))
            self._paths.setdefault(path, {}).setdefault(facts["step"], by)

    def without_step(self, mapping: ImportMapping) -> list[str]:
        """Those that are no step that anybody stated."""
        return sorted({x for labels in self._paths.values() for x in labels if mapping.step(x) is None})

    def settled(self, mapping: ImportMapping) -> tuple[ImportMapping, list[str]]:
        """The mapping with steps for parts of epochs, and without those that are counted in several ways;
        and what is to be said of both."""
        unplaced: dict[str, None] = {}
        sentences = []
        for labels in self._paths.values():
            unstated = {label: by for label, by in labels.items() if label not in mapping.places}
            if units := mixed_units(unstated):
                asked = [label for label in unstated if timed(label)]
                unplaced |= dict.fromkeys(asked)
                sentences.append(
                    f"Places on one path are counted in {' and in '.join(units)} ({some(asked)}), and nobody "
                    "knows their order: they are left out until their steps are stated, under [places] in "
                    "the mapping. It is enough to state those of all units but one."
                )
            if apart := _apart(mapping, unstated):
                unplaced |= dict.fromkeys(apart)
                sentences.append(
                    f"Places on one path name the same step and differ otherwise ({some(apart)}): they are "
                    "left out until their steps are stated, under [places] in the mapping."
                )
        paths = self._paths.values()
        places = guess_places({x: by for x, by in labels.items() if x not in unplaced} for labels in paths)
        if places and not set(places) <= set(mapping.places):
            sentences.append(
                "Places on a path are parts of an epoch or of the training: "
                + ", ".join(f"{label} is step {step}" for label, step in list(places.items())[:8])
                + f" (in parts of {FEW:,}). State others under [places] in the mapping."
            )
        more = {"places": places | mapping.places, "unplaced": tuple(unplaced)}
        return mapping.model_copy(update=more), list(dict.fromkeys(sentences))


def _apart(mapping: ImportMapping, labels: Iterable[str]) -> list[str]:
    """Those that name the same step as another one, and count something else otherwise: stage1-step100."""
    at: dict[int, dict[tuple[float, ...], list[str]]] = {}
    for label in labels:
        step = mapping.step(label)
        if step is not None:
            at.setdefault(step, {}).setdefault(numbers_in(label), []).append(label)
    return [x for several in at.values() if len(several) > 1 for same in several.values() for x in same]


def why_nowhere(mapping: ImportMapping, log: Log, relative: str) -> str:
    """Why a log that says its step or seed has no place; "" where it says neither, or both in numbers."""
    step, seed = log.facts.get("step", ""), log.facts.get("seed", "")
    lacks_step = bool(step) and mapping.step(step) is None
    if not lacks_step and (not seed or whole_number(seed) is not None):
        return ""
    told = ", ".join(f"{k} {v}" for k, v in log.facts.items())[:120]
    why = (
        "is not in order with other places of a path"
        if lacks_step and step in mapping.unplaced
        else "is not a whole number"
    )
    hint = f" State it under [places] in the mapping, such as {toml_key(step)} = 300." if lacks_step else ""
    return (
        f"{relative}: the step or seed of {log.model or 'a log'} {why} ({told}), so nobody knows which "
        f"checkpoint it is.{hint}"
    )


def some(words: list[str], most: int = 8) -> str:
    """The first words of a list, and how many more there are."""
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more:,} more" if more > 0 else "")
