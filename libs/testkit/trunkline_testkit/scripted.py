"""A provider whose answers follow from what is asked: it can lead any client library through whole conversations.

Asked about the weather with a tool of that name, it calls it for two cities at once; given the results, it says them;
asked for an object, it gives `REPORT`; else it says `TEXT`. The model's name asks for trouble: `busy` is a 429,
`breaking` says a little and hangs up. Speaks OpenAI's chat completions and Anthropic's Messages, whole or as events.
"""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from trunkline_testkit.upstream import Received, Reply, error_reply

TEXT = "Rouge, vert et bleu foncé."
CITIES = ("Bonn", "Århus")
REPORT: dict[str, object] = {"city": "Bonn", "degrees": 21, "sky": ["clear", "windy"]}
WEATHER_TOOL = "get_weather"
INPUT_TOKENS, OUTPUT_TOKENS = 11, 7
RETRY_AFTER_S = 30
_SSE = (("content-type", "text/event-stream; charset=utf-8"),)
_PIECES = 4
"""Into which texts and arguments are cut in streams."""


class Call(msgspec.Struct, frozen=True):
    """One call of a tool."""

    id: str
    name: str
    arguments: str


class Said(msgspec.Struct, frozen=True):
    """What the model answers: a text, or calls."""

    text: str = ""
    calls: tuple[Call, ...] = ()


def answer(received: Received) -> Reply:
    """The reply to one request. Give it to `open_fake_upstream`."""
    dialects = {"/v1/chat/completions": (_asked_in_chat, _chat), "/v1/messages": (_asked_in_messages, _messages)}
    if received.path not in dialects:
        return error_reply(404, f"nothing is scripted for {received.path}")
    asked, written = dialects[received.path]
    body = received.json()
    if body["model"] == "busy":
        return error_reply(429, "too many", retry_after_s=RETRY_AFTER_S)
    tools, results, wants_object = asked(body)
    reply = written(said_to(tools, results, wants_object=wants_object), body)
    if body["model"] == "breaking" and body.get("stream"):
        return msgspec.structs.replace(reply, chunks=reply.chunks[:-_PIECES], ending="cut")
    return reply


def said_to(tools: list[str], results: list[str], *, wants_object: bool) -> Said:
    """What follows from the names of the tools, the results so far, and whether the answer has to be an object."""
    forms = [name for name in tools if name != WEATHER_TOOL]
    if WEATHER_TOOL in tools and not results:
        cities = (json.dumps({"city": city}, ensure_ascii=False) for city in CITIES)
        return Said(calls=tuple(Call(f"call_{i}", WEATHER_TOOL, city) for i, city in enumerate(cities)))
    if forms:
        return Said(calls=(Call("call_form", forms[0], json.dumps(REPORT)),))
    if wants_object:
        return Said(text=json.dumps(REPORT))
    return Said(text=" and ".join(results) or TEXT)


def _asked_in_chat(body: dict[str, Any]) -> tuple[list[str], list[str], bool]:
    tools = [tool["function"]["name"] for tool in body.get("tools") or ()]
    results = [_text_of(message["content"]) for message in body["messages"] if message["role"] == "tool"]
    return tools, results, (body.get("response_format") or {}).get("type", "text") != "text"


def _asked_in_messages(body: dict[str, Any]) -> tuple[list[str], list[str], bool]:
    blocks = [
        block for message in body["messages"] if isinstance(message["content"], list) for block in message["content"]
    ]
    results = [_text_of(block["content"]) for block in blocks if block["type"] == "tool_result"]
    form = (body.get("output_config") or {}).get("format") or body.get("output_format")
    return [tool["name"] for tool in body.get("tools") or ()], results, form is not None


def _text_of(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _cut(text: str) -> Iterator[str]:
    """In at most `_PIECES` pieces, none of them empty."""
    size = -(-len(text) // _PIECES) or 1
    return (text[start : start + size] for start in range(0, len(text), size))


def _chat(said: Said, body: dict[str, Any]) -> Reply:
    usage = {
        "prompt_tokens": INPUT_TOKENS,
        "completion_tokens": OUTPUT_TOKENS,
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    }
    head = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": body["model"]}
    finish = "tool_calls" if said.calls else "stop"
    if not body.get("stream"):
        calls = [_chat_call(call) for call in said.calls]
        message = {"role": "assistant", "content": said.text or None} | ({"tool_calls": calls} if calls else {})
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return _whole(head | {"object": "chat.completion", "choices": [choice], "usage": usage})
    chunk = head | {"object": "chat.completion.chunk"}
    deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": piece}, None) for piece in _cut(said.text)]
    deltas += [(delta, None) for index, call in enumerate(said.calls) for delta in _chat_deltas(index, call)]
    deltas.append(({}, finish))
    events = [chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in deltas]
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append(chunk | {"choices": [], "usage": usage})
    lines = [b"data: %b\n\n" % msgspec.json.encode(event) for event in events]
    return Reply(headers=_SSE, chunks=(*lines, b"data: [DONE]\n\n"))


def _chat_call(call: Call) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _chat_deltas(index: int, call: Call) -> Iterator[dict[str, Any]]:
    opened = _chat_call(msgspec.structs.replace(call, arguments=""))
    yield {"tool_calls": [{"index": index, **opened}]}
    for piece in _cut(call.arguments):
        yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _messages(said: Said, body: dict[str, Any]) -> Reply:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": said.text}] if said.text else []
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        for call in said.calls
    ]
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "stop_sequence": None}
    stop = "tool_use" if said.calls else "end_turn"
    usage = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
    if not body.get("stream"):
        return _whole(head | {"content": blocks, "stop_reason": stop, "usage": usage})
    events: list[dict[str, Any]] = [
        {
            "type": "message_start",
            "message": head | {"content": [], "stop_reason": None, "usage": usage | {"output_tokens": 1}},
        }
    ]
    for index, block in enumerate(blocks):
        events += _block_events(index, block)
    delta = {"stop_reason": stop, "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": usage})
    events.append({"type": "message_stop"})
    lines = (b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event)) for event in events)
    return Reply(headers=_SSE, chunks=tuple(lines))


def _block_events(index: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """How one block of an answer is streamed."""
    if block["type"] == "text":
        opened, deltas = block | {"text": ""}, [{"type": "text_delta", "text": piece} for piece in _cut(block["text"])]
    else:
        pieces = _cut(json.dumps(block["input"], ensure_ascii=False))
        opened = block | {"input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    yield {"type": "content_block_start", "index": index, "content_block": opened}
    yield from ({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
    yield {"type": "content_block_stop", "index": index}


def _whole(body: dict[str, Any]) -> Reply:
    return Reply(chunks=(msgspec.json.encode(body),))
