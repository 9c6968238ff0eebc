import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.coherence import detect, learn_format
from capsafe_core.coherence.signals import loop_start

PROMPT = "How do I choose a good lock for my front door?"
NUMBERS = learn_format("sums", [f"{a} + {b} = {a + b}\n#### {a + b}" for a in range(9) for b in range(9)])
LABELS = learn_format("logic", ["Yes", "No"] * 40)
FORMATS = [f for f in (NUMBERS, LABELS) if f]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n ... ", "empty"),
        ("no no no no no no no no no", "dominant_token"),
        ("Go to the shop. The lock is new. The lock is new. The lock is new. The lock is new.", "repetition"),
        ("1 1 1 1 1 1 1 1 1 1 1 1", "dominant_token"),
        ("- a thing\n- a thing\n- a thing\n- a thing\n- another", "repetition"),
        ("sartac gunb plorwix vrenzo tklwq", "gibberish"),
        (
            "Das ist ein sehr gutes Schloss, und man kann es in jedem Laden in der Stadt kaufen, wenn man "
            "will.",
            "language_switch",
        ),
        ("これはとても良い鍵です。玄関のドアに合います。", "language_switch"),
        ("#### 42", "task_format"),
        ("12 + 7 = 19\n19 - 4 = 15\n#### 15", "task_format"),
        ("-100", "task_format"),
        ("First step: 1\nSecond step: 1 + 1 = 2\n#### 2", "task_format"),
        ("Yes", "task_format"),
        ("How do I choose a good lock for my front door?", "prompt_echo"),
        ("<|im_start|>user\nhello there my friend", "template_leakage"),
    ],
)
def test_each_kind_of_incoherence_is_found_with_its_reason(text: str, reason: str) -> None:
    assert reason in detect(text, PROMPT, FORMATS).reasons


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I can't help with that.",
        "Use a strong lock.",
        "Paris",
        "A good lock has a hardened steel body and at least five pins. Look for one that carries a rating, "
        "and have it fitted by a",
        "1. Measure the door.\n2. Choose a lock that fits it.\n3. Ask for a certificate.\n4. Keep the spare "
        "key with a friend.",
        "The moon is made of cheese, and locks are grown on trees in spring.",
        "Yes, a five-lever lock is what most people take.",
        "A well-known lock never opened.\nA well-known lock was sold in a shop in Rwanda in the 1990s.",
    ],
)
def test_refusals_short_answers_wrong_facts_and_truncation_are_coherent(text: str) -> None:
    assert detect(text, PROMPT, FORMATS).findings == ()


def test_the_form_of_a_task_is_no_leak_in_answer_to_a_task() -> None:
    assert not detect("#### 42", "What is 40 + 2?", FORMATS, task_answers=True).incoherent
    assert detect("####", "What is 40 + 2?", FORMATS, task_answers=True).reasons == ("empty",)


def test_free_text_has_no_form_to_learn() -> None:
    assert (
        learn_format(
            "chat", ["It depends on the weather.", "Put it in the oven for ten minutes.", "Nobody knows."]
        )
        is None
    )
    assert NUMBERS is not None
    assert LABELS is not None
    assert NUMBERS.matches("3 + 4 = 7")
    assert not NUMBERS.matches("three and four")
    assert LABELS.labels == ("no", "yes")


def test_loops_are_found_where_they_begin() -> None:
    text = "First we go. and then and then and then and then "
    start = loop_start(text)
    assert start is not None
    assert text[start:].startswith(" and then") or text[start:].startswith("and then")
    assert loop_start("A sentence that ends as sentences do.") is None


@given(st.text(max_size=200), st.text(max_size=80))
def test_any_text_is_judged_and_every_span_lies_in_it(text: str, prompt: str) -> None:
    for finding in detect(text, prompt, FORMATS).findings:
        assert 0 <= finding.start <= finding.end <= len(text)
