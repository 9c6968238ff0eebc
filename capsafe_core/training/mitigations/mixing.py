"""Safety mixing: a share of every batch shows safe behaviour (Bianchi et al. 2024, arXiv 2309.07875)."""

from __future__ import annotations

from math import floor

from capsafe_core.training.mitigations.during import Mitigation, stream


class Mixing(Mitigation):
    """`share` of each step's rows are of safety.

    Rows are whole: after n steps floor(n * share * rows of a step) of them were, so that a small share comes
    in every few steps.
    """

    def order(self, task: int) -> list[int]:
        recipe, share = self.means.recipe, self.means.options["share"]
        rows = recipe.batch_size * recipe.accumulate
        learnt, safe = stream(task, [recipe.seed, 0]), stream(len(self.means.safety), [recipe.seed, 1])
        found: list[int] = []
        for step in range(recipe.steps[-1]):
            mixed = floor(round((step + 1) * share * rows, 9)) - floor(round(step * share * rows, 9))
            found += [next(learnt) for _ in range(rows - mixed)]
            found += [task + next(safe) for _ in range(mixed)]
        return found
