"""What the form that starts a study offers, in words."""

from __future__ import annotations

from typing import get_args

import pytest

from capsafe_core.study import RecipeSettings
from capsafe_core.ui.study_words import METHODS, SCHEDULES


@pytest.mark.parametrize(("words", "part"), [(METHODS, "method"), (SCHEDULES, "schedule")])
def test_what_a_study_may_say_is_offered_in_words(words: dict[str, str], part: str) -> None:
    assert set(words) == set(get_args(RecipeSettings.model_fields[part].annotation))
    assert len(set(words.values())) == len(words)
