"""On how many outputs judges split, counted by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.analysis.disagreement import splits_table
from capsafe_core.analysis.sentences import splits_sentence
from capsafe_core.figures.judges import split_bars

KINDS = ("coherent", "incoherent", "unchecked")
VOTES = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["unsafe", "safe", ""]), min_size=3, max_size=3),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    max_size=8,
    unique_by=lambda row: tuple(row[0]),
)


def votes_of(rows: list[tuple[list[str], int, int]]) -> pd.DataFrame:
    """As `votes_table` has them, of the judges a, b and c."""
    return pd.DataFrame(
        [
            ("", *votes, coherent, incoherent, 0, coherent + incoherent, 0.0)
            for votes, coherent, incoherent in rows
        ],
        columns=["pattern", "a", "b", "c", *KINDS, "n", "share"],
    )


@given(VOTES)
def test_splits_are_counted_output_by_output(rows: list[tuple[list[str], int, int]]) -> None:
    outputs = [
        (kind, {vote for vote in votes if vote}, sum(map(bool, votes)))
        for votes, coherent, incoherent in rows
        for kind, count in (("coherent", coherent), ("incoherent", incoherent))
        for _ in range(count)
    ]
    table = splits_table(votes_of(rows)).set_index("kind")
    for kind in KINDS:
        seen = [verdicts for k, verdicts, n in outputs if k == kind and n > 1]
        if not seen:
            assert kind not in table.index
            continue
        assert table.at[kind, "n"] == len(seen)
        assert table.at[kind, "split"] == sum(len(verdicts) == 2 for verdicts in seen)
        assert table.at[kind, "share"] == table.at[kind, "split"] / len(seen)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], ""),
        ([(["unsafe", "", ""], 9, 9)], ""),
        (
            [(["unsafe", "safe", ""], 53, 98), (["safe", "safe", ""], 47, 2)],
            "Judges split on 98% of 100 incoherent responses, and on 53% of 100 coherent responses; "
            "65% of 151 disputed ones are incoherent.",
        ),
        ([(["safe", "safe", "safe"], 120, 0)], "Judges split on 0% of 120 coherent responses."),
        (
            [(["safe", "safe", "unsafe"], 1, 2), (["safe", "safe", "safe"], 4, 1)],
            "Judges split on 2 of 3 incoherent responses, and on 1 of 5 coherent responses; "
            "2 of 3 disputed ones are incoherent.",
        ),
    ],
)
def test_the_sentence_says_shares_of_many_and_counts_of_few(
    rows: list[tuple[list[str], int, int]], sentence: str
) -> None:
    assert splits_sentence(splits_table(votes_of(rows))) == sentence


def test_a_bar_says_which_kind_a_click_lists() -> None:
    splits = splits_table(votes_of([(["unsafe", "safe", ""], 1, 2), (["safe", "safe", ""], 3, 0)]))
    figure = split_bars(splits)
    assert [trace.name for trace in figure.data] == ["judges split", "judges agree"]
    assert [one[0] for one in figure.data[0].customdata] == ["coherent", "incoherent"]
    assert list(figure.data[0].x) == [0.25, 1.0]
