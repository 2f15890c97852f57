"""Same request, same name; any other request, another."""

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from trunkline_gateway.fingerprint import IRRELEVANT, fingerprint
from trunkline_gateway.plan import Target
from trunkline_gateway.surface import Surface

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(st.text(max_size=8).filter(lambda name: name not in IRRELEVANT), plain, max_size=5)


def shuffled(value):
    """The same value with every object's members the other way round."""
    if isinstance(value, dict):
        return {name: shuffled(item) for name, item in reversed(value.items())}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


def mark(body, surface=Surface.CHAT, model="m", targets=()):
    return fingerprint(surface, msgspec.json.encode(body), model, targets)


@given(bodies)
def test_order_and_what_is_irrelevant_do_not_matter(body):
    assert mark(body) == mark(shuffled(body)) == mark({**body, "stream": True, "user": "u", "metadata": {"a": 1}})


@given(bodies, bodies)
def test_any_difference_matters(one, other):
    assume(msgspec.json.encode(one, order="sorted") != msgspec.json.encode(other, order="sorted"))
    assert mark(one) != mark(other)


@given(bodies)
def test_who_answers_and_what_was_asked_matter(body):
    marks = {
        mark(body),
        mark(body, surface=Surface.COMPLETION),
        mark(body, model="n"),
        mark(body, targets=[Target("m", "p", "x")]),
        mark(body, targets=[Target("m", "p", "y")]),
    }
    assert len(marks) == 5


def test_whitespace_does_not_matter_and_rubbish_has_no_name():
    body = b'{"a": [1, 2], "b": {"c": 1}}'
    assert fingerprint(Surface.CHAT, body, "m", ()) == fingerprint(Surface.CHAT, body.replace(b" ", b""), "m", ())
    assert fingerprint(Surface.CHAT, b"[", "m", ()) is None
