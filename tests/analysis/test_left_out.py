"""What cannot be compared at a goal says why."""

from __future__ import annotations

from string import Formatter

import pytest

from capsafe_core.analysis.labelled import HOW_TO_LABEL
from capsafe_core.analysis.left_out import Lack, LeftOut, why_left_out


@pytest.mark.parametrize("lack", Lack)
def test_every_run_that_is_left_out_has_a_sentence(lack: Lack) -> None:
    """Its names stand in it as they are, whatever they hold; how to label is said once."""
    names = {name: f"{{{name}}}" for _, name, _, _ in Formatter().parse(lack.value) if name}
    runs = [LeftOut("a (seed 1) of {b}", seed, lack, names) for seed in (0, 1)]
    sentences = why_left_out(runs)
    assert sentences[0] == f"a (seed 1) of {{b}} (seed 0) {lack.value}"
    assert (len(sentences), HOW_TO_LABEL in sentences) == ((3, True) if lack is Lack.LABELS else (2, False))
