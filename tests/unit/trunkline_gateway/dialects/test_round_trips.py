"""A request that goes through the canonical form and back to its own dialect says what it said before."""

import json

from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.dialects import anthropic_requests, openai_chat_requests
from trunkline_gateway.dialects.chat_requests import decode_request as decode_chat
from trunkline_gateway.dialects.messages_requests import decode_request as decode_messages
from trunkline_gateway.dialects.openai_chat_requests import Quirks

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
schemas = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(names, st.just({"type": "string"}))}
)
units = st.floats(0, 1, allow_nan=False)
base64s = st.sampled_from(["aGVsbG8=", "AAAA", "/+8="])


def some(**fields):
    """Each field, or not."""
    return st.fixed_dictionaries({}, optional=fields)


def merged(*parts):
    return st.tuples(*parts).map(lambda found: {key: value for part in found for key, value in part.items()})


def fixed(**fields):
    return st.fixed_dictionaries(
        {key: value if isinstance(value, st.SearchStrategy) else st.just(value) for key, value in fields.items()}
    )


chat_mark = st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
chat_text = merged(fixed(type="text", text=words), some(cache_control=chat_mark))
image_urls = st.sampled_from(["https://example.com/a.png", "data:image/png;base64,AAAA"])
chat_parts = st.one_of(
    chat_text,
    fixed(type="image_url", image_url=merged(fixed(url=image_urls), some(detail=st.sampled_from(["low", "high"])))),
    fixed(type="input_audio", input_audio=fixed(data=base64s, format=st.sampled_from(["wav", "mp3"]))),
    fixed(
        type="file",
        file=st.one_of(fixed(file_id=names), fixed(file_data="data:application/pdf;base64,AAAA", filename=names)),
    ),
)


def contents(parts):
    """A string, or parts that could not be a string."""
    listed = st.lists(parts, min_size=2, max_size=3)
    return st.one_of(words, listed)


@st.composite
def chat_turns(draw):
    calls = draw(st.lists(st.tuples(names, schemas), max_size=2))
    turn = {"role": "assistant", "content": draw(words)}
    if calls:
        turn["content"] = draw(st.one_of(st.none(), words))
        turn["tool_calls"] = [
            {"type": "function", "id": f"call_{i}", "function": {"name": name, "arguments": json.dumps(args)}}
            for i, (name, args) in enumerate(calls)
        ]
    results = [
        {"role": "tool", "tool_call_id": f"call_{i}", "content": draw(contents(chat_text))} for i in range(len(calls))
    ]
    if draw(st.booleans()):
        turn["name"] = draw(names)
    middle = [{"role": "system", "content": draw(words)}] if draw(st.booleans()) else []
    return [{"role": "user", "content": draw(contents(chat_parts))}, turn, *results, *middle]


chat_tools = st.lists(
    st.one_of(
        fixed(
            type="function",
            function=merged(fixed(name=names), some(description=words, parameters=schemas, strict=st.booleans())),
        ),
        fixed(type="custom", custom=fixed(name=names)),
    ),
    min_size=1,
    max_size=2,
)
chat_choices = st.one_of(
    st.sampled_from(["auto", "none", "required"]),
    fixed(type="function", function=fixed(name=names)),
    fixed(
        type="allowed_tools",
        allowed_tools=fixed(mode="auto", tools=st.just([{"type": "function", "function": {"name": "a"}}])),
    ),
)
chat_formats = st.one_of(
    st.just({"type": "json_object"}),
    fixed(
        type="json_schema",
        json_schema=merged(fixed(name=names, schema=schemas), some(strict=st.booleans(), description=words)),
    ),
)
chat_settings = some(
    temperature=st.floats(0, 2, allow_nan=False),
    top_p=units,
    top_k=st.integers(1, 50),
    seed=st.integers(0, 2**40),
    frequency_penalty=st.floats(-2, 2, allow_nan=False),
    presence_penalty=st.floats(-2, 2, allow_nan=False),
    logit_bias=st.just({"50256": -100}),
    stop=st.lists(words, min_size=1, max_size=4),
    max_completion_tokens=st.integers(1, 10_000),
    n=st.integers(2, 5),
    response_format=chat_formats,
    reasoning_effort=st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh"]),
    verbosity=st.sampled_from(["low", "medium", "high"]),
    user=names,
    metadata=st.dictionaries(names, names),
    store=st.booleans(),
    service_tier=st.sampled_from(["auto", "flex"]),
    prompt_cache_key=names,
    prediction=st.just({"type": "content", "content": "x"}),
    min_p=units,
)


@st.composite
def chat_bodies(draw):
    system = draw(
        st.lists(fixed(role=st.sampled_from(["system", "developer"]), content=contents(chat_text)), max_size=2)
    )
    turns = draw(st.lists(chat_turns(), min_size=1, max_size=2))
    body = {"model": "gpt", "messages": [*system, *(said for turn in turns for said in turn)], **draw(chat_settings)}
    if draw(st.booleans()):
        body |= {
            "tools": draw(chat_tools),
            "tool_choice": draw(chat_choices),
            "parallel_tool_calls": draw(st.booleans()),
        }
    if draw(st.booleans()):
        body |= {"logprobs": True, "top_logprobs": draw(st.integers(0, 20))}
    if draw(st.booleans()):
        body |= {"modalities": ["text", "audio"], "audio": {"voice": "ash", "format": "wav"}}
    if draw(st.booleans()):
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def flat(body):
    """Instructions of one message are one or several; what counts is what they say, and in which order."""
    said = []
    for message in body["messages"]:
        content = message.get("content")
        pieces = content if isinstance(content, list) and message["role"] in {"system", "developer"} else [content]
        said += [{**message, "content": plain(piece)} for piece in pieces]
    return {**body, "messages": said}


