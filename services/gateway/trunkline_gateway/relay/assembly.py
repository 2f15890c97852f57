"""A stream's chunks as the whole answer they stand for, and a whole answer as the stream it could have been. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

Plain = Any
"""What JSON decodes to, inside this module only."""

_MISFITS = (msgspec.MsgspecError, UnicodeDecodeError, TypeError, KeyError, AttributeError, RecursionError)
"""What providers' own shapes lead to when they are taken for OpenAI's."""
_CLEAN_ENDS = frozenset({"stop", "tool_calls", "function_call"})
_REPLACED = frozenset({"id", "type", "role", "index", "finish_reason", "name"})
"""Members that later fragments repeat instead of continuing."""


class _Finish(msgspec.Struct, frozen=True):
    finish_reason: str | None = None


class _Finishes(msgspec.Struct, frozen=True):
    choices: list[_Finish] = []
    data: list[msgspec.Raw] = []
    """Of an embeddings answer, which has no ends."""
    results: list[msgspec.Raw] = []
    """Of a reranking, which has none either."""


_decode_finishes = msgspec.json.Decoder(_Finishes).decode


def ended_cleanly(body: bytes) -> bool:
    """Whether a whole answer has something in it and every choice ended by itself: what was cut off is not kept."""
    try:
        found = _decode_finishes(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    if not found.choices:
        return bool(found.data or found.results)
    return all(choice.finish_reason in _CLEAN_ENDS for choice in found.choices)


def whole(chunks: Sequence[bytes]) -> bytes | None:
    """Chunks put together: strings joined, lists merged by `index`, everything else by its last value.

    None for chunks that do not fit together; the caller has them all, they only cannot be kept.
    """
    try:
        return _whole(chunks)
    except _MISFITS:
        return None


def stream(body: bytes, *, usage: bool) -> list[bytes] | None:
    """A whole answer as chunks: its role, its content in one piece, its end, and its usage if wanted.

    None for an answer that is not of OpenAI's shape.
    """
    try:
        return _stream(body, usage=usage)
    except _MISFITS:
        return None


def _whole(chunks: Sequence[bytes]) -> bytes:
    answer: dict[str, Plain] = {}
    choices: dict[int, dict[str, Plain]] = {}
    for data in chunks:
        chunk = msgspec.json.decode(data)
        for choice in chunk.pop("choices", None) or ():
            target = choices.setdefault(choice.get("index", 0), {})
            _merge(target, choice)
        if chunk.get("usage") is None:
            chunk.pop("usage", None)
        chunk.pop("obfuscation", None)
        answer.update(chunk)
    # Some servers leave the name of the object out.
    chat = answer.get("object") == "chat.completion.chunk" or any("delta" in choice for choice in choices.values())
    answer["object"] = "chat.completion" if chat else answer.get("object")
    answer["choices"] = [_whole_choice(choices[index], chat=chat) for index in sorted(choices)]
    return msgspec.json.encode(answer)


def _stream(body: bytes, *, usage: bool) -> list[bytes]:
    answer = msgspec.json.decode(body)
    choices, counted = answer.pop("choices", None) or [], answer.pop("usage", None)
    chat = answer.get("object") == "chat.completion"
    head = {**answer, "object": "chat.completion.chunk" if chat else answer.get("object")}
    if usage:
        head["usage"] = None
    pieces = [piece for choice in choices for piece in _pieces(choice, chat=chat)]
    chunks = [{**head, "choices": [piece]} for piece in pieces]
    if usage:
        chunks.append({**head, "choices": [], "usage": counted})
    return [msgspec.json.encode(chunk) for chunk in chunks]


def _whole_choice(choice: dict[str, Plain], *, chat: bool) -> dict[str, Plain]:
    if not chat:
        return choice
    message = choice.pop("delta", {})
    message.setdefault("role", "assistant")
    message.setdefault("content", None)
    for call in message.get("tool_calls") or ():
        call.pop("index", None)
    return {**choice, "message": message}


def _pieces(choice: dict[str, Plain], *, chat: bool) -> list[dict[str, Plain]]:
    index, finish = choice.get("index", 0), choice.get("finish_reason")
    if not chat:
        return [
            {**choice, "finish_reason": None},
            {"index": index, "text": "", "logprobs": None, "finish_reason": finish},
        ]
    message = dict(choice.get("message") or {})
    role = message.pop("role", "assistant")
    delta = {name: value for name, value in message.items() if value is not None}
    if calls := delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": place, **call} for place, call in enumerate(calls)]
    extras = {name: value for name, value in choice.items() if name not in {"message", "finish_reason", "index"}}
    return [
        {"index": index, "delta": {"role": role, "content": ""}, "finish_reason": None},
        {**extras, "index": index, "delta": delta, "finish_reason": None},
        {"index": index, "delta": {}, "finish_reason": finish},
    ]


def _merge(target: dict[str, Plain], piece: dict[str, Plain]) -> None:
    for name, value in piece.items():
        known = target.get(name)
        if value is None and name in target:
            continue
        if isinstance(known, str) and isinstance(value, str) and name not in _REPLACED:
            target[name] = known + value
        elif isinstance(known, dict) and isinstance(value, dict):
            _merge(known, value)
        elif isinstance(value, list):
            target[name] = _merged_list(known or [], value)
        elif isinstance(value, dict):
            target[name] = {}
            _merge(target[name], value)
        else:
            target[name] = value


def _merged_list(known: list[Plain], more: list[Plain]) -> list[Plain]:
    """Items that have an `index` continue the item of that index; others are added."""
    merged = list(known)
    places = {item["index"]: item for item in merged if isinstance(item, dict) and "index" in item}
    for item in more:
        if isinstance(item, dict) and "index" in item and item["index"] in places:
            _merge(places[item["index"]], item)
        else:
            fresh: Plain = item
            if isinstance(item, dict):
                fresh = {}
                _merge(fresh, item)
                if "index" in item:
                    places[item["index"]] = fresh
            merged.append(fresh)
    return merged
