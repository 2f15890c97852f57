"""What a caller hears of an answer in each dialect: text, errors, and whether it said that it is complete."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

Body = dict[str, Any]


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """One answer."""

    text: str = ""
    is_complete: bool = False
    """It said so."""
    error: str = ""
    """The code of the error in it; of dialects without codes, its type."""
    message: str = ""
    """What the error says."""


class Surface(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as its callers see it."""

    name: str
    path: str
    ask: Body
    whole: Callable[[Body], Heard]
    stream: Callable[[list[Body]], Heard]
    error_of: Callable[[int, str], str]
    """What an error with this status and code is called here."""
    ending: bytes
    """What stands in every complete stream, and in no other."""

    def asking(self, model: str, *, stream: bool) -> Body:
        """A request."""
        return {**self.ask, "model": model, "stream": stream}


def events_in(data: bytes) -> Iterator[Body]:
    """The JSON of every event. A reader of its own: the gateway's must not be its own witness."""
    for block in data.decode().replace("\r\n", "\n").split("\n\n"):
        lines = [line[5:].strip() for line in block.split("\n") if line.startswith("data:")]
        text = "\n".join(lines)
        if text and text != "[DONE]":
            yield msgspec.json.decode(text)


def heard(surface: Surface, data: bytes, *, stream: bool) -> Heard:
    """What a body with status 200 says."""
    if not stream:
        return surface.whole(msgspec.json.decode(data))
    found = surface.stream(list(events_in(data)))
    return msgspec.structs.replace(found, is_complete=found.is_complete and surface.ending in data)


def refused(surface: Surface, data: bytes) -> Heard:
    """What an error's body says. Raises KeyError, AssertionError for a body that is not in the surface's shape."""
    body = msgspec.json.decode(data)
    if surface is MESSAGES:
        if body["type"] != "error":
            raise AssertionError(f"not in Anthropic's shape: {body}")
        return Heard(error=body["error"]["type"], message=body["error"]["message"])
    if set(body) != {"error"} or set(body["error"]) != {"message", "type", "param", "code"}:
        raise AssertionError(f"not in OpenAI's shape: {body}")
    return Heard(error=body["error"]["code"], message=body["error"]["message"])


def _chat_whole(body: Body) -> Heard:
    choice = body["choices"][0]
    return Heard(text=choice["message"]["content"], is_complete=choice["finish_reason"] == "stop")


def _chat_stream(events: list[Body]) -> Heard:
    choices = [choice for event in events for choice in event.get("choices", ())]
    errors = [event["error"] for event in events if event.get("error")]
    return Heard(
        text="".join(choice["delta"].get("content") or "" for choice in choices),
        is_complete=any(choice["finish_reason"] == "stop" for choice in choices) and not errors,
        error=str(errors[0]["code"]) if errors else "",
        message=errors[0]["message"] if errors else "",
    )


def _message_whole(body: Body) -> Heard:
    return Heard(text=_text_of(body["content"]), is_complete=body["stop_reason"] == "end_turn")


def _message_stream(events: list[Body]) -> Heard:
    errors = [event["error"] for event in events if event["type"] == "error"]
    return Heard(
        text="".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta"),
        is_complete=events[-1]["type"] == "message_stop" and not errors,
        error=errors[0]["type"] if errors else "",
        message=errors[0]["message"] if errors else "",
    )


def _response_whole(body: Body) -> Heard:
    parts = [part for item in body["output"] for part in item["content"]]
    return Heard(text=_text_of(parts), is_complete=body["status"] == "completed")


def _response_stream(events: list[Body]) -> Heard:
    errors = [event for event in events if event["type"] == "error"]
    numbers = [event["sequence_number"] for event in events]
    # A provider's own events keep their numbers, also where it gives one twice.
    if sorted(set(numbers)) != list(range(numbers[-1] + 1)) or sorted(numbers) != numbers:
        raise AssertionError(f"numbers out of order: {numbers}")
    if errors and events[-1]["type"] != "response.failed":
        raise AssertionError(f"a broken response must end as failed, not with {events[-1]['type']}")
    return Heard(
        text="".join(event["delta"] for event in events if event["type"] == "response.output_text.delta"),
        is_complete=events[-1]["type"] == "response.completed",
        error=errors[0]["code"] if errors else "",
        message=errors[0]["message"] if errors else "",
    )


def _text_of(parts: list[Body]) -> str:
    return "".join(part["text"] for part in parts)


def _code(status: int, code: str) -> str:  # noqa: ARG001 - of a table
    return code


_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}


def _type(status: int, code: str) -> str:  # noqa: ARG001 - of a table
    return _ANTHROPIC_TYPES.get(status, "api_error")


_MESSAGES = [{"role": "user", "content": "count to two"}]
CHAT = Surface(
    name="chat",
    path="/v1/chat/completions",
    ask={"messages": _MESSAGES},
    whole=_chat_whole,
    stream=_chat_stream,
    error_of=_code,
    ending=b"data: [DONE]",
)
MESSAGES = Surface(
    name="messages",
    path="/v1/messages",
    ask={"messages": _MESSAGES, "max_tokens": 50},
    whole=_message_whole,
    stream=_message_stream,
    error_of=_type,
    ending=b"message_stop",
)
RESPONSES = Surface(
    name="responses",
    path="/v1/responses",
    ask={"input": "count to two"},
    whole=_response_whole,
    stream=_response_stream,
    error_of=_code,
    ending=b"response.completed",
)
SURFACES = (CHAT, MESSAGES, RESPONSES)
