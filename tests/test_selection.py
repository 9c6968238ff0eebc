import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.analysis.arms import Arm, Claim
from capsafe_core.quoting import join_names, split_names
from capsafe_core.selection import Selection, vote_pattern, votes_of

names = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("~,:=|%#&?+ /é世"), max_size=12)
many = st.lists(names, max_size=3).map(tuple)
shares = st.floats(allow_nan=False, allow_infinity=False)
votes = st.dictionaries(
    names.filter(bool),
    st.sampled_from(["", "safe", "unsafe"]) | names.map(lambda other: f"~{other}"),
    max_size=3,
)
DRAWN = {
    "columns": many.filter(lambda columns: "answer" not in columns),
    "goals": st.lists(st.tuples(names, shares), max_size=2).map(tuple),
    "truncated": st.booleans(),
    "pattern": votes.map(vote_pattern),
    "condition": st.lists(st.tuples(names, names), max_size=2).map(tuple),
    "page": st.integers(1, 10**6),
    "cutoff": st.none() | shares,
}
selections = st.builds(
    Selection,
    **{
        part.name: DRAWN.get(part.name, many if part.default == () else names)
        for part in dataclasses.fields(Selection)
    },
)


@given(selections)
def test_a_url_brings_back_the_selection(selection: Selection) -> None:
    assert Selection.from_query(selection.to_query()) == selection


@given(votes)
def test_votes_come_back_whatever_a_judge_is_called(said: dict[str, str]) -> None:
    assert votes_of(vote_pattern(said)) == said


@given(st.lists(many.filter(bool), max_size=3))
def test_joined_texts_can_be_joined_again(lists: list[tuple[str, ...]]) -> None:
    inner = [join_names(part, ":") for part in lists]
    assert [split_names(text, ":") for text in split_names(join_names(inner, "|"), "|")] == lists


@given(names, names, names, names)
def test_claims_have_the_same_key_only_if_they_are_the_same(a: str, b: str, c: str, d: str) -> None:
    one, other = Claim(Arm("recipe", a), Arm("start", b)), Claim(Arm("recipe", c), Arm("start", d))
    assert (one.key == other.key) == (one == other)


def test_old_links_still_open() -> None:
    link = {
        "benchmarks": "direct~dressed",
        "pattern": "zou=unsafe,llama=",
        "goals": "sums:0.6",
        "claim": "recipe:sums|start:aligned",
        "columns": "outcome~answer",
    }
    chosen = Selection.from_query(link)
    assert chosen == Selection(
        benchmarks=("direct", "dressed"),
        pattern="zou=unsafe,llama=",
        goals=(("sums", 0.6),),
        claim=link["claim"],
        columns=("outcome", "response"),
    )
    assert votes_of(chosen.pattern) == {"zou": "unsafe", "llama": ""}
    assert Claim(Arm("recipe", "sums"), Arm("start", "aligned")).key == link["claim"]


def test_what_a_url_says_wrongly_is_ignored() -> None:
    assert Selection.from_query({"goals": "sums:many~sums:nan~sums:inf", "nonsense": "1"}) == Selection()
    assert Selection.from_query({"cutoff": "half"}) == Selection.from_query({"cutoff": "nan"}) == Selection()


def test_a_threshold_stays_with_its_judge() -> None:
    asked = Selection(judges=("learnt-harm",), cutoff=0.3)
    assert asked.but(policy="excluded").cutoff == 0.3
    assert asked.but(judges=("learnt-harm", "prefix-zou")).cutoff == 0.3
    assert asked.but(judges=("learnt-refusal",)).cutoff is None
    assert asked.but(judges=("learnt-refusal",), cutoff=0.7).cutoff == 0.7


def test_the_caption_names_every_restriction() -> None:
    """Each field alone: its value, or what it does, stands in the caption."""
    value = {
        "goals": (("sums", 0.6),),
        "truncated": False,
        "before": "0123456789:unsafe",
        "pattern": "llama=~zou",
        "condition": (("system_prompt", "knife"),),
        "page": 2,
        "cutoff": 0.3,
    }
    for part in dataclasses.fields(Selection):
        one = value.get(part.name, ("knife",) if part.default == () else "knife")
        assert Selection(**{part.name: one}).caption() != "Everything", part.name
    words = Selection(
        benchmarks=("direct",), search="knife", truncated=False, goals=(("sums", 0.6),)
    ).caption()
    assert (
        words
        == "benchmarks: direct; responses that contain “knife”; goal 60% on sums; without truncated outputs"
    )
    assert (
        Selection(pattern="llama=~zou,gpt=,zou=unsafe").caption()
        == "llama contradicts zou, no verdict of gpt, zou says unsafe"
    )
    assert Selection().caption() == "Everything"
