"""Tables on Conclusions: counts by hand, and heads that are words with units."""

from __future__ import annotations

import pandas as pd

from capsafe_core.analysis.narrowed import CHOICE_WORDS
from capsafe_core.specification import CHOICES
from capsafe_core.ui.conclusion_parts import family_table


def test_families_are_per_cents_of_their_variants() -> None:
    counted = pd.DataFrame({"family": ["a"] * 4 + ["b"], "direction": [1, 1, -1, 0, -1]})
    assert family_table(counted).to_dict("records") == [
        {
            "judge family": "a",
            "less safe, %": 50,
            "safer, %": 25,
            "interval includes zero, %": 25,
            "variants": 4,
        },
        {
            "judge family": "b",
            "less safe, %": 0,
            "safer, %": 100,
            "interval includes zero, %": 0,
            "variants": 1,
        },
    ]


def test_every_choice_that_may_reverse_a_claim_has_words() -> None:
    assert set(CHOICES) <= set(CHOICE_WORDS)
    assert not {words for words in CHOICE_WORDS.values() if "_" in words or "cut" in words.lower()}
