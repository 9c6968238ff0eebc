from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.selection import Selection

names = st.text("abcdefghij-_ 0123", min_size=1, max_size=12)
many = st.lists(names, max_size=3).map(tuple)
selections = st.builds(
    Selection,
    study=st.just("") | names,
    benchmarks=many,
    judges=many,
    recipes=many,
    outcomes=many,
    search=st.just("") | names,
    policy=st.sampled_from(["", "excluded"]),
    goals=st.lists(st.tuples(names, st.sampled_from([0.25, 0.5, 1.0])), max_size=2).map(tuple),
    truncated=st.booleans(),
)


@given(selections)
def test_a_url_brings_back_the_selection(selection: Selection) -> None:
    assert Selection.from_query(selection.to_query()) == selection


def test_what_a_url_says_wrongly_is_ignored() -> None:
    assert Selection.from_query({"goals": "sums:many", "nonsense": "1"}) == Selection()


def test_the_caption_names_every_restriction() -> None:
    words = Selection(benchmarks=("direct",), search="knife", truncated=False, goals=(("sums", 0.6),)).caption()
    assert words == "benchmarks: direct; answers that contain “knife”; goal 60% on sums; without outputs cut off by the token limit"
    assert Selection().caption() == "everything"
