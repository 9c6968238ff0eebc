"""A conclusion over chosen variants: the rows of those, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from capsafe_core.analysis.arms import arm_rates, claims
from capsafe_core.analysis.by_name import conclusions
from capsafe_core.analysis.conclusions import conclusion
from capsafe_core.analysis.narrowed import CHOICE_WORDS, chosen_variants, open_choices, read_choices
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.analysis.view import open_view
from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.selection import Selection
from capsafe_core.specification import CHOICES
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from tests.synthetic import write_study


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("narrowed")
    write_study(Path(folder), safety_size=20, capability_size=10)
    with Store(None) as store:
        ingest_all(store, Path(folder))
        view = open_view(store, Selection())
        runs = matched_runs(view, path_table(view))
        claim = claims(view, arm_rates(view, runs))[0]
        yield SimpleNamespace(view=view, found=conclusion(view, claim, runs), store=store)


def test_every_choice_has_a_name() -> None:
    assert set(CHOICE_WORDS) == set(CHOICES)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_chosen_rows_are_those_with_the_chosen_values(made: SimpleNamespace, data: st.DataObject) -> None:
    rows = open_choices(made.found)
    choices = {
        choice: tuple(data.draw(st.lists(st.sampled_from(values), unique=True)))
        for choice, values in rows.items()
    }
    curve = made.found.curve
    kept = pd.Series(True, index=curve.index)
    for choice, values in choices.items():
        if values:
            kept &= curve[choice].astype(str).isin(values)
    if not kept.any():
        with pytest.raises(CapsafeError, match="No analysis variant"):
            chosen_variants(made.view, made.found, choices)
        return
    chosen = chosen_variants(made.view, made.found, choices)
    part = chosen.conclusion
    assert part.curve["estimate"].tolist() == curve.loc[kept, "estimate"].tolist()
    assert np.array_equal(part.draws, made.found.draws[:, kept.to_numpy()], equal_nan=True)
    assert (part is made.found) == bool(kept.all())
    total, count = len(made.found.counted), len(part.counted)
    assert chosen.total == total
    assert chosen.counts.startswith(
        f"Of {total}" if kept.all() else f"{count} of {total}" if count else "Only bounds"
    )
    assert "not among them" not in chosen.counts or not part.curve["primary"].any()
    assert part.curve.loc[part.curve["primary"], "estimate"].tolist() in (
        [],
        curve.loc[curve["primary"], "estimate"].tolist(),
    )


def test_nothing_chosen_is_the_conclusion_itself(made: SimpleNamespace) -> None:
    assert chosen_variants(made.view, made.found, {}).conclusion is made.found
    nothing = dict.fromkeys(CHOICES, ())
    assert chosen_variants(made.view, made.found, nothing).conclusion is made.found


@pytest.mark.parametrize("choice", CHOICES)
def test_a_value_that_no_variant_has_is_refused_with_the_nearest(made: SimpleNamespace, choice: str) -> None:
    """Also beside a right one, and in the command as in a link."""
    right = str(made.found.curve[choice].max())
    for wrong in (f"{right}x", "nothing at all"):
        chosen = (f"{choice}={right}", f"{choice}={wrong}")
        with pytest.raises(UnknownNameError) as refused:
            conclusions(open_view(made.store, Selection(claim=made.found.claim.key, variants=chosen)))
        assert f"{choice} {wrong!r}" in refused.value.message
        assert right in refused.value.hint


@pytest.mark.parametrize("choice", CHOICES)
def test_what_is_not_a_choice_is_refused_with_the_nearest(choice: str) -> None:
    for wrong in (f"{choice}x=1", f"{choice[:-1]}=1"):
        with pytest.raises(UnknownNameError, match=f"Did you mean .*{choice}"):
            read_choices((wrong,))
    with pytest.raises(CapsafeError, match=r"cannot be read.*judge=prefix-zou"):
        read_choices((choice,))


@given(st.sampled_from(CHOICES), st.text(max_size=20))
def test_choices_are_read_back_from_a_link(choice: str, value: str) -> None:
    assume(value.strip())
    query = Selection(variants=(f"{choice}={value}",)).to_query()
    assert read_choices(Selection.from_query(query).variants) == {choice: (value,)}


def test_the_command_gives_the_same_rows(made: SimpleNamespace) -> None:
    judge = str(made.found.curve["judge"].iloc[0])
    view = open_view(made.store, Selection(claim=made.found.claim.key, variants=(f"judge={judge}",)))
    same = chosen_variants(made.view, made.found, {"judge": (judge,)}).conclusion.curve
    pd.testing.assert_frame_equal(conclusions(view), same)
