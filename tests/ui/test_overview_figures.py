"""The two figures of the first screen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.subplots import make_subplots

from capsafe_core.analysis.harm import HARMFUL, UNREFUSED, outcome_words
from capsafe_core.figures.overview import gained_against_unsafe, outcome_bars, span_over
from capsafe_core.figures.style import LONGEST_LINE, PHONE, figure, is_wide
from capsafe_core.outcomes import OUTCOMES, TASK_ANSWER
from capsafe_core.quoting import split_names
from capsafe_core.report.slide_charts import outcomes_chart

SHARE = st.floats(0, 1, allow_nan=False).map(lambda value: round(value, 2))
POINT = st.tuples(st.floats(-1, 2).map(lambda value: round(value, 2)), SHARE, SHARE, SHARE)
BAND = ("judges_low", "judges_high")
RUNS = st.lists(st.lists(POINT, min_size=1, max_size=6), min_size=1, max_size=3)


def paths_of(recipes: dict[str, list[list[tuple[float, float, float, float]]]]) -> pd.DataFrame:
    """Paths as `path_table` has them: gained, unsafe, and the lowest and highest judge."""
    return pd.DataFrame(
        [
            (recipe, seed, step, f"{recipe}-{seed}-{step}", gained, unsafe, min(a, b), max(a, b), 0.1)
            for recipe, runs in recipes.items()
            for seed, run in enumerate(runs)
            for step, (gained, unsafe, a, b) in enumerate(run)
        ],
        columns=["recipe", "seed", "step", "checkpoint_id", "gained", "unsafe", *BAND, "incoherent"],
    ).assign(capability=0.5)


@given(RUNS)
def test_a_band_over_capability_never_folds_and_holds_every_checkpoint(
    runs: list[list[tuple[float, float, float, float]]],
) -> None:
    paths = paths_of({"a": runs})
    span = span_over(paths, "gained", "judges_low", "judges_high")
    assert (np.diff(span.index) > 0).all()
    assert (span["low"] <= span["high"] + 1e-12).all()
    for point in paths.itertuples():
        here = span.loc[point.gained]
        assert here["low"] <= point.judges_low + 1e-12
        assert here["high"] >= point.judges_high - 1e-12
    assert span["low"].min() == pytest.approx(paths["judges_low"].min())
    assert span["high"].max() == pytest.approx(paths["judges_high"].max())


def test_the_band_of_a_path_that_goes_up_is_straight_between_its_checkpoints() -> None:
    span = span_over(
        paths_of({"a": [[(0.0, 0.1, 0.0, 0.2), (1.0, 0.3, 0.2, 0.6)]]}), "gained", "judges_low", "judges_high"
    )
    assert span["low"].to_numpy() == pytest.approx(0.2 * span.index.to_numpy())
    assert span["high"].to_numpy() == pytest.approx(0.2 + 0.4 * span.index.to_numpy())


@given(RUNS, RUNS, st.sampled_from(["a", "b", ""]))
def test_one_recipe_stands_out_and_the_others_keep_a_line(
    first: list[list[tuple[float, float, float, float]]],
    second: list[list[tuple[float, float, float, float]]],
    chosen: str,
) -> None:
    figure = gained_against_unsafe(paths_of({"a": first, "b": second}), ["a", "b"], chosen)
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    marked = {
        name for t in figure.data if t.mode == "lines+markers" for name in {w.split(",")[0] for w in t.text}
    }
    lines = [trace for trace in figure.data if trace.fill != "toself"]
    assert len(bands) == bool(chosen)
    assert marked == ({chosen} if chosen else {"a", "b"})
    assert len(lines) == len(first) + len(second)
    for band in bands:
        half = len(band.x) // 2
        assert (np.diff(np.asarray(band.x[:half], float)) > 0).all()


def test_a_figure_is_wide_by_its_columns_its_width_or_its_notes() -> None:
    assert not is_wide(figure(300))
    assert not is_wide(figure(300, width=PHONE))
    assert is_wide(figure(300, width=PHONE + 1))
    assert not is_wide(make_subplots(rows=3, cols=1))
    assert is_wide(make_subplots(rows=1, cols=2))
    line = "x" * LONGEST_LINE
    assert not is_wide(figure(300).add_annotation(text=f"{line}<br>{line}"))
    assert is_wide(figure(300).add_annotation(text=f"{line}x"))


def test_a_bar_is_called_by_its_judge_and_says_what_a_click_opens() -> None:
    bars = pd.DataFrame(
        [("start: s", "refusal", 1.0, "s"), ("a~b", "unsafe", 0.5, ""), ("a~b", "refusal", 0.5, "")],
        columns=["recipe", "outcome", "share", "start"],
    )
    for harm, words in ((UNREFUSED, "not refused"), (HARMFUL, "answered harmfully")):
        figure = outcome_bars(bars, {}, outcome_words(harm), "a~b")
        assert [trace.name for trace in figure.data] == ["refused", words]
    ids = [split_names(one[0]) for one in figure.data[1].customdata]
    assert ids == [("start: s", "unsafe"), ("a~b", "unsafe")]
    assert outcomes_chart(bars, outcome_words(HARMFUL)).categories == ["s (start)", "a~b"]
    recipe = bars.assign(start="")  # a recipe may be called like a start
    assert outcomes_chart(recipe, outcome_words(HARMFUL)).categories == ["start: s", "a~b"]
    assert set(outcome_words(UNREFUSED)) == {*OUTCOMES, TASK_ANSWER}
