"""What one event means."""

import pytest

from trunkline_gateway.chunks import chunk_of, error_of, is_meaningful, lenient, look
from trunkline_gateway.usage import TOKENS_MAX
from trunkline_kit.errors import UpstreamError


def chat(delta, finish="null"):
    return b'{"choices":[{"index":0,"delta":%b,"finish_reason":%b}]}' % (delta, finish.encode())


@pytest.mark.parametrize(
    ("data", "meaningful"),
    [
        (chat(b'{"role":"assistant","content":""}'), False),
        (chat(b'{"role":"assistant"}'), False),
        (chat(b"{}"), False),
        (b'{"choices":[],"prompt_filter_results":[{}]}', False),
        (b'{"choices":[],"usage":{"prompt_tokens":1}}', False),
        (chat(b'{"content":"a"}'), True),
        (chat(b'{"reasoning_content":"a"}'), True),
        (chat(b'{"tool_calls":[{"index":0}]}'), True),
        (chat(b"{}", '"stop"'), True),
        (b'{"choices":[{"text":"a"}]}', True),
        (b'{"choices":[{"text":""}]}', False),
        (b'{"error":{"message":"x"}}', True),
    ],
)
def test_meaning(data, meaningful):
    assert is_meaningful(chunk_of(data)) is meaningful


def test_usage_on_its_own_is_told_from_usage_beside_text():
    assert chunk_of(b'{"choices":[],"usage":{"prompt_tokens":1}}').bare_usage
    beside = chunk_of(b'{"choices":[{"delta":{}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}')
    assert not beside.bare_usage
    assert (beside.usage.input_tokens, beside.usage.output_tokens) == (1, 2)
    assert chunk_of(b'{"choices":[],"usage":null}').usage is None


def test_choices_that_end_are_told_apart():
    data = (
        b'{"choices":[{"finish_reason":"stop"},{"index":1,"finish_reason":null},{"index":2,"finish_reason":"length"}]}'
    )
    assert chunk_of(data).finished == (0, 2)


@pytest.mark.parametrize("text", [rb"\ud83d", rb"\ude00", rb"\\\ud83d", b"\xf0\x9f", rb"\ud83d\ude00", rb"\\ud83d"])
def test_half_a_character_passes_as_it_came(text):
    data = chat(b'{"content":"%b"}' % text)
    chunk = chunk_of(data)
    assert (chunk.data, chunk.error) == (data, b"")
    assert is_meaningful(chunk)


def test_a_delta_of_another_shape_is_the_callers_to_understand():
    chunk = chunk_of(chat(b'"text"'))
    assert not chunk.error
    assert is_meaningful(chunk)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (b'{"prompt_tokens":12.0,"completion_tokens":3}', (12, 3)),
        (b'{"prompt_tokens":"many"}', None),
        (b"{}", None),
        (b'{"prompt_tokens":null,"completion_tokens":null}', None),
        (b'{"prompt_tokens":0,"completion_tokens":0}', (0, 0)),
        (b'{"prompt_tokens":1%b,"completion_tokens":-5}' % (b"0" * 17), (TOKENS_MAX, 0)),
    ],
)
def test_usage_of_any_shape_never_breaks_an_answer(usage, tokens):
    chunk = chunk_of(b'{"choices":[],"usage":%b}' % usage)
    assert not chunk.error
    assert chunk.bare_usage
    assert (chunk.usage and (chunk.usage.input_tokens, chunk.usage.output_tokens)) == tokens


@pytest.mark.parametrize("data", [b"{", b"[1]", b"null", b'{"choices":3}', b"\xff", b"[" * 100_000])
def test_what_is_not_a_chunk_is_malformed_and_means_nothing(data):
    chunk = chunk_of(data)
    assert chunk.malformed
    assert not chunk.data
    assert not is_meaningful(chunk)
    with pytest.raises(UpstreamError):
        look(data)


def test_errors_of_any_shape_have_a_message():
    assert error_of(b'{"message":"m","code":429}').code == 429
    assert error_of(b'"plain"').message == '"plain"'
    assert not chunk_of(b'{"error":null,"choices":[]}').error


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (rb'"\ud83d"', rb'"\ufffd"'),
        (rb'"\\ud83d"', rb'"\\ud83d"'),
        (rb'"\\\uD83D\n"', rb'"\\\ufffd\n"'),
        (rb'"\n\udC00"', rb'"\n\ufffd"'),
        (b'"\xf0\x9f"', '"\ufffd"'.encode()),
        (b'"plain"', b'"plain"'),
    ],
)
def test_only_what_cannot_be_text_is_replaced(data, expected):
    assert lenient(data) == expected
