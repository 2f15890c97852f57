"""The values that go into the engine and come out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from trunkline_kit.errors import InvalidRequest
from trunkline_worker.runtimes.base import Logits

_MAX_STOPS = 4
_MAX_TOP_LOGPROBS = 20
MAX_CHOICES = 16
"""Answers to one request, at most. OpenAI takes 128; here each needs a slot."""
MAX_PRIORITY = 100


class FinishReason(StrEnum):
    STOP = "stop"
    """An end-of-sequence token or a stop string."""
    LENGTH = "length"
    """max_tokens or the slot was used up."""
    TOOL_CALLS = "tool_calls"
    """A tool call was made."""
    ABORTED = "aborted"
    EXPIRED = "expired"
    """The deadline passed, or would have before the first token."""
    UNGUIDED = "unguided"
    """The grammar turned out to be too much to follow."""


class Few(NamedTuple):
    """What may come next, where it is few tokens, or all but few."""

    ids: NDArray[np.intp]
    allowed: bool
    """These may come and no others; otherwise these may not and all others may."""


class AnswerGuide(Protocol):
    """Where one answer is in the grammar it is held to."""

    @property
    def done(self) -> bool:
        """Whether nothing more can come."""

    @property
    def failed(self) -> bool:
        """Whether the grammar turned out to be too much to follow."""

    def few(self) -> Few | None:
        """What may come next, in short, if that can be said; None if not, and once it has failed."""

    def mask(self, spare: Logits) -> Logits | None:
        """An additive mask [vocabulary]: minus infinity for what may not come next, which is never all, and 0.

        Made in `spare`, whose length is a multiple of 32 that is not less. None once it has failed.
        """

    def accept(self, token_id: int) -> None:
        """Take note of the token that came."""


class Guided(Protocol):
    """A grammar that is ready for use."""

    def guide(self) -> AnswerGuide:
        """For one answer, at its beginning."""


class SamplingOptions(Struct, frozen=True, kw_only=True):
    """How the next token is chosen. Ranges: OpenAI API reference (read 2026-11-24); top_k, min_p: vLLM."""

    temperature: float = 1.0
    """0 is greedy; at most 2."""
    top_p: float = 1.0
    top_k: int = 0
    """0 means all."""
    min_p: float = 0.0
    """Floor on a token's probability, as a share of the likeliest token's."""
    seed: int | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = {}

    @property
    def repeatable(self) -> bool:
        """Whether the same request must get the same answer again: nothing is drawn, or with a seed."""
        drawn = self.temperature > 0 and self.top_k != 1 and self.top_p > 0 and self.min_p < 1
        return self.seed is not None or not drawn

    def check(self, vocabulary_size: int) -> None:
        """Raises InvalidRequest naming the option that is out of range."""
        _within("temperature", self.temperature, 0.0, 2.0)
        _within("top_p", self.top_p, 0.0, 1.0)
        _within("min_p", self.min_p, 0.0, 1.0)
        _within("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        _within("presence_penalty", self.presence_penalty, -2.0, 2.0)
        _within("repetition_penalty", self.repetition_penalty, 0.01, 100.0)
        if self.top_k < 0:
            raise InvalidRequest(f"top_k must not be negative, got {self.top_k}", param="top_k")
        for token_id, bias in self.logit_bias.items():
            _within("logit_bias", bias, -100.0, 100.0)
            if not 0 <= token_id < vocabulary_size:
                raise InvalidRequest(
                    f"logit_bias names token {token_id}; there are {vocabulary_size}", param="logit_bias"
                )


class GenerationRequest(Struct, frozen=True, kw_only=True):
    """One generation, already tokenised."""

    request_id: str
    prompt_ids: tuple[int, ...]
    """What has to be read: the prompt, and what of the answer another worker has made."""
    begun: int = 0
    """How many of those, at the end, are the answer's. They count as answered and are not told again."""
    sampling: SamplingOptions = SamplingOptions()
    max_tokens: int = 0
    """0 means up to the slot's end."""
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    """Alternatives per token; None means that no logprobs are wanted."""
    ignore_eos: bool = False
    priority: int = 0
    """Higher is more urgent; 0 is normal."""
    choices: int = 1
    """Answers to make."""
    deadline_s: float | None = None
    """When, by the monotonic clock, nobody waits any more."""
    grammar: Guided | None = None
    """What the answers are held to."""
    cache_salt: bytes = b""
    """Whose prompts this one may share its beginning with; empty: nobody's."""

    def check(self, vocabulary_size: int) -> None:
        """Raises InvalidRequest naming the field that is wrong."""
        self.sampling.check(vocabulary_size)
        if not self.prompt_ids:
            raise InvalidRequest("the prompt is empty", param="prompt")
        if max(self.prompt_ids) >= vocabulary_size or min(self.prompt_ids) < 0:
            raise InvalidRequest(f"the prompt has a token outside 0 … {vocabulary_size - 1}", param="prompt")
        if self.max_tokens < 0:
            raise InvalidRequest(f"max_tokens must not be negative, got {self.max_tokens}", param="max_tokens")
        if len(self.stop) > _MAX_STOPS or not all(self.stop):
            raise InvalidRequest(f"stop takes at most {_MAX_STOPS} strings, none of them empty", param="stop")
        _within("n", self.choices, 1, MAX_CHOICES)
        if self.begun and self.choices > 1:
            raise InvalidRequest("one answer can go on that was begun elsewhere, not several", param="begun")
        if self.begun and 0 < self.max_tokens <= self.begun:
            raise InvalidRequest(f"begun has all of the {self.max_tokens} tokens of max_tokens", param="begun")
        _within("priority", self.priority, -MAX_PRIORITY, MAX_PRIORITY)
        if self.top_logprobs is not None:
            _within("top_logprobs", self.top_logprobs, 0, _MAX_TOP_LOGPROBS)


