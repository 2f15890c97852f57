import pytest

from trunkline_kit.errors import InvalidRequest, Unsupported
from trunkline_worker.grammars import Kind, options_grammar, regex_grammar, response_grammar


@pytest.mark.parametrize("asked", [b"", b"null", b' {"type": "text"}'])
def test_text_is_held_to_nothing(asked):
    assert response_grammar(asked) is None


def test_json():
    anything = response_grammar(b'{"type":"json_object"}')
    assert anything is not None
    assert (anything.kind, anything.param) == (Kind.JSON_SCHEMA, "response_format")
    schema = b'{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"string"},"strict":true}}'
    made = response_grammar(schema)
    assert made is not None
    assert (made.text, made.strict) == ('{"type":"string"}', True)
    loose = response_grammar(b'{"type":"json_schema","json_schema":{"name":"a"}}')
    assert loose is not None
    assert not loose.strict


@pytest.mark.parametrize(
    ("asked", "param", "kind"),
    [
        (b"[", "response_format", InvalidRequest),
        (b"{}", "response_format", InvalidRequest),
        (b'{"type":"json_schema"}', "response_format.json_schema", InvalidRequest),
        (b'{"type":"json_schema","json_schema":{"schema":{}}}', "response_format", InvalidRequest),
        (b'{"type":"grammar"}', "response_format.type", Unsupported),
    ],
)
def test_what_is_wrong_is_named(asked, param, kind):
    with pytest.raises(kind) as refused:
        response_grammar(asked)
    assert refused.value.param == param


def test_regex_and_options():
    assert regex_grammar("a|b").text == "a|b"
    assert options_grammar(['say "hi"', "ä"]).text == 'start: "say \\"hi\\"" | "ä"\n'
    with pytest.raises(InvalidRequest, match="empty"):
        options_grammar(["a", ""])
    with pytest.raises(InvalidRequest, match="at most 262144"):
        regex_grammar("x" * 300_000)
