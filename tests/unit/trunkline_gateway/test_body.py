"""The caller's bytes survive; errors name the field."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.body import SPLICED_BYTES, Spliced, decode, members_of, rebuilt
from trunkline_gateway.openai_types import ChatControl
from trunkline_kit.errors import InvalidRequest

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
bodies = st.dictionaries(st.text(), values, max_size=6)


@given(bodies, st.text(), st.booleans())
def test_only_the_model_and_the_usage_option_change(body, model, ask_usage):
    options = body.get("stream_options")
    if ask_usage and not isinstance(options, dict | None):
        return
    out = msgspec.json.decode(rebuilt(msgspec.json.encode(body), model, ask_usage=ask_usage))
    expected = {**body, "model": model}
    if ask_usage:
        expected["stream_options"] = {**(options or {}), "include_usage": True}
    assert out == expected


def test_values_keep_their_spelling_and_order():
    body = b' { "b" : 1.50e0 , "model":"x","a":"\\u00e9" , "model" : "y" } '
    assert rebuilt(body, "z", ask_usage=False) == b'{"b":1.50e0,"model":"z","a":"\\u00e9"}'


@given(st.dictionaries(st.text(), values | st.integers(0, 300_000).map("x".__mul__), max_size=6))
def test_a_large_body_is_the_same_in_pieces(body):
    members = members_of(msgspec.json.encode(body))
    spliced = Spliced(members)
    slices = list(spliced.slices())
    assert b"".join(slices) == msgspec.json.encode(members)
    assert spliced.size_bytes == sum(map(len, slices))
    assert all(0 < len(piece) <= SPLICED_BYTES for piece in slices)


def test_what_is_large_in_it_is_not_copied():
    raw = members_of(msgspec.json.encode({"model": "x", "input": "y" * SPLICED_BYTES}))["input"]
    _, large, rest, _ = Spliced({"model": msgspec.Raw(b'"z"'), "input": raw}).slices()
    assert large.obj is raw
    assert rest.obj is raw


def test_only_a_large_body_is_sent_in_pieces():
    small, large = ({"model": "x", "input": "y" * size} for size in (10, SPLICED_BYTES))
    assert isinstance(rebuilt(msgspec.json.encode(small), "z", ask_usage=False), bytes)
    assert isinstance(rebuilt(msgspec.json.encode(large), "z", ask_usage=False), Spliced)


@given(st.binary(max_size=50))
def test_nothing_but_invalid_request_comes_of_rubbish(raw):
    with contextlib.suppress(InvalidRequest):
        members_of(raw)
        decode(raw, msgspec.json.Decoder(ChatControl))


@pytest.mark.parametrize(
    ("body", "param", "text"),
    [
        (b"{}", "model", "missing required parameter: model"),
        (b'{"model":1}', "model", "wrong value for model: expected `str`, got `int`"),
        (
            b'{"model":"x","messages":[1],"stream_options":{"include_usage":"y"}}',
            "stream_options.include_usage",
            "wrong",
        ),
        (b"7", None, "must be a JSON object"),
    ],
)
def test_errors_name_the_field(body, param, text):
    with pytest.raises(InvalidRequest, match=text) as caught:
        decode(body, msgspec.json.Decoder(ChatControl))
    assert caught.value.param == param


def test_text_that_is_no_text_is_refused_also_where_we_do_not_look():
    with pytest.raises(InvalidRequest, match="not valid JSON"):
        decode(b'{"model":"m","messages":[{"content":"\xff"}]}', msgspec.json.Decoder(ChatControl))
    decode('{"model":"m","messages":[{"content":"ÿ"}]}'.encode(), msgspec.json.Decoder(ChatControl))


def test_a_server_that_wants_it_otherwise_gets_it_so():
    def adapt(members):
        members["max_tokens"] = members.pop("max_completion_tokens")

    body = b'{"model":"m","max_completion_tokens": 5,"x":[1, 2]}'
    assert rebuilt(body, "real", ask_usage=False, adapt=adapt) == b'{"model":"real","x":[1, 2],"max_tokens":5}'
