"""Streams and whole answers stand for each other."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.relay.assembly import ended_cleanly, stream, whole

texts = st.text(max_size=20)
calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.text(min_size=1, max_size=5),
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": st.text(min_size=1, max_size=5), "arguments": texts}),
        }
    ),
    min_size=1,
    max_size=3,
)
messages = st.fixed_dictionaries({"role": st.just("assistant"), "content": texts}, optional={"tool_calls": calls})


def answer(found):
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": index, "message": message, "finish_reason": "stop"} for index, message in enumerate(found)
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }


@given(st.lists(messages, min_size=1, max_size=3))
def test_an_answer_replayed_as_a_stream_comes_together_again(found):
    body = answer(found)
    chunks = stream(msgspec.json.encode(body), usage=True)
    assert msgspec.json.decode(whole(chunks)) == body
    assert all(msgspec.json.decode(chunk)["usage"] is None for chunk in chunks[:-1])


@given(st.lists(texts, min_size=1, max_size=5))
def test_text_in_pieces_is_joined(pieces):
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces), {}]
    chunks = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}]}
        for delta in deltas
    ]
    body = msgspec.json.decode(whole([msgspec.json.encode(chunk) for chunk in chunks]))
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "".join(pieces)}
    assert body["choices"][0]["finish_reason"] == "stop"


def test_tool_call_fragments_are_joined_by_index():
    def chunk(*calls):
        delta = {"tool_calls": list(calls)}
        return msgspec.json.encode(
            {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        )

    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x'}}
    other = {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}
    body = msgspec.json.decode(whole([chunk(first), chunk(other, {"index": 0, "function": {"arguments": '":1}'}})]))
    made = body["choices"][0]["message"]["tool_calls"]
    assert [call["function"] for call in made] == [
        {"name": "f", "arguments": '{"x":1}'},
        {"name": "g", "arguments": ""},
    ]
    assert [call["id"] for call in made] == ["a", "b"]


def test_legacy_completions_too():
    body = {
        "id": "c",
        "object": "text_completion",
        "choices": [{"index": 0, "text": "ab", "logprobs": None, "finish_reason": "stop"}],
    }
    chunks = stream(msgspec.json.encode(body), usage=False)
    assert msgspec.json.decode(whole(chunks)) == body


def test_only_answers_that_ended_by_themselves_are_clean():
    def ended(reason):
        return ended_cleanly(msgspec.json.encode({"choices": [{"finish_reason": reason}]}))

    assert [ended(reason) for reason in ("stop", "tool_calls", "length", "content_filter", None)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert not ended_cleanly(b"[")


@pytest.mark.parametrize(
    "body", [b"{}", b'{"error":{"message":"no"}}', b'{"choices":[]}', b'{"data":[]}', b'{"results":[]}']
)
def test_an_answer_with_nothing_in_it_is_not_kept(body):
    assert not ended_cleanly(body)


def test_embeddings_have_no_ends_and_are_kept():
    assert ended_cleanly(b'{"object":"list","data":[{"index":0,"embedding":[0.5]}]}')
    assert ended_cleanly(b'{"id":"1","results":[{"index":0,"relevance_score":0.5}],"meta":{}}')


@pytest.mark.parametrize(
    "chunks",
    [
        [b'{"choices":[{"index":null}]}', b'{"choices":[{"index":0}]}'],
        [b'{"choices":[{"delta":{"content":"\xff"}}]}'],
        [b'{"choices":["text"]}'],
        [b"[]"],
    ],
)
def test_chunks_that_do_not_fit_together_are_not_kept(chunks):
    assert whole(chunks) is None


@pytest.mark.parametrize("body", [b"[]", b'{"choices":["text"]}', b"\xff"])
def test_an_answer_of_another_shape_is_no_stream(body):
    assert stream(body, usage=True) is None
