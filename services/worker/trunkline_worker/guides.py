"""Token masks from grammars, by llguidance. A grammar is compiled once, off the event loop; a mask takes microseconds.

What a guide has to say about the next token is found in the engine's thread, right before it is drawn: measured, a mask
of 49,152 tokens takes a hundredth of a millisecond, less than handing it to another thread.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from trunkline_kit.errors import InvalidRequest, Unsupported
from trunkline_worker.generation import Few
from trunkline_worker.grammars import Grammar, Kind
from trunkline_worker.runtimes.base import Logits
from trunkline_worker.tokenizer import TextCodec

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

_KEPT_GRAMMARS = 128
_FEW = 32
"""Tokens are few if they are less than one of so many."""
_LAYOUT: JsonCompileOptions = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
"""As Python writes JSON, which models have read most of. With free white space a small model adds it for ever."""
_CANNOT = ("Unimplemented", "Unknown format", "too large", "too complex")
"""How llguidance begins what is not the caller's mistake."""


class CompiledGrammar:
    """Ready to guide any number of answers."""

    def __init__(self, matcher: LLMatcher, vocabulary_size: int) -> None:
        self._matcher = matcher
        self._vocabulary_size = vocabulary_size

    def guide(self) -> TokenGuide:
        """A guide for one answer, at its beginning."""
        return TokenGuide(self._matcher.deep_copy(), self._vocabulary_size)


class TokenGuide:
    """Where one answer is in its grammar."""

    def __init__(self, matcher: LLMatcher, vocabulary_size: int) -> None:
        self._matcher = matcher
        self._vocabulary_size = vocabulary_size
        words = np.zeros((vocabulary_size + 63) // 64, np.uint64)
        self._words, self._bits = words, words.view(np.int32)[: (vocabulary_size + 31) // 32]
        self._found = False
        self._told = b""
        self._few: Few | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more can come."""
        return bool(self._matcher.is_stopped())

    @property
    def failed(self) -> bool:
        """Whether the grammar turned out to be too much to follow; the answer so far is not what was asked for."""
        return bool(self._matcher.is_error())

    def few(self) -> Few | None:
        """In JSON it is few tokens between values, and all but few in a string."""
        self._find()
        if self.failed:
            return None
        words = self._words.tobytes()
        # Within a string it is the same again and again.
        if words != self._told:
            self._told, self._few = words, self._tell()
        return self._few

    def _tell(self) -> Few | None:
        allowed = int(np.bitwise_count(self._words).sum())
        least = min(allowed, self._vocabulary_size - allowed)
        if least * _FEW > self._vocabulary_size:
            return None
        bits = np.unpackbits(self._bits.view(np.uint8), bitorder="little")[: self._vocabulary_size]
        return Few((bits == (least == allowed)).nonzero()[0], least == allowed)

    def mask(self, spare: Logits) -> Logits | None:
        """Minus infinity for what may not come next, and 0, in `spare`; None once it has failed."""
        self._find()
        if self.failed:
            return None
        octets = spare[: self._bits.nbytes * 8].reshape(-1, 8)
        _octets().take(self._bits.view(np.uint8), axis=0, out=octets, mode="clip")
        return spare[: self._vocabulary_size]

    def accept(self, token_id: int) -> None:
        self._matcher.consume_token(token_id)
        self._found = False

    def _find(self) -> None:
        if not self._found:
            self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
            self._found = True


@cache
def _octets() -> NDArray[np.float32]:
    """By a byte of bits: the mask of eight tokens.

    To add a mask takes the same time whatever it forbids. To write minus infinity where a bit says so takes far longer
    when the bits are mixed, since the processor cannot guess what comes next.
    """
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    return np.where(bits, np.float32(0), np.float32(-np.inf))


class GuideMaker:
    """Compiles grammars for one model's vocabulary. Safe for several threads."""

    def __init__(self, codec: TextCodec, eos_ids: AbstractSet[int], vocabulary_size: int) -> None:
        self._codec = codec
        self._eos_ids = sorted(eos_ids)
        self._vocabulary_size = vocabulary_size
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None
        self._known: OrderedDict[Grammar, CompiledGrammar] = OrderedDict()

    def compile(self, grammar: Grammar) -> CompiledGrammar:
        """The grammar, compiled now or before; milliseconds, rarely more. Raises InvalidRequest, Unsupported."""
        with self._lock:
            known = self._known.get(grammar)
            if known is not None:
                self._known.move_to_end(grammar)
                return known
            if self._tokenizer is None:
                self._tokenizer = self._open_tokenizer()
        compiled = self._compile(grammar, self._tokenizer)
        with self._lock:
            self._known[grammar] = compiled
            if len(self._known) > _KEPT_GRAMMARS:
                self._known.popitem(last=False)
        return compiled

    def _compile(self, grammar: Grammar, tokenizer: LLTokenizer) -> CompiledGrammar:
        matcher = LLMatcher(tokenizer, _source(grammar))
        if matcher.is_error():
            raise _refusal(grammar, matcher.get_error())
        compiled = CompiledGrammar(matcher, self._vocabulary_size)
        # The first mask builds much of the automaton, which all copies share: better here than in the engine's thread.
        first = compiled.guide()
        first.few()
        if first.failed:
            raise Unsupported(f"{grammar.param} is too complex to follow; simplify it", param=grammar.param)
        return compiled

    def _open_tokenizer(self) -> LLTokenizer:
        vocabulary = _Vocabulary(self._codec, self._eos_ids[0], self._vocabulary_size)
        return LLTokenizer(TokenizerWrapper(vocabulary), n_vocab=self._vocabulary_size, eos_token=self._eos_ids)


class _Vocabulary:
    """What llguidance wants to know of a tokenizer."""

    bos_token_id = None

    def __init__(self, codec: TextCodec, eos_id: int, size: int) -> None:
        self.eos_token_id = eos_id
        self.tokens = [codec.token_bytes(token_id) for token_id in range(size)]
        self.special_token_ids = sorted(codec.control_ids)
        self._codec = codec

    def __call__(self, text: str) -> Sequence[int]:
        return self._codec.encode(text)


def _source(grammar: Grammar) -> str:
    """The grammar as llguidance takes it. Raises InvalidRequest for what is not even JSON."""
    match grammar.kind:
        case Kind.REGEX:
            return LLMatcher.grammar_from_regex(grammar.text)
        case Kind.LARK:
            return LLMatcher.grammar_from_lark(grammar.text)
        case Kind.JSON_SCHEMA:
            try:
                schema: dict[str, Any] | bool = msgspec.json.decode(grammar.text, type=dict[str, Any] | bool)
            except msgspec.DecodeError as error:
                raise InvalidRequest(f"{grammar.param} must be a JSON Schema: {error}", param=grammar.param) from error
            if isinstance(schema, bool):
                # As objects, which is what options can be given with.
                schema = {} if schema else {"not": {}}
            return LLMatcher.grammar_from_json_schema(
                msgspec.json.encode(schema).decode(), overrides=_LAYOUT | {"lenient": not grammar.strict}
            )


def _refusal(grammar: Grammar, told: str) -> InvalidRequest:
    """Llguidance's own words, first lines only, and whose fault it is."""
    text = f"{grammar.param} cannot be followed: {' '.join(told.split())[:300]}"
    if any(words in told for words in _CANNOT):
        return Unsupported(text, param=grammar.param)
    return InvalidRequest(text, param=grammar.param)
