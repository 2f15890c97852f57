"""The law of translation: a stream, cut anywhere, is in the client's dialect what the whole answer is.

Providers' answers are written here twice by hand, whole and as streams, and clients' streams are put together by hand:
neither side trusts the code under test.
"""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.dialects import matrix
from trunkline_gateway.dialects.frames import Frame, Head, wire
from trunkline_gateway.sse import DONE, SseParser

HEAD = Head(id="resp_1", model="house-model", created=1_700_000_000)
BODY = b'{"model":"house-model","input":"hi"}'

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
names = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
arguments = st.dictionaries(
    names, st.one_of(texts, st.integers(-5, 5), st.none(), st.lists(texts, max_size=2)), max_size=3
)


@st.composite
def answers(draw):
    """Thoughts, text and tool calls, and how many tokens they took."""
    calls = [(draw(names), draw(arguments)) for _ in range(draw(st.integers(0, 3)))]
    ends = ["tool_calls"] if calls else ["stop", "length"]
    return {
        "thought": draw(st.one_of(st.just(""), texts)),
        "text": draw(texts if not calls else st.one_of(st.just(""), texts)),
        "calls": [(f"call_{i}", name, args) for i, (name, args) in enumerate(calls)],
        "finish": draw(st.sampled_from(ends)),
        "usage": (draw(st.integers(0, 900)), draw(st.integers(0, 90)), draw(st.integers(1, 500))),
    }


