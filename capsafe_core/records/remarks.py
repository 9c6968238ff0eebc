"""What people keep for themselves and each other about outputs: stars, comments, and lists that have a
name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from capsafe_core.records.fact import Fact
from capsafe_core.records.ids import identify
from capsafe_core.values import Id, Seconds

REMARKS = ("star", "unstar", "comment")
if TYPE_CHECKING:  # as in `fact`
    Remarked = str
else:
    Remarked = Literal[REMARKS]


class Remark(Fact, frozen=True, tag="remark"):
    """A person starred an output, took the star back, or commented on it; it counts as no label."""

    event_id: Id
    generation_id: Id
    cell_id: Id
    author: str
    action: Remarked
    created: Seconds
    text: str = ""
    """of a comment"""

    @property
    def id(self) -> str:
        return self.event_id


class SavedView(Fact, frozen=True, tag="saved_view"):
    """A list of outputs to which a person gave a name; the newest of a study and name is in force, and one
    without a selection takes the name away."""

    study: str
    name: str
    selection: dict[str, str]
    """as a link has it"""
    author: str
    created: Seconds

    @property
    def id(self) -> str:
        return identify("saved_view", self.study, self.name, self.author, self.created)
