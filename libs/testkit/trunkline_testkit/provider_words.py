"""What providers say on the wire, in pieces: a test can leave some out, change their order, and damage them."""

from collections.abc import Callable, Iterable

import msgspec

from trunkline_testkit.faulty import Play, Send

TEXT = "one two"
MODEL = "real"
"""As providers call the model, unless they name another one."""
INPUT_TOKENS, OUTPUT_TOKENS = 3, 2
_PIECES = ("one ", "two")
_JSON, EVENTS = "application/json", "text/event-stream"
Body = dict[str, object]


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """Of one dialect. Events are whole, with their blank line."""

    name: str
    kind: str
    """Of the providers that speak so."""
    opening: bytes
    """Of a stream, before it says anything."""
    tokens: tuple[bytes, ...]
    finish: tuple[bytes, ...]
    """Why the stream ends."""
    usage: tuple[bytes, ...]
    last: bytes
    """That nothing follows; empty where the reason says so."""
    silent: tuple[bytes, ...]
    """The opening and the reason, where the usage is left out."""
    error: bytes
    """An error among the events."""
    whole: Callable[..., Body]
    """An answer. Without usage where `used` is false."""
    refusal: Callable[[str, str, str], Body]
    """An error body by type, code and message."""

    @property
    def stream(self) -> tuple[bytes, ...]:
        """Everything."""
        return (self.opening, *self.tokens, *self.finish, *self.usage, self.last)

    @property
    def without_usage(self) -> tuple[bytes, ...]:
        """Everything, but it does not say what it used."""
        return (self.silent[0], *self.tokens, *self.silent[1:], self.last)

    def answer(self, *, model: str = MODEL, used: bool = True) -> bytes:
        """A whole answer."""
        return msgspec.json.encode(self.whole(model, used))


def head(status: int = 200, content_type: str = _JSON, *headers: str, length: int | None = None) -> bytes:
    """Of a response; with `length` the body's length is announced, else it lasts until the connection is closed."""
    lines = [f"HTTP/1.1 {status} Whatever", f"content-type: {content_type}", "connection: close", *headers]
    if length is not None:
        lines.append(f"content-length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunked(content_type: str = EVENTS, *headers: str) -> bytes:
    """The head of a response whose body comes in chunks, so that its end is told from a cut."""
    return head(200, content_type, "transfer-encoding: chunked", *headers)


def chunk(data: bytes) -> bytes:
    """One chunk of such a body; an empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


END = chunk(b"")


def told(events: Iterable[bytes], *, ends: bool = True) -> Play:
    """A stream of these events, each in a chunk of its own, and its regular end if `ends`."""
    return (Send(chunked()), *(Send(chunk(event)) for event in events if event), *((Send(END),) if ends else ()))


def body(data: bytes, status: int = 200, content_type: str = _JSON, *headers: str) -> Play:
    """A whole response."""
    return (Send(head(status, content_type, *headers, length=len(data)) + data),)


def _chat_event(choice: Body | None, **more: object) -> bytes:
    chunk_ = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [] if choice is None else [{"index": 0, "finish_reason": None, **choice}],
        **more,
    }
    return b"data: %b\n\n" % msgspec.json.encode(chunk_)


_CHAT_USAGE: Body = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
}


def _chat_whole(model: str, used: bool) -> Body:  # noqa: FBT001 - of a table
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
        **({"usage": _CHAT_USAGE} if used else {}),
    }


def _chat_refusal(kind: str, code: str, message: str) -> Body:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _named(event: Body) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), msgspec.json.encode(event))


def _message(model: str, used: bool) -> Body:  # noqa: FBT001 - of a table
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": TEXT}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        **({"usage": {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}} if used else {}),
    }


def _message_start(*, used: bool) -> bytes:
    begun = {**_message(MODEL, used=False), "content": [], "stop_reason": None}
    if used:
        begun["usage"] = {"input_tokens": INPUT_TOKENS, "output_tokens": 1}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    return _named({"type": "message_start", "message": begun}) + _named(block)


def _message_delta(*, used: bool) -> bytes:
    delta: Body = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}}
    return _named({**delta, "usage": {"output_tokens": OUTPUT_TOKENS}} if used else delta)


def _anthropic_refusal(kind: str, code: str, message: str) -> Body:  # noqa: ARG001 - this dialect has no codes
    return {"type": "error", "error": {"type": kind, "message": message}}


_CHAT_OPENING = _chat_event({"delta": {"role": "assistant", "content": ""}})
_CHAT_FINISH = _chat_event({"delta": {}, "finish_reason": "stop"})
OPENAI = Words(
    name="openai",
    kind="openai",
    opening=_CHAT_OPENING,
    tokens=tuple(_chat_event({"delta": {"content": piece}}) for piece in _PIECES),
    finish=(_CHAT_FINISH,),
    usage=(_chat_event(None, usage=_CHAT_USAGE),),
    last=b"data: [DONE]\n\n",
    silent=(_CHAT_OPENING, _CHAT_FINISH),
    error=b'data: {"error":{"message":"we are too busy","type":"server_error","param":null,"code":null}}\n\n',
    whole=_chat_whole,
    refusal=_chat_refusal,
)
_BLOCK_STOP = _named({"type": "content_block_stop", "index": 0})
ANTHROPIC = Words(
    name="anthropic",
    kind="anthropic",
    opening=_message_start(used=True),
    tokens=tuple(
        _named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}})
        for piece in _PIECES
    ),
    finish=(_BLOCK_STOP, _message_delta(used=True)),
    usage=(),
    last=_named({"type": "message_stop"}),
    silent=(_message_start(used=False), _BLOCK_STOP, _message_delta(used=False)),
    error=_named({"type": "error", "error": {"type": "overloaded_error", "message": "we are too busy"}}),
    whole=_message,
    refusal=_anthropic_refusal,
)


def _response(model: str, used: bool) -> Body:  # noqa: FBT001 - of a table
    part = {"type": "output_text", "text": TEXT, "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    usage = {
        "input_tokens": INPUT_TOKENS,
        "output_tokens": OUTPUT_TOKENS,
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    }
    head_: Body = {"id": "resp_1", "object": "response", "created_at": 1_700_000_000, "error": None}
    body_: Body = {**head_, "status": "completed", "model": model, "output": [item]}
    return {**body_, "usage": usage} if used else body_


def _response_event(kind: str, number: int, **more: object) -> bytes:
    return _named({"type": kind, "sequence_number": number, **more})


def _response_delta(number: int, piece: str) -> bytes:
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return _response_event("response.output_text.delta", number, **where, delta=piece)


def _response_completed(*, used: bool) -> bytes:
    return _response_event("response.completed", 1 + len(_PIECES), response=_response(MODEL, used))


_BEGUN: Body = {**_response(MODEL, used=False), "status": "in_progress", "output": []}
_CREATED = _response_event("response.created", 0, response=_BEGUN)
RESPONSES = Words(
    name="native",
    kind="openai",
    opening=_CREATED,
    tokens=tuple(_response_delta(number, piece) for number, piece in enumerate(_PIECES, 1)),
    finish=(_response_completed(used=True),),
    usage=(),
    last=b"",
    silent=(_CREATED, _response_completed(used=False)),
    error=_response_event("error", 2, code="server_error", message="we are too busy", param=None),
    whole=_response,
    refusal=_chat_refusal,
)
