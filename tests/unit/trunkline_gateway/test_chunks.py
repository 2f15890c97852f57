"""What one event means."""

import pytest

from trunkline_gateway.chunks import chunk_of, error_of, is_meaningful, look
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


def test_finishes_are_counted_per_choice():
    data = b'{"choices":[{"finish_reason":"stop"},{"finish_reason":null},{"finish_reason":"length"}]}'
    assert chunk_of(data).finishes == 2


@pytest.mark.parametrize("data", [b"{", b"[1]", b"null", b'{"choices":3}', b"\xff", b"[" * 100_000])
def test_what_is_not_a_chunk_is_an_error(data):
    assert chunk_of(data).error
    with pytest.raises(UpstreamError):
        look(data)


def test_errors_of_any_shape_have_a_message():
    assert error_of(b'{"message":"m","code":429}').code == 429
    assert error_of(b'"plain"').message == '"plain"'
    assert not chunk_of(b'{"error":null,"choices":[]}').error