@st.composite
def cuts(draw, text):
    """A string in pieces."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[a:b] for a, b in pairwise([0, *places, len(text)])]


@st.composite
def streamed_by_openai(draw, answer):
    def chunk(delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "chatcmpl-9", "created": 1_700_000_000, "model": "gpt", "choices": [choice], "usage": None}

    chunks = [chunk({"role": "assistant", "content": ""})]
    chunks += [chunk({"reasoning_content": piece}) for piece in draw(cuts(answer["thought"])) if answer["thought"]]
    chunks += [chunk({"content": piece}) for piece in draw(cuts(answer["text"]))]
    waiting = []
    for index, (call_id, name, args) in enumerate(answer["calls"]):
        begin = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        pieces = draw(cuts(json.dumps(args)))
        waiting.append([begin, *({"index": index, "function": {"arguments": piece}} for piece in pieces)])
    while any(waiting):
        begun = next((i for i, pieces in enumerate(waiting) if pieces and "id" in pieces[0]), len(waiting))
        line = draw(st.sampled_from([i for i, pieces in enumerate(waiting[: begun + 1]) if pieces]))
        chunks.append(chunk({"tool_calls": [waiting[line].pop(0)]}))
    chunks.append(chunk({}, answer["finish"]))
    chunks.append({**chunk({}), "choices": [], "usage": openai_usage(answer)})
    return b"".join(b"data: %b\n\n" % json.dumps(piece).encode() for piece in chunks) + b"data: [DONE]\n\n"


def openai_usage(answer):
    uncached, cached, output = answer["usage"]
    return {
        "prompt_tokens": uncached + cached,
        "completion_tokens": output,
        "total_tokens": uncached + cached + output,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def whole_by_openai(answer):
    message = {"role": "assistant", "content": answer["text"] or None}
    if answer["thought"]:
        message["reasoning_content"] = answer["thought"]
    if answer["calls"]:
        message["tool_calls"] = [
            {"id": i, "type": "function", "function": {"name": name, "arguments": json.dumps(args)}}
            for i, name, args in answer["calls"]
        ]
    choice = {"index": 0, "message": message, "finish_reason": answer["finish"]}
    whole = {"id": "chatcmpl-9", "created": 1_700_000_000, "model": "gpt", "choices": [choice]}
    return json.dumps({**whole, "usage": openai_usage(answer)}).encode()


STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def anthropic_blocks(answer):
    blocks = []
    if answer["thought"]:
        blocks.append({"type": "thinking", "thinking": answer["thought"], "signature": "sig+/="})
    if answer["text"]:
        blocks.append({"type": "text", "text": answer["text"]})
    return blocks + [{"type": "tool_use", "id": i, "name": name, "input": args} for i, name, args in answer["calls"]]


def anthropic_usage(answer):
    uncached, cached, output = answer["usage"]
    return {"input_tokens": uncached, "cache_read_input_tokens": cached, "output_tokens": output}


def whole_by_anthropic(answer):
    whole = {"id": "msg_9", "type": "message", "role": "assistant", "model": "claude", "stop_sequence": None}
    whole |= {"content": anthropic_blocks(answer), "stop_reason": STOP_REASONS[answer["finish"]]}
    return json.dumps({**whole, "usage": anthropic_usage(answer)}).encode()


@st.composite
def streamed_by_anthropic(draw, answer):
    message = json.loads(whole_by_anthropic(answer)) | {"content": [], "stop_reason": None}
    message["usage"] = {**anthropic_usage(answer), "output_tokens": 1}
    events = [{"type": "message_start", "message": message}, {"type": "ping"}]
    for index, block in enumerate(anthropic_blocks(answer)):
        start, deltas = draw(anthropic_deltas(block))
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    end = {"stop_reason": STOP_REASONS[answer["finish"]], "stop_sequence": None}
    used = {"output_tokens": answer["usage"][2]}
    events += [{"type": "message_delta", "delta": end, "usage": used}, {"type": "message_stop"}]
    return b"".join(b"event: %b\ndata: %b\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


@st.composite
def anthropic_deltas(draw, block):
    match block["type"]:
        case "text":
            pieces = draw(cuts(block["text"]))
            return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces]
        case "thinking":
            pieces = draw(cuts(block["thinking"]))
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed]
        case _:
            pieces = draw(cuts(json.dumps(block["input"]))) if block["input"] else [""]
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


GEMINI_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}


def gemini_parts(answer):
    """Signed as Gemini signs: the first of several calls, or the text."""
    parts = [{"text": answer["thought"], "thought": True}] if answer["thought"] else []
    parts += [{"text": answer["text"]}] if answer["text"] else []
    calls = [{"functionCall": {"id": i, "name": name, "args": args}} for i, name, args in answer["calls"]]
    last = calls[0] if calls else parts[-1]
    last["thoughtSignature"] = "c2ln+/=="
    return parts + calls


def gemini_answer(answer, parts, finish=None):
    uncached, cached, output = answer["usage"]
    candidate = {"content": {"parts": parts, "role": "model"}, "index": 0}
    usage = {"promptTokenCount": uncached + cached, "cachedContentTokenCount": cached}
    if finish:
        candidate["finishReason"] = finish
        candidate["citationMetadata"] = {
            "citationSources": [{"startIndex": 0, "endIndex": 9, "uri": "https://e.example"}]
        }
        thoughts = min(output, 3) if answer["thought"] else 0
        usage |= {"candidatesTokenCount": output - thoughts, "thoughtsTokenCount": thoughts}
    meta = {"responseId": "r9", "modelVersion": "gemini", "usageMetadata": usage}
    return {"candidates": [candidate], **meta}


def whole_by_gemini(answer):
    return json.dumps(gemini_answer(answer, gemini_parts(answer), GEMINI_REASONS[answer["finish"]])).encode()


@st.composite
def streamed_by_gemini(draw, answer):
    """Text in pieces, its signature behind it; calls in one piece; the end alone, or with the last part."""
    pieces = []
    for part in gemini_parts(answer):
        if "functionCall" in part:
            pieces.append(part)
            continue
        signature = part.pop("thoughtSignature", None)
        pieces += [{**part, "text": piece} for piece in draw(cuts(part["text"])) if piece]
        pieces += [{"text": "", "thoughtSignature": signature}] if signature else []
    reason = GEMINI_REASONS[answer["finish"]]
    last = [pieces.pop()] if draw(st.booleans()) else [{"text": ""}]
    events = [gemini_answer(answer, [piece]) for piece in pieces] + [gemini_answer(answer, last, reason)]
    return b"".join(b"data: %b\r\n\r\n" % json.dumps(event).encode() for event in events)


BEDROCK_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
WEB = {"title": "t", "sourceContent": [{"text": "q"}], "location": {"web": {"url": "https://e.example"}}}


def bedrock_usage(answer):
    uncached, cached, output = answer["usage"]
    return {"inputTokens": uncached, "cacheReadInputTokens": cached, "outputTokens": output}


def bedrock_blocks(answer):
    """The text is cited."""
    signed = {"text": answer["thought"], "signature": "sig+/="}
    blocks = [{"reasoningContent": {"reasoningText": signed}}] if answer["thought"] else []
    if answer["text"]:
        blocks.append({"citationsContent": {"content": [{"text": answer["text"]}], "citations": [WEB]}})
    return blocks + [{"toolUse": {"toolUseId": i, "name": name, "input": args}} for i, name, args in answer["calls"]]


def whole_by_bedrock(answer):
    message = {"role": "assistant", "content": bedrock_blocks(answer)}
    whole = {"output": {"message": message}, "stopReason": BEDROCK_REASONS[answer["finish"]]}
    return json.dumps({**whole, "usage": bedrock_usage(answer), "metrics": {"latencyMs": 1}}).encode()


@st.composite
def bedrock_messages(draw, answer):
    """Only calls say that they begin."""
    found = [{"messageStart": {"role": "assistant"}}]
    for index, block in enumerate(bedrock_blocks(answer)):
        start, deltas = None, []
        if "reasoningContent" in block:
            deltas = [{"reasoningContent": {"text": piece}} for piece in draw(cuts(answer["thought"]))]
            deltas.append({"reasoningContent": {"signature": "sig+/="}})
        elif "citationsContent" in block:
            deltas = [*({"text": piece} for piece in draw(cuts(answer["text"]))), {"citation": WEB}]
        else:
            start = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
            text = json.dumps(block["toolUse"]["input"]) if block["toolUse"]["input"] else ""
            deltas = [{"toolUse": {"input": piece}} for piece in draw(cuts(text))]
        found += [{"contentBlockStart": {"contentBlockIndex": index, "start": {"toolUse": start}}}] if start else []
        found += [{"contentBlockDelta": {"contentBlockIndex": index, "delta": delta, "p": "ab"}} for delta in deltas]
        found.append({"contentBlockStop": {"contentBlockIndex": index}})
    found.append({"messageStop": {"stopReason": BEDROCK_REASONS[answer["finish"]]}})
    return [*found, {"metadata": {"usage": bedrock_usage(answer), "metrics": {"latencyMs": 1}}}]


@st.composite
def streamed_by_bedrock(draw, answer):
    """As server-sent events: its own frames are taken apart elsewhere."""
    return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in draw(bedrock_messages(answer)))


COHERE_REASONS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}


def cohere_end(answer):
    uncached, cached, output = answer["usage"]
    billed = {"input_tokens": uncached + cached, "output_tokens": output}
    usage = {"billed_units": billed, "tokens": {"input_tokens": 900.0, "output_tokens": 9.0}, "cached_tokens": cached}
    return {"finish_reason": COHERE_REASONS[answer["finish"]], "usage": usage}


def cohere_message(answer):
    """Before calls, the text is the plan of them."""
    contents = [{"type": "thinking", "thinking": answer["thought"]}] if answer["thought"] else []
    message = {"role": "assistant", "content": contents}
    if answer["calls"]:
        calls = [{"id": i, "function": {"name": name, "arguments": json.dumps(a)}} for i, name, a in answer["calls"]]
        return {**message, "tool_plan": answer["text"], "tool_calls": calls}
    contents.append({"type": "text", "text": answer["text"]})
    return message


def whole_by_cohere(answer):
    return json.dumps({"id": "c9", "message": cohere_message(answer), **cohere_end(answer)}).encode()


@st.composite
def streamed_by_cohere(draw, answer):
    def event(kind, index=None, **message):
        return (
            {"type": kind, "index": index, "delta": {"message": message}}
            if index is not None
            else {
                "type": kind,
                "delta": {"message": message},
            }
        )

    message = cohere_message(answer)
    events = [{"type": "message-start", "id": "c9", "delta": {"message": {"role": "assistant", "content": []}}}]
    for index, content in enumerate(message["content"]):
        kind = content["type"]
        events.append(event("content-start", index, content={"type": kind, kind: ""}))
        events += [event("content-delta", index, content={kind: piece}) for piece in draw(cuts(content[kind]))]
        events.append({"type": "content-end", "index": index})
    if "tool_plan" in message:
        events += [event("tool-plan-delta", tool_plan=piece) for piece in draw(cuts(message["tool_plan"]))]
    for index, call in enumerate(message.get("tool_calls", ())):
        begun = {"id": call["id"], "type": "function", "function": {**call["function"], "arguments": ""}}
        events.append(event("tool-call-start", index, tool_calls=begun))
        for piece in draw(cuts(call["function"]["arguments"])):
            events.append(event("tool-call-delta", index, tool_calls={"function": {"arguments": piece}}))
        events.append({"type": "tool-call-end", "index": index})
    events.append({"type": "message-end", "id": "c9", "delta": cohere_end(answer)})
    data = b"".join(b"event: %b\ndata: %b\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)
    return data + draw(st.sampled_from([b"", b"data: [DONE]\n\n"]))


def chat_whole(frames):
    """A chat stream, put together."""
    assert frames[-1].data == DONE
    message, finish, usage = {"role": "assistant", "content": None, "refusal": None}, [], []
    for chunk in map(loads, frames[:-1]):
        usage += [chunk["usage"]] if chunk["usage"] else []
        for choice in chunk["choices"]:
            assert not finish, "said something after its end"
            finish += [choice["finish_reason"]] if choice["finish_reason"] else []
            for name, value in choice["delta"].items():
                join(message, name, value)
    assert len(usage) == 1
    assert len(finish) == 1
    for call in message.get("tool_calls", ()):
        del call["index"]
    return {"message": message, "finish_reason": finish[0], "usage": usage[0]}


def join(message, name, value):
    if name == "role":
        return
    if name == "tool_calls":
        calls = message.setdefault("tool_calls", [])
        for piece in value:
            if piece["index"] == len(calls):
                calls.append({**piece, "function": {"arguments": "", **piece["function"]}})
            else:
                calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    elif isinstance(value, str):
        message[name] = (message.get(name) or "") + value
    else:
        message[name] = message.get(name, []) + value


def messages_whole(frames):
    """A Messages stream, put together; its order is checked."""
    message, blocks, open_index, inputs = None, [], None, {}
    events = [(frame.name, loads(frame)) for frame in frames]
    assert [name for name, _ in events] == [event["type"] for _, event in events]
    assert events[0][0] == "message_start"
    assert [name for name, _ in events[-2:]] == ["message_delta", "message_stop"]
    for name, event in events:
        if name == "message_start":
            assert message is None
            message = event["message"]
        elif name == "content_block_start":
            assert open_index is None, "blocks overlap"
            open_index = event["index"]
            assert open_index == len(blocks)
            blocks.append(event["content_block"])
        elif name == "content_block_delta":
            assert event["index"] == open_index
            add_delta(blocks[open_index], event["delta"], inputs, open_index)
        elif name == "content_block_stop":
            assert event["index"] == open_index
            open_index = None
        elif name == "message_delta":
            assert open_index is None
            message |= event["delta"]
            message["usage"] |= event["usage"]
    for index, text in inputs.items():
        blocks[index]["input"] = json.loads("".join(text))
    return {**message, "content": blocks}


def add_delta(block, delta, inputs, index):
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            inputs.setdefault(index, []).append(delta["partial_json"])
        case "citations_delta":
            block["citations"] = [*(block["citations"] or ()), delta["citation"]]
        case kind:
            raise AssertionError(kind)


def responses_whole(frames):
    """The last event's response; what the deltas say must be what it says."""
    events = [loads(frame) for frame in frames]
    assert [event["sequence_number"] for event in events] == [*range(len(events))]
    assert [frame.name for frame in frames] == [event["type"] for event in events]
    response = events[-1]["response"]
    said = dict.fromkeys(range(len(response["output"])), "")
    for event in events:
        if event["type"].endswith(".delta"):
            assert response["output"][event["output_index"]]["id"] == event["item_id"]
            said[event["output_index"]] += event["delta"]
    for index, item in enumerate(response["output"]):
        match item["type"]:
            case "message":
                assert said[index] == item["content"][0]["text"]
            case "reasoning":
                assert said[index] == "".join(piece["text"] for piece in item["summary"])
            case "function_call":
                assert said[index] == item["arguments"]
    for what in ("added", "done"):
        places = [event["output_index"] for event in events if event["type"] == f"response.output_item.{what}"]
        assert sorted(places) == [*range(len(response["output"]))]
    return response


