import json

from trunkline_gateway.dialects.canonical import Citation
from trunkline_gateway.dialects.chat_answers import encode_error
from trunkline_gateway.dialects.chat_stream import StreamEncoder
from trunkline_gateway.dialects.events import (
    AudioDelta,
    Begin,
    BlockEnd,
    CitationEvent,
    Finish,
    FinishReason,
    LogprobsEvent,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TokenLogprob,
    ToolCallBegin,
    ToolCallDelta,
    Usage,
)
from trunkline_gateway.dialects.frames import Frame, Head, wire
from trunkline_gateway.sse import DONE
from trunkline_kit.errors import UpstreamError


def deltas(*events, head=Head(id="c", model="m", created=5)):  # noqa: B008
    frames = StreamEncoder(head).encode([*events])
    return [choice["delta"] for frame in frames for choice in json.loads(frame.data)["choices"]]


def test_a_chunk():
    encoder = StreamEncoder(Head(model="house"))
    first, second = encoder.encode([Begin(id="c", model="m", created=5), TextDelta("a"), TextDelta("b")])
    assert json.loads(first.data) == {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 5,
        "model": "house",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}],
        "usage": None,
    }
    assert json.loads(second.data)["choices"][0]["delta"] == {"content": "b"}
    assert encoder.end() == [Frame(DONE)]


def test_every_choice_has_its_role_once():
    assert [
        ("role" in delta) for delta in deltas(TextDelta("a"), TextDelta("b", 1), TextDelta("c"), TextDelta("d", 1))
    ] == [
        True,
        True,
        False,
        False,
    ]


def test_usage_only_where_it_is_wanted():
    encoder = StreamEncoder(Head(usage_in_stream=False))
    (chunk,) = encoder.encode([TextDelta("a"), Usage(input_tokens=1)])
    assert "usage" not in json.loads(chunk.data)
    (bare,) = StreamEncoder(Head()).encode([Usage(input_tokens=1, cache_read_tokens=2)])
    assert json.loads(bare.data)["choices"] == []
    assert json.loads(bare.data)["usage"]["prompt_tokens"] == 3


def test_parallel_calls_keep_their_indexes():
    found = deltas(
        ToolCallBegin(0, "a", "f", 0, 4),
        ToolCallBegin(1, "b", "g", 0, 5, "sig"),
        ToolCallDelta("{", 0, 5),
        ToolCallDelta("{}", 0, 4),
        ToolCallDelta("}", 0, 5),
    )
    assert [delta["tool_calls"][0]["index"] for delta in found] == [0, 1, 1, 0, 1]
    assert found[1]["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "sig"}}


def test_proofs_and_citations_come_at_the_end_of_their_block():
    cited = Citation(url="u", title="t")
    found = deltas(
        ReasoningDelta("t1"),
        ReasoningDelta("t2", signature="s", origin="anthropic"),
        BlockEnd(0, 0),
        TextDelta("ab", 0, 1),
        BlockEnd(0, 1),
        CitationEvent(cited, 0, 2),
        CitationEvent(Citation(title="no url"), 0, 2),
        TextDelta("cde", 0, 2),
        Finish(FinishReason.STOP),
    )
    assert found[2] == {"thinking_blocks": [{"type": "thinking", "thinking": "t1t2", "signature": "s"}]}
    assert found[5]["annotations"][0]["url_citation"] == {"url": "u", "title": "t", "start_index": 2, "end_index": 5}
    assert found[6] == {}
    assert len(found) == 7


def test_thoughts_without_a_proof_have_no_blocks():
    assert deltas(ReasoningDelta("t"), BlockEnd(0, 0)) == [{"role": "assistant", "reasoning_content": "t"}]
    redacted = deltas(ReasoningDelta(encrypted="d", origin="gemini"), BlockEnd(0, 0))
    assert redacted == [{"thinking_blocks": [{"type": "redacted_thinking", "data": "trunkline.gemini.encrypted.d"}]}]


def test_the_rest():
    assert deltas(RefusalDelta("no")) == [{"role": "assistant", "refusal": "no"}]
    assert deltas(AudioDelta("AA", "hi", id="s", expires_at=9))[0]["audio"] == {
        "id": "s",
        "data": "AA",
        "transcript": "hi",
        "expires_at": 9,
    }
    (chunk,) = StreamEncoder(Head()).encode([LogprobsEvent((TokenLogprob("a", -1.0, (97,)),))])
    assert json.loads(chunk.data)["choices"][0]["logprobs"] == {
        "content": [{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}],
        "refusal": None,
    }


def test_a_break_is_said_and_not_ended():
    error = UpstreamError("gone")
    frames = StreamEncoder(Head()).broken(error)
    assert [frame.data for frame in frames] == [encode_error(error)]
    assert wire(frames).startswith(b'data: {"error":')
