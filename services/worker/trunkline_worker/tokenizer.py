"""Text to ids and back: encoding, chat templates in a sandbox, and text that never shows half a character."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

import msgspec
from jinja2 import Template, TemplateError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from msgspec import Struct
from tokenizers import Tokenizer

from trunkline_kit.errors import InvalidRequest, ModelError, Unsupported

_RENDER_ERRORS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What a template may raise: its own refusals, the sandbox's, and those of the expressions it is made of."""
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = "\u2581"
"""SentencePiece's letter for a space."""
_REPLACEMENT = "\ufffd"
"""What a decoder puts for bytes that are no character yet."""


class TokenizerConfig(Struct, frozen=True, kw_only=True):
    """tokenizer_config.json: what the tokenizer itself does not say. Unknown keys are left alone."""

    tokenizer_class: str = "PreTrainedTokenizerFast"
    bos_token: str | None = None
    eos_token: str | None = None
    unk_token: str | None = None
    pad_token: str | None = None
    model_max_length: int = 0
    add_prefix_space: bool = False
    clean_up_tokenization_spaces: bool = False
    chat_template: str | None = None


class ChatMessage(Struct, frozen=True, kw_only=True):
    """One message as a chat template sees it."""

    role: str
    content: str


class TextCodec(Protocol):
    """What the engine needs of a tokenizer; the real one and the fake's byte codec both do it."""

    @property
    def vocabulary_size(self) -> int: ...

    @property
    def longest_token(self) -> int:
        """Characters that one token stands for at most; so a text has at least its length divided by this in tokens."""

    @property
    def control_ids(self) -> frozenset[int]:
        """Tokens that are no text, such as a turn's border."""

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; control tokens written in it are recognised, so only templates and trusted text go here."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, control tokens left out, U+FFFD for bytes that are no character."""

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes one token stands for; a control token's are its name."""

    def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Ids of a conversation, ending where the assistant is to speak. Raises InvalidRequest, Unsupported."""


def read_tokenizer(path: Path) -> Tokenizer:
    """Load a tokenizer.json. Raises ModelError if it is missing or broken."""
    if not path.is_file():
        raise ModelError(f"{path.parent} has no {path.name}; copy the model's tokenizer there")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:
        raise ModelError(f"{path} is not a readable tokenizer: {error}") from error


def read_tokenizer_config(folder: Path) -> TokenizerConfig:
    """The folder's tokenizer_config.json; defaults where there is none. Raises ModelError if it is broken."""
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return TokenizerConfig()
    try:
        return msgspec.json.decode(path.read_bytes(), type=TokenizerConfig)
    except msgspec.DecodeError as error:
        raise ModelError(f"{path} cannot be used: {error}") from error


class ModelTokenizer:
    """The tokenizer of a model folder."""

    def __init__(self, tokenizer: Tokenizer, config: TokenizerConfig) -> None:
        self._tokenizer = tokenizer
        self._config = config
        self._template = None if config.chat_template is None else compile_template(config.chat_template)
        self._byte_of = _byte_alphabet()
        self._falls_back = bool(getattr(tokenizer.model, "byte_fallback", False))
        """Tokens spell text as SentencePiece does, and bytes that no token has as `<0x0A>`."""
        self._longest_token = max(map(len, tokenizer.get_vocab()), default=1)
        added = tokenizer.get_added_tokens_decoder()
        self._control_tokens = tuple(one.content for one in added.values() if one.special and len(one.content) > 1)
        self._control_ids = frozenset(token_id for token_id, one in added.items() if one.special)

    @property
    def vocabulary_size(self) -> int:
        return self._tokenizer.get_vocab_size()

    @property
    def longest_token(self) -> int:
        return self._longest_token

    @property
    def control_ids(self) -> frozenset[int]:
        return self._control_ids

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def token_bytes(self, token_id: int) -> bytes:
        piece = self._tokenizer.id_to_token(token_id)
        if piece is None:
            return b""
        if self._falls_back:
            byte = _BYTE_TOKEN.fullmatch(piece)
            return bytes.fromhex(byte[1]) if byte else piece.replace(_SPACE, " ").encode()
        if all(character in self._byte_of for character in piece):
            return bytes(self._byte_of[character] for character in piece)
        return piece.encode()

    def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        if self._template is None:
            raise Unsupported("this model has no chat template; send it a plain prompt instead", param="messages")
        border = _unused_border(messages)
        guarded = [self._guard(message, border) for message in messages]
        pieces = render_chat(self._template, guarded, self._config).split(border)
        return [token_id for piece in pieces for token_id in self.encode(piece)]

    def _guard(self, message: ChatMessage, border: str) -> ChatMessage:
        """The message with a border inside every control token it spells, so that no caller can open a turn."""
        content = message.content
        for token in self._control_tokens:
            content = content.replace(token, token[0] + border + token[1:])
        return ChatMessage(role=message.role, content=content)