def loads(frame: Frame):
    return json.loads(frame.data)


def relayed(pair, data, places):
    """The client's frames for a provider's bytes, cut at `places`."""
    parser, decoder = SseParser(), pair.provider.open_stream()
    encoder = pair.client.open_stream(HEAD, BODY)
    frames = []
    for a, b in pairwise([0, *sorted(places), len(data)]):
        for payload in parser.feed(data[a:b]):
            frames += encoder.encode(decoder.feed(payload))
    for payload in parser.close():
        frames += encoder.encode(decoder.feed(payload))
    frames += encoder.encode(decoder.close())
    frames += encoder.end()
    return frames


def same_json(one, other):
    """Arguments are JSON in a string: equal where they mean the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            json.loads(one[key]) == json.loads(other[key]) if key == "arguments" else same_json(one[key], other[key])
            for key in one
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return one == other


WHOLE = {"openai": whole_by_openai, "anthropic": whole_by_anthropic, "gemini": whole_by_gemini}
WHOLE |= {"bedrock": whole_by_bedrock, "cohere": whole_by_cohere}
STREAMED = {"openai": streamed_by_openai, "anthropic": streamed_by_anthropic, "gemini": streamed_by_gemini}
STREAMED |= {"bedrock": streamed_by_bedrock, "cohere": streamed_by_cohere}


@pytest.mark.parametrize("key", matrix.PAIRS, ids="_".join)
@given(data=st.data(), answer=answers())
def test_a_stream_cut_anywhere_is_the_whole_answer(key, data, answer):
    pair = matrix.PAIRS[key]
    stream = data.draw(STREAMED[key[1]](answer))
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=30))
    frames = relayed(pair, stream, places)
    whole = json.loads(pair.client.encode_answer(pair.provider.decode_answer(WHOLE[key[1]](answer)), HEAD, BODY))
    match key[0]:
        case "chat":
            choice = whole["choices"][0]
            expected = {
                "message": choice["message"],
                "finish_reason": choice["finish_reason"],
                "usage": whole["usage"],
            }
            assert same_json(chat_whole(frames), expected)
        case "messages":
            assert messages_whole(frames) == whole
        case _:
            assert same_json(responses_whole(frames), whole)


@pytest.mark.parametrize("key", matrix.PAIRS, ids="_".join)
@given(data=st.data(), answer=answers())
def test_the_cutting_does_not_matter(key, data, answer):
    """The same frames, byte for byte, for one piece as for many, in the wire's form."""
    pair = matrix.PAIRS[key]
    stream = data.draw(STREAMED[key[1]](answer))
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=30))
    assert wire(relayed(pair, stream, places)) == wire(relayed(pair, stream, []))


@given(data=st.data(), answer=answers())
def test_what_goes_out_can_be_read_as_events(data, answer):
    """Frames on the wire come back as their data, names and all."""
    pair = matrix.PAIRS["messages", "openai"]
    frames = relayed(pair, data.draw(streamed_by_openai(answer)), [])
    sent = wire(frames)
    parser = SseParser()
    assert [*parser.feed(sent), *parser.close()] == [frame.data for frame in frames]
    assert sent.count(b"event: ") == len(frames)
