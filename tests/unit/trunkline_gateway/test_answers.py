"""A worker's steps in OpenAI's shapes."""

import base64
import struct

import msgspec

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline_gateway.answers import Collected, Heading, Writer, embedding_list, usage_from
from trunkline_gateway.surface import Surface
from trunkline_gateway.usage import usage_of

HEAD = Heading(id="chatcmpl-1", created=7, model="m", fingerprint="rev")


def writer(surface=Surface.CHAT, **options):
    return Writer(surface, HEAD, usage_in_stream=options.get("usage", False), top_logprobs=options.get("top", False))


def test_a_chunk_has_everything_a_client_looks_for():
    chunk = msgspec.json.decode(writer().chunk("hi", (), None))
    assert chunk == {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "hi"}, "logprobs": None, "finish_reason": None}],
        "system_fingerprint": "rev",
    }


def test_usage_is_null_in_chunks_only_when_asked_for():
    assert "usage" not in msgspec.json.decode(writer().chunk("a", (), None))
    assert msgspec.json.decode(writer(usage=True).chunk("a", (), None))["usage"] is None
    last = msgspec.json.decode(writer(usage=True).usage_chunk(usage_of(1, 2)))
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 3)


def test_the_last_chunk_has_an_empty_delta():
    [choice] = msgspec.json.decode(writer().chunk("", (), "stop"))["choices"]
    assert (choice["delta"], choice["finish_reason"]) == ({}, "stop")


def test_legacy_logprobs_count_characters_over_chunks():
    steps = writer(Surface.COMPLETION, top=True)
    one, two = (pb.TokenLogprob(token=token, logprob=-0.5, utf8=token.encode()) for token in ("né", "x"))
    offsets = [
        msgspec.json.decode(steps.chunk(item.token, [item], None))["choices"][0]["logprobs"]["text_offset"]
        for item in (one, two)
    ]
    assert offsets == [[0], [2]]


def test_a_call_in_pieces_and_whole():
    pieces = [
        pb.ToolCallDelta(id="c1", name="f", arguments=""),
        pb.ToolCallDelta(arguments='{"a": '),
        pb.ToolCallDelta(arguments="1}"),
    ]
    first, second = (msgspec.json.decode(writer().call_chunk([piece], 2))["choices"][0] for piece in pieces[:2])
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    assert (first["index"], first["delta"]) == (2, {"tool_calls": [call]})
    assert second["delta"] == {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": '}}]}
    answer = Collected()
    for piece in pieces:
        answer.add(pb.GenerateResponse(tool_calls=[piece], finish_reason=pb.FINISH_REASON_TOOL_CALLS))
    [choice] = msgspec.json.decode(writer().whole([answer], usage_of(1, 2)))["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "tool_calls")
    made = {"id": "c1", "function": {"name": "f", "arguments": '{"a": 1}'}, "type": "function"}
    assert choice["message"]["tool_calls"] == [made]


def test_several_answers_are_in_order():
    answers = [Collected(), Collected()]
    for index, text in enumerate(("a", "b")):
        answers[index].add(pb.GenerateResponse(text=text, finish_reason=pb.FINISH_REASON_STOP))
    for surface in (Surface.CHAT, Surface.COMPLETION):
        choices = msgspec.json.decode(writer(surface).whole(answers, usage_of(1, 2)))["choices"]
        assert [choice["index"] for choice in choices] == [0, 1]
        assert "tool_calls" not in choices[0].get("message", {})


def test_counts_are_the_workers():
    usage = usage_from(pb.Usage(prompt_tokens=3, completion_tokens=4, cached_tokens=2))
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.total_tokens) == (3, 4, 2, 7)


def test_vectors_as_numbers_and_as_base64():
    raw = struct.pack("<2f", 1.5, -2.0)
    reply = pb.EmbedResponse(embeddings=[pb.Embedding(vector_f32=raw)], prompt_tokens=3)
    numbers = msgspec.json.decode(embedding_list(reply, "e", as_base64=False))
    assert numbers["data"] == [{"object": "embedding", "index": 0, "embedding": [1.5, -2.0]}]
    assert numbers["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    text = msgspec.json.decode(embedding_list(reply, "e", as_base64=True))["data"][0]["embedding"]
    assert base64.b64decode(text) == raw
