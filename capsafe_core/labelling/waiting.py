"""The queues of a workspace as one person finds them: the one to label next comes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from capsafe_core.labelling.desk import Desk
from capsafe_core.people import Person, and_words, is_among
from capsafe_core.records import QueueRecord


@dataclass(frozen=True)
class Waiting:
    """A queue in front of one person: whether it is assigned to them, and the items that it has for them
    now."""

    record: QueueRecord
    own: bool
    left: int

    @property
    def words(self) -> str:
        """Its name, whose it is, and why there is nothing to label in it."""
        people = self.record.settings["assigned"]
        whose = "yours" if self.own else f"assigned to {_short(people)}" if people else ""
        done = "" if self.left or (people and not self.own) else "nothing left for you"
        about = ", ".join(filter(None, (whose, done if self.record.state == "open" else self.record.state)))
        return f"{self.record.name} ({about})" if about else self.record.name


def _short(people: Sequence[str]) -> str:
    return and_words(people) if len(people) < 3 else f"{len(people)} others"


def waiting_queues(desk: Desk, person: Person) -> list[Waiting]:
    """Every queue, the one to label next first.

    A person's own come first, those that were made first before others, then those that everybody may label,
    the newest first; what has nothing for them comes last.
    """
    found = [
        Waiting(q, is_among(person.name, q.settings["assigned"]), desk.left(person, q.queue))
        for q in desk.queues()
    ]
    own = [w for w in reversed(found) if w.own and w.left]
    others = [w for w in found if w.left and not w.own]
    return [*own, *others, *(w for w in found if not w.left)]