def compile_template(source: str) -> Template:
    """A chat template in Jinja's immutable sandbox: it cannot reach Python's internals or change what it is given.

    Raises ModelError for a template that does not parse.
    """
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, undefined=Undefined)
    environment.globals["raise_exception"] = _refuse
    environment.filters["tojson"] = _to_json
    try:
        return environment.from_string(source)
    except TemplateError as error:
        raise ModelError(f"the model's chat template does not parse: {error}") from error


def render_chat(template: Template, messages: Sequence[ChatMessage], config: TokenizerConfig) -> str:
    """The prompt for `messages`. Raises InvalidRequest when the template refuses them."""
    try:
        return template.render(
            messages=[{"role": message.role, "content": message.content} for message in messages],
            add_generation_prompt=True,
            bos_token=config.bos_token or "",
            eos_token=config.eos_token or "",
        )
    except _RENDER_ERRORS as error:
        raise InvalidRequest(f"the model's chat template refused the messages: {error}", param="messages") from error


class IncrementalDetokenizer:
    """Turns a growing list of ids into text that is never taken back.

    A last character that may still be incomplete is held until more ids decide it. Law: the pieces of `push` and
    `flush` joined are `codec.decode` of all ids. Decoding starts again at the last clean border, with one border more
    of context for tokenizers whose first word loses its leading space.
    """

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec
        self._ids: list[int] = []
        self._context = 0
        self._clean = 0
        self._shown = 0
        """Characters of the text since the clean border that were given out already."""

    def push(self, ids: Sequence[int]) -> str:
        """Take new ids; return what they made certain."""
        self._ids.extend(ids)
        fresh = self._fresh_text()
        if fresh.endswith(_REPLACEMENT):
            piece = fresh[self._shown : -1]
            self._shown += len(piece)
            return piece
        piece = fresh[self._shown :]
        if fresh:
            self._context, self._clean, self._shown = self._clean, len(self._ids), 0
        return piece

    def flush(self) -> str:
        """What is still held, at the end of the text."""
        piece = self._fresh_text()[self._shown :]
        self._shown += len(piece)
        return piece

    def _fresh_text(self) -> str:
        before = self._codec.decode(self._ids[self._context : self._clean])
        return self._codec.decode(self._ids[self._context :])[len(before) :]


def _unused_border(messages: Sequence[ChatMessage]) -> str:
    """A character to split at that no message contains. The candidates are Unicode noncharacters, U+FDD0 to U+FDEF."""
    used = set().union(*(message.content for message in messages)) if messages else set()
    for code in range(0xFDD0, 0xFDF0):
        if chr(code) not in used:
            return chr(code)
    raise InvalidRequest(
        "the messages use every Unicode noncharacter from U+FDD0 to U+FDEF; leave one out", param="messages"
    )


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: Any, indent: int | None = None) -> str:
    encoded = msgspec.json.encode(value)
    return (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()


def _byte_alphabet() -> dict[str, int]:
    """Byte-level BPE's letters for the 256 bytes.

    Source: openai/gpt-2 `bytes_to_unicode`: printable bytes stand for themselves, the others for U+0100 upwards.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(0x100 + index): byte for index, byte in enumerate(others)}
