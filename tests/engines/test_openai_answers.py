"""What a server answers: first tokens, options, and garbage of every kind."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from capsafe_core.engines import Failure, Request, answer_all
from capsafe_core.engines.asking import ServerTrouble
from capsafe_core.engines.openai_answers import first_token, read_answer
from tests.engines.asking_servers import asked, engine
from tests.server import answer, serving

pytestmark = pytest.mark.usefixtures("planted_key")


def test_the_first_tokens_chances_are_read_from_chat_and_from_completions() -> None:
    with serving() as seen:
        made = engine(seen)
        chat = Request("a", ({"role": "user", "content": "x"},))
        raw = Request("b", ({"role": "user", "content": "x"},), raw=True, begun="\n\n")
        assert made.choose([chat, raw], ["Yes", "No", "Never"]) == [[-0.2, -1.8, float("-inf")]] * 2
        assert {b.get("prompt") for b in seen.bodies} == {None, "x\n\n"}
        begun = Request("c", ({"role": "user", "content": "x"},), begun="\n\n", template={"guideline": "g"})
        made.choose([begun], ["Yes", "No"])
    assert seen.bodies[-1]["continue_final_message"]
    assert seen.bodies[-1]["messages"][-1] == {"role": "assistant", "content": "\n\n"}
    assert seen.bodies[-1]["chat_template_kwargs"] == {"guideline": "g"}


def test_an_option_is_the_token_that_is_it_and_not_one_that_begins_like_it() -> None:
    known = {"Y": -0.1, " Yes": -0.9, "Yes": -1.5, "No": -2.0, "N": -1.0, "un": -3.0, "": -0.2}
    assert [first_token(option, known) for option in ("Yes", "No", "unsafe", "safe")] == [
        " Yes",
        "No",
        None,
        None,
    ]


GARBAGE: dict[str, bytes] = {
    "a number beyond "
    "numbers": b'{"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": '
    b'{"completion_tokens": 1e9999}}',
    "nested without end": b'{"choices": ' + b"[" * 200_000,
    "nested objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a whole number without "
    "end": b'{"choices": [{"message": {"content": "x"}}], "usage": {"completion_tokens": '
    + b"9" * 100_000
    + b"}}",
    "more tokens than there "
    "are": b'{"choices": [{"message": {"content": "x"}}], "usage": {"completion_tokens": '
    b"9223372036854775808}}",
    "fewer than none": b'{"choices": [{"message": {"content": "x"}}], "usage": {"completion_tokens": -1}}',
    "not UTF-8": b'{"choices": [{"message": {"content": "\xff\xfe"}}]}',
    "UTF-16": '{"choices": [{"message": {"content": "x"}}]}'.encode("utf-16"),
    "NaN": b'{"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{"token": "x", "logprob": '
    b"NaN}]}}]}",
    "a list": b"[1, 2]",
    "nothing": b"null",
    "empty": b"",
    "a text that is a list": b'{"choices": [{"message": {"content": ["x"]}}]}',
    "a choice that is a text": b'{"choices": ["x"]}',
    "choices that are an object": b'{"choices": {"0": {"message": {"content": "x"}}}}',
    "a message that is a text": b'{"choices": [{"message": "x"}]}',
    "a finish that is an object": b'{"choices": [{"message": {"content": "x"}, "finish_reason": {"a": 1}}]}',
    "chances that are "
    "texts": b'{"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{"token": "x", '
    b'"logprob": "-1"}]}}]}',
    "chances above "
    "one": b'{"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{"token": "x", "logprob": '
    b"5}]}}]}",
    "usage that is a list": b'{"choices": [{"message": {"content": "x"}}], "usage": [4]}',
}


@pytest.mark.parametrize("what", GARBAGE)
def test_one_garbage_answer_is_one_failed_request(what: str) -> None:
    with serving(
        lambda number, body: "raw" if "Question 3?" in str(body["messages"]) else "", raw=GARBAGE[what]
    ) as seen:
        found = answer_all(engine(seen, retries=0), asked(6))
    assert [k for k, a in found.items() if isinstance(a, Failure)] == ["3"]


@pytest.mark.parametrize("what", GARBAGE)
def test_a_choice_answered_with_garbage_is_one_failed_request(what: str) -> None:
    """An error that a judge's job takes as one item's, and not one that ends it."""
    with serving(lambda number, body: "raw" if number else "", raw=GARBAGE[what]) as seen:
        made = engine(seen, retries=0)
        chat = Request("a", ({"role": "user", "content": "x"},))
        made.choose([chat], ["Yes", "No"])
        with pytest.raises(RuntimeError):
            made.choose([chat], ["Yes", "No"])


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "text",
                    "finish_reason",
                    "usage",
                    "completion_tokens",
                    "logprobs",
                    "token_logprobs",
                    "top_logprobs",
                    "token",
                    "logprob",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=20,
)


@hypothesis_settings(max_examples=400, deadline=None)
@given(JSON, st.lists(st.tuples(st.integers(0, 60), JSON), max_size=2))
def test_whatever_json_a_server_sends_is_an_answer_or_trouble(
    value: Any, changes: list[tuple[int, Any]]
) -> None:
    """Any value, and a good answer with parts of it replaced by any value."""
    good: Any = answer({"messages": [{"content": "x"}], "model": "m", "logprobs": True})
    places: list[tuple[Any, Any]] = []
    waiting = [good]
    while waiting:
        one = waiting.pop()
        for key in one if isinstance(one, dict) else range(len(one)):
            places.append((one, key))
            waiting += [one[key]] if isinstance(one[key], dict | list) else []
    for place, changed in changes:
        holder, key = places[place % len(places)]
        holder[key] = changed
    for data in (value, {"choices": [value]}, {"choices": [{"message": value, "logprobs": value}]}, good):
        try:
            said = read_answer(data)
        except ServerTrouble:
            continue
        assert isinstance(said.text, str)
        assert 0 <= said.tokens < 1 << 31
        assert all(math.isfinite(log) and log <= 1e-3 for log in (*said.logs, *said.top.values()))


@pytest.mark.parametrize(
    "kind", ["drip", "drip-head", "endless", "endless-head", "bomb", "large", "informed"]
)
def test_an_answer_without_end_is_one_failed_request(kind: str) -> None:
    """Byte by byte for ever, in the body or before it; 2 GB as fast as it goes; a packed one; a head without
    end."""
    with serving(lambda number, body: kind if "Question 3?" in str(body["messages"]) else "") as seen:
        found = answer_all(engine(seen, retries=0, timeout=3.0), asked(6))
        assert [k for k, a in found.items() if isinstance(a, Failure)] == ["3"]
        assert seen.sent < 64 << 20, "it was not read to its end"