class Alternative(Struct, frozen=True):
    """A token that could have come, and the natural logarithm of its probability."""

    token_id: int
    logprob: float


class TokenLogprobs(Struct, frozen=True, kw_only=True):
    """The chosen token and the likeliest ones, most likely first, by the model's own distribution."""

    chosen: Alternative
    top: tuple[Alternative, ...] = ()


class Usage(Struct, frozen=True, kw_only=True):
    """Of all answers to a request together."""

    prompt_tokens: int
    completion_tokens: int
    """Every token the model was sampled for, an end-of-sequence token included: each of them cost a step."""
    cached_tokens: int = 0
    """Tokens of the prompt that came out of the prefix cache."""
    begun_tokens: int = 0
    """Of the completion tokens, those that another worker made."""

    @property
    def made_tokens(self) -> int:
        """Completion tokens that this worker made."""
        return self.completion_tokens - self.begun_tokens


class Timing(Struct, frozen=True, kw_only=True):
    queue_ms: float
    prefill_ms: float
    decode_ms: float


class Delta(Struct, frozen=True, kw_only=True):
    """What one engine step made for one answer to a request."""

    request_id: str
    index: int = 0
    """Which of its answers."""
    usage: Usage
    token_ids: tuple[int, ...] = ()
    text: str = ""
    logprobs: tuple[TokenLogprobs, ...] = ()
    finish: FinishReason | None = None
    matched_stop: str = ""
    timing: Timing | None = None


def joined(deltas: Sequence[Delta]) -> Delta:
    """Several deltas of one answer, in order, as one."""
    return structs.replace(
        deltas[-1],
        token_ids=tuple(token_id for delta in deltas for token_id in delta.token_ids),
        text="".join(delta.text for delta in deltas),
        logprobs=tuple(one for delta in deltas for one in delta.logprobs),
    )


def _within(name: str, value: float, low: float, high: float) -> None:
    # Written so that NaN fails too.
    if not low <= value <= high:
        raise InvalidRequest(f"{name} must be between {low:g} and {high:g}, got {value:g}", param=name)
