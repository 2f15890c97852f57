"""How answers and errors look in each dialect."""

import json

import pytest

from trunkline_gateway.manners import ANTHROPIC, COHERE, OPENAI, manner_at, manner_of
from trunkline_gateway.surface import Surface
from trunkline_kit.errors import Overloaded, RateLimited


def test_few_surfaces_are_of_another_dialect():
    assert [one for one in Surface if manner_of(one) is ANTHROPIC] == [Surface.MESSAGES, Surface.TOKEN_COUNT]
    assert [one for one in Surface if manner_of(one) is COHERE] == [Surface.RERANK]


@pytest.mark.parametrize(
    ("path", "manner"),
    [
        ("/v1/messages", ANTHROPIC),
        ("/v1/messages/count_tokens", ANTHROPIC),
        ("/v1/messagesx", OPENAI),
        ("/v1/rerank", COHERE),
        ("/v2/rerank", COHERE),
        ("/v1/moderations", OPENAI),
        ("/v1/chat/completions", OPENAI),
    ],
)
def test_errors_look_as_callers_of_that_path_expect(path, manner):
    assert manner_at(path) is manner


def test_an_error_of_anthropics_has_its_status_body_and_our_headers():
    found = ANTHROPIC.problem(Overloaded("busy", retry_after_s=2))
    headers = dict(found.headers)
    assert found.status == 529
    assert json.loads(found.body)["error"]["type"] == "overloaded_error"
    assert headers[b"retry-after"] == b"2"
    assert int(headers[b"content-length"]) == len(found.body)
    assert [name for name, _ in found.headers].count(b"content-length") == 1
    assert ANTHROPIC.problem(RateLimited("x")).status == 429


def test_an_error_of_coheres_has_its_message_and_our_code():
    found = COHERE.problem(RateLimited("slowly", retry_after_s=2, param="model"))
    assert found.status == 429
    assert json.loads(found.body) == {"message": "slowly", "code": "rate_limit_exceeded", "param": "model"}
    assert dict(found.headers)[b"content-length"] == b"%d" % len(found.body)
    assert dict(found.headers)[b"retry-after"] == b"2"


def test_streams_end_and_break_in_their_dialect():
    assert (OPENAI.end, ANTHROPIC.end) == (b"data: [DONE]\n\n", b"")
    assert ANTHROPIC.broken(RateLimited("x")).startswith(b'event: error\ndata: {"type":"error"')
    assert OPENAI.broken(RateLimited("x")).startswith(b'data: {"error"')
    assert ANTHROPIC.ping == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert ANTHROPIC.joined([b"event: a\n\n", b"event: b\n\n"]) == b"event: a\n\nevent: b\n\n"


def test_each_stream_of_responses_counts_for_itself():
    one, other = manner_of(Surface.RESPONSES), manner_of(Surface.RESPONSES)
    one.joined([b'event: x\ndata: {"type":"x","sequence_number":6}\n\n'])
    assert b'"sequence_number":7' in one.broken(Overloaded("busy"))
    assert b'"sequence_number":0' in other.broken(Overloaded("busy"))
    assert one.end == b""