def plain(piece):
    """A text alone is a string."""
    if isinstance(piece, list) and len(piece) == 1:
        piece = piece[0]
    return piece["text"] if isinstance(piece, dict) and piece.keys() == {"type", "text"} else piece


@given(body=chat_bodies())
def test_chat_to_canonical_to_chat(body):
    request = decode_chat(json.dumps(body).encode())
    again = openai_chat_requests.encode_request(
        request, openai_chat_requests.ABILITIES, "gpt", Quirks(cache_marks=True)
    )
    assert flat(json.loads(again)) == flat(body)


mark = st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
marked = some(cache_control=mark)
text_block = merged(fixed(type="text", text=words), marked)
image_block = merged(
    fixed(
        type="image",
        source=st.one_of(
            fixed(type="base64", media_type="image/png", data=base64s),
            fixed(type="url", url="https://example.com/a.png"),
            fixed(type="file", file_id=names),
        ),
    ),
    marked,
)
document_block = merged(
    fixed(
        type="document",
        source=st.one_of(
            fixed(type="base64", media_type="application/pdf", data=base64s),
            fixed(type="url", url="https://example.com/a.pdf"),
            fixed(type="text", media_type="text/plain", data=words),
        ),
    ),
    some(title=words, context=words, citations=st.just({"enabled": True})),
    marked,
)
native_block = fixed(type="search_result", source=names, title=names, content=st.just([{"type": "text", "text": "x"}]))
user_blocks = st.one_of(text_block, image_block, document_block, native_block)
thoughts = st.one_of(
    fixed(type="thinking", thinking=words, signature=base64s), fixed(type="redacted_thinking", data=base64s)
)


@st.composite
def message_turns(draw):
    said = [*draw(st.lists(thoughts, max_size=1)), *draw(st.lists(text_block, min_size=1, max_size=2))]
    calls = draw(st.lists(schemas, max_size=2))
    uses = [{"type": "tool_use", "id": f"toolu_{i}", "name": "f", "input": args} for i, args in enumerate(calls)]
    results = [draw(tool_results(f"toolu_{i}")) for i in range(len(calls))]
    answer = [*results, *draw(st.lists(user_blocks, min_size=2, max_size=3))]
    return [
        {"role": "user", "content": draw(words)},
        {"role": "assistant", "content": [*said, *uses, {"type": "text", "text": "."}]},
        {"role": "user", "content": answer},
        {"role": "assistant", "content": draw(words)},
    ]


def tool_results(call_id):
    inside = st.one_of(words, st.lists(st.one_of(text_block, image_block), min_size=2, max_size=2))
    return merged(fixed(type="tool_result", tool_use_id=call_id, content=inside), some(is_error=st.just(True)), marked)


messages_tools = st.lists(
    st.one_of(
        merged(fixed(name=names, input_schema=schemas), some(description=words, strict=st.just(True)), marked),
        fixed(type="web_search_20250305", name="web_search", max_uses=st.integers(1, 5)),
    ),
    min_size=1,
    max_size=2,
)
messages_choices = st.one_of(
    fixed(type=st.sampled_from(["auto", "any"]), disable_parallel_tool_use=st.booleans()),
    fixed(type="tool", name=names, disable_parallel_tool_use=st.just(False)),
)
messages_settings = some(
    system=st.one_of(words, st.lists(text_block, min_size=2, max_size=3)),
    temperature=units,
    top_p=units,
    top_k=st.integers(1, 50),
    stop_sequences=st.lists(words, min_size=1, max_size=3),
    stream=st.just(True),
    thinking=st.one_of(
        fixed(type="enabled", budget_tokens=st.integers(1024, 4000), display="omitted"),
        fixed(type="adaptive", display="summarized"),
        st.just({"type": "disabled"}),
    ),
    output_config=some(
        effort=st.sampled_from(["low", "high", "max"]), format=fixed(type="json_schema", schema=schemas)
    ).filter(bool),
    metadata=fixed(user_id=names),
    service_tier=st.just("auto"),
    container=names,
    cache_control=mark,
)


@st.composite
def message_bodies(draw):
    turns = draw(st.lists(message_turns(), min_size=1, max_size=2))
    body = {"model": "claude", "max_tokens": draw(st.integers(5000, 9000)), **draw(messages_settings)}
    body["messages"] = [said for turn in turns for said in turn]
    if draw(st.booleans()):
        body |= {"tools": draw(messages_tools), "tool_choice": draw(messages_choices)}
    return body


@given(body=message_bodies())
def test_messages_to_canonical_to_messages(body):
    request = decode_messages(json.dumps(body).encode())
    again = anthropic_requests.encode_request(request, anthropic_requests.ABILITIES, "claude")
    assert json.loads(again) == body
