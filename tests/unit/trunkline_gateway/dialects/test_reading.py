import msgspec
import pytest
from msgspec import Raw

from trunkline_gateway.dialects.chat_wire import Body
from trunkline_gateway.dialects.messages_wire import Tool
from trunkline_gateway.dialects.reading import answered, compact, extras_of, present, read
from trunkline_kit.errors import InvalidRequest, Unsupported, UpstreamError

body_decoder = msgspec.json.Decoder(Body)
tool_decoder = msgspec.json.Decoder(Tool)


@pytest.mark.parametrize(
    ("body", "kind", "param"),
    [
        (b"{", InvalidRequest, None),
        (b"[]", InvalidRequest, None),
        (b'"\xff"', InvalidRequest, None),
        (b"[" * 100_000, InvalidRequest, None),
        (b'{"model":"m"}', InvalidRequest, "messages"),
        (b'{"model":"m","messages":[]}', InvalidRequest, "messages"),
        (b'{"model":3,"messages":[]}', InvalidRequest, "model"),
        (b'{"model":"m","messages":[{"role":"critic"}]}', InvalidRequest, "messages[0].role"),
        (b'{"model":"m","messages":[{"role":"user"}]}', InvalidRequest, "messages[0].content"),
        (b'{"model":"m","messages":[{"role":"user","content":"x","mood":1}]}', Unsupported, "messages[0].mood"),
    ],
)
def test_every_misfit_has_its_place(body, kind, param):
    with pytest.raises(InvalidRequest) as refused:
        read(body, body_decoder)
    assert (type(refused.value), refused.value.param) == (kind, param)


def test_places_inside_of_places():
    with pytest.raises(InvalidRequest) as refused:
        read(b'{"name":3}', tool_decoder, "tools[1]")
    assert refused.value.param == "tools[1].name"
    assert "tools[1].name" in refused.value.message
    with pytest.raises(InvalidRequest) as whole:
        read(b"[]", tool_decoder, "tools[1]")
    assert whole.value.param == "tools[1]"
    with pytest.raises(Unsupported) as unknown:
        read(b'{"name":"f","colour":1}', tool_decoder, "tools[1]")
    assert unknown.value.param == "tools[1].colour"


def test_extras_are_what_is_not_known_and_not_null():
    found = extras_of(b'{"a":1,"b":null,"c":[2]}', frozenset({"a"}))
    assert [(extra.name, bytes(extra.raw)) for extra in found] == [("c", b"[2]")]
    assert extras_of(b'{"a":1}', frozenset({"a", "z"})) == ()


def test_presence():
    assert present(Raw(b"")) is None
    assert present(Raw(b"null")) is None
    assert present(Raw(b"0")) is not None


def test_compact_json():
    assert compact(Raw(b'{ "a" : [ 1.50 ] }')) == '{"a":[1.50]}'


def test_a_provider_s_json():
    decoder = msgspec.json.Decoder(dict[str, str])
    assert answered(b'{"a":"\\ud83d"}', decoder) == {"a": "\ufffd"}
    with pytest.raises(UpstreamError):
        answered(b'{"a":1}', decoder)
