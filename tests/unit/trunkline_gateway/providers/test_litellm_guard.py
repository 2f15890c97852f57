"""What the SDK would fetch, and what a provider really answered. Whole requests: test_litellm.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.providers.litellm_guard import answered_status, link_in

LINKS = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", " ", "\t\n", "\x00"]), st.sampled_from(["http://", "HTTPS://", "hTTp:/"]), st.text()
    ),
)


@given(LINKS, st.sampled_from(["url", "image_url", "file_id", "file_data", "file", "source", "unheard_of"]))
def test_links_are_found_under_any_name_and_at_any_depth(link, name):
    assert link_in([{"role": "user", "content": [{"x": {name: link}}]}]) == name
    assert link_in([{"content": [{"x": {name: [[link]]}}]}]) == name


@given(LINKS, st.sampled_from(["text", "content", "arguments", "reasoning_content"]))
def test_words_may_say_what_they_like(words, name):
    assert link_in([{"role": "user", name: words}]) is None


@pytest.mark.parametrize("messages", [None, [], "http://x", [{"content": None, "n": 1}], [{"url": ""}]])
def test_nothing_to_fetch(messages):
    assert link_in(messages) is None


class Said(Exception):
    def __init__(self, status_code):
        super().__init__()
        self.status_code = status_code


def test_the_status_is_that_of_the_innermost_error_that_has_one():
    outer, inner, innermost = Said(401), Said(500), Said(400)
    assert answered_status(outer) is None
    outer.__context__, inner.__cause__, innermost.__context__ = inner, innermost, ValueError()
    assert answered_status(outer) == 400
    innermost.status_code = "400"
    assert answered_status(outer) == 500
    innermost.__context__ = inner
    assert answered_status(outer) == 500, "a circle has an end"
