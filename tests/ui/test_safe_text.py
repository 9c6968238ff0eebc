import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.ui.safe_text import marked, plain_label, visible

hostile = st.text(max_size=80) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        "![x](http://127.0.0.1:1/a.png)",
        "<img src=x onerror=alert(1)>",
        "</div><style>*{display:none}</style>",
        "\u202eevil",
        "a\u200bb",
    ]
)
spans = st.lists(
    st.builds(lambda a, b: {"reason": "r", "start": a, "end": b}, st.integers(-5, 90), st.integers(-5, 90)),
    max_size=4,
)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        assert attrs == []

    def handle_data(self, data: str) -> None:
        self.text += data


@given(hostile, spans)
def test_marked_text_holds_no_tag_but_mark_and_loses_nothing(text: str, where: list[dict[str, int]]) -> None:
    parser = Tags()
    parser.feed(marked(text, where))
    parser.close()
    assert set(parser.tags) <= {"mark"}
    assert parser.text == visible(text)


@given(hostile)
def test_invisible_signs_are_written_out(text: str) -> None:
    assert not re.search(r"[\u200b-\u200f\u202a-\u202e\u2066-\u2069]", visible(text))
    assert "\n" not in plain_label(text)


def test_labels_have_no_working_markdown() -> None:
    assert (
        plain_label("![a](b) **c** `d` $e$ :material/x:")
        == "\\!\\[a\\]\\(b\\) \\*\\*c\\*\\* \\`d\\` \\$e\\$ \\:\u2060material/x\\:"
    )
