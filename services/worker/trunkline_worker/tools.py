"""Tool calls of a model that knows nothing of them: told in the system message, held to by a grammar, read back.

An answer that is a call is `{"name": NAME, "arguments": OBJECT}` and nothing else; one that begins with anything but a
brace is text. So the first character decides, and what streams out is never taken back. One call an answer.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

import msgspec
from msgspec import Struct

from trunkline_kit.errors import InvalidRequest, Unsupported
from trunkline_worker.grammars import Grammar, Kind, lark_string
from trunkline_worker.tokenizer import ChatMessage

_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
"""Source: OpenAI API reference, tools[].function.name (read 2026-11-24)."""
_MAX_TOOLS = 128
"""Source: as above, tools."""


class Function(Struct, frozen=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(Struct, frozen=True):
    type: str
    function: Function | None = None


class _ChosenName(Struct, frozen=True):
    name: str


class _ChosenTool(Struct, frozen=True):
    type: str
    function: _ChosenName | None = None


class Tools(Struct, frozen=True, kw_only=True):
    """The functions a model may call, and whether it must."""

    functions: tuple[Function, ...] = ()
    required: bool = False

    def prompted(self, messages: list[ChatMessage]) -> list[ChatMessage]:
        """The conversation with the functions told in its system message."""
        if not self.functions:
            return messages
        told = _told(self)
        if messages and messages[0].role == "system":
            return [ChatMessage(role="system", content=f"{messages[0].content}\n\n{told}"), *messages[1:]]
        return [ChatMessage(role="system", content=told), *messages]

    def grammar(self) -> Grammar | None:
        """What the answer must be; None without functions."""
        if not self.functions:
            return None
        calls = [f"call_{place}" for place in range(len(self.functions))]
        lines = [f"start: {' | '.join(calls if self.required else [*calls, 'TEXT'])}"]
        if not self.required:
            lines.append(r"TEXT: /[^{](.|\n)*/")
        for call, function in zip(calls, self.functions, strict=True):
            schema = function.parameters or _NO_PARAMETERS
            # Not `strict`: keywords that cannot be followed are left out, as OpenAI does.
            layout = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
            schema = schema | {"x-guidance": layout | {"lenient": not function.strict}}
            lines.append(f"{call}: {lark_string(_head(function.name))} arguments_{call} {lark_string('}')}")
            lines.append(f"arguments_{call}: %json {msgspec.json.encode(schema).decode()}")
        return Grammar(kind=Kind.LARK, text="\n".join([*lines, ""]), param="tools")


def decode_tools(tools_json: bytes, choice_json: bytes) -> Tools:
    """OpenAI's tools and tool_choice. Raises InvalidRequest, Unsupported."""
    if tools_json.strip() in (b"", b"null", b"[]"):
        return Tools()
    functions = _functions(tools_json)
    choice = _choice(choice_json)
    match choice:
        case "none":
            return Tools()
        case "auto" | "required":
            return Tools(functions=functions, required=choice == "required")
        case _ChosenTool(type="function", function=_ChosenName(name=name)):
            chosen = tuple(function for function in functions if function.name == name)
            if not chosen:
                raise InvalidRequest(f"tool_choice names {name!r}, which is not among the tools", param="tool_choice")
            return Tools(functions=chosen, required=True)
        case _:
            raise InvalidRequest("tool_choice is none of none, auto, required, a function", param="tool_choice")


def _functions(tools_json: bytes) -> tuple[Function, ...]:
    try:
        tools = msgspec.json.decode(tools_json, type=list[_Tool])
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"tools cannot be read: {error}", param="tools") from error
    if len(tools) > _MAX_TOOLS:
        raise InvalidRequest(f"there are {len(tools)} tools; at most {_MAX_TOOLS} are taken", param="tools")
    found: dict[str, Function] = {}
    for index, tool in enumerate(tools):
        if tool.type != "function":
            raise Unsupported(f"a tool of type {tool.type!r} is not supported", param=f"tools[{index}].type")
        if tool.function is None or not _NAME.fullmatch(tool.function.name):
            text = "a function needs a name of at most 64 letters, digits, _ and -"
            raise InvalidRequest(text, param=f"tools[{index}].function.name")
        if tool.function.name in found:
            raise InvalidRequest(f"two tools are called {tool.function.name!r}", param=f"tools[{index}].function.name")
        found[tool.function.name] = tool.function
    return tuple(found.values())


def _choice(choice_json: bytes) -> str | _ChosenTool:
    if choice_json.strip() in (b"", b"null"):
        return "auto"
    try:
        return msgspec.json.decode(choice_json, type=str | _ChosenTool)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"tool_choice cannot be read: {error}", param="tool_choice") from error


def _head(name: str) -> str:
    return f'{{"name": "{name}", "arguments": '


_HEAD = re.compile(r'\{"name": "([a-zA-Z0-9_-]{1,64})", "arguments": ', re.ASCII)


def _told(tools: Tools) -> str:
    lines = [msgspec.json.encode(function).decode() for function in tools.functions]
    how = '{"name": "the function", "arguments": {"parameter": "value"}}'
    when = "Call one of them now" if tools.required else "To call one of them, answer with nothing but the call"
    return "\n".join(["You can call these functions:", *lines, f"{when}, in this form: {how}"])


class CallPiece(Struct, frozen=True):
    """What of a call is now certain."""

    id: str = ""
    name: str = ""
    arguments: str = ""


class CallReader:
    """Takes one answer's text as it comes; tells text and call apart.

    Law: however the text is cut, the pieces' arguments joined are the object's JSON text, and a text stays what it is.
    """

    def __init__(self) -> None:
        self._text = ""
        self._is_call: bool | None = None
        self._named = False
        self._held = ""
        """The last character: if the answer ends there, it is the call's own closing brace."""

    @property
    def is_call(self) -> bool:
        return bool(self._is_call)

    def push(self, text: str) -> tuple[str, CallPiece | None]:
        """Text for the reader and a piece of a call; one of the two at most."""
        if not text:
            return "", None
        if self._is_call is None:
            self._is_call = text.startswith("{")
        if not self._is_call:
            return text, None
        self._text += text
        if self._named:
            return "", self._more("")
        head = _HEAD.match(self._text)
        if head is None:
            return "", None
        self._named = True
        self._text = self._text[head.end() :]
        return "", self._more(head[1])

    def rest(self) -> CallPiece | None:
        """What was held back, of a call that was cut off before its end."""
        held, self._held = self._held, ""
        return CallPiece(arguments=held) if held else None

    def _more(self, name: str) -> CallPiece | None:
        whole = self._held + self._text
        self._held, self._text = whole[-1:], ""
        if not name:
            return CallPiece(arguments=whole[:-1]) if whole[:-1] else None
        return CallPiece(id=f"call_{secrets.token_hex(12)}", name=name, arguments=whole[:-1])
