"""An answer as events, in no dialect: what every provider's stream decodes to and every client's is made from.

`choice` is which of the alternatives; `block` is which part of it. Blocks are numbered in the order they have in the
whole answer, with gaps where it suits the decoder; events of one block are in order, those of several may alternate.
Begin comes first and once; Finish once for a choice; Usage once, after everything else but ErrorEvent and Other.
"""

from enum import Enum

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects.canonical import Citation


class FinishReason(Enum):
    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    CONTEXT_FULL = "context_full"
    """As LENGTH, but it was the model's context that ended."""
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    """Somebody cut the model off."""
    REFUSAL = "refusal"
    """The model itself would not."""
    PAUSE = "pause"
    """The provider wants the answer back to go on with it."""
    ERROR = "error"
    OTHER = "other"


class Usage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="usage"):
    """Tokens by class. The first four add up to everything; what follows are parts of them."""

    input_tokens: int = 0
    """Neither read from a cache nor written to one."""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    """Reasoning and audio included."""
    cache_write_1h_tokens: int = 0
    """Of `cache_write_tokens`: those at the price of the longer time to live."""
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """All input, as OpenAI counts it."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


class _Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Base of the small ones. By position: they are made for every token."""


class Begin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="begin"):
    id: str = ""
    """The provider's; empty where it says none."""
    model: str = ""
    """The provider's."""
    created: int = 0
    """Unix seconds; 0 where the provider does not say."""
    usage: Usage | None = None
    """What of it is known at the start: the input. Only to be believed if no Usage comes."""


class TextDelta(_Event, frozen=True, tag_field="kind", tag="text"):
    text: str
    choice: int = 0
    block: int = 0


class ReasoningDelta(_Event, frozen=True, tag_field="kind", tag="reasoning"):
    """Text continues; a signature or cipher comes once, as a whole."""

    text: str = ""
    choice: int = 0
    block: int = 0
    signature: str = ""
    encrypted: str = ""
    origin: str = ""


class RefusalDelta(_Event, frozen=True, tag_field="kind", tag="refusal"):
    text: str
    choice: int = 0
    block: int = 0


class ToolCallBegin(_Event, frozen=True, tag_field="kind", tag="tool_call"):
    index: int
    """Which call of its choice, from 0."""
    id: str
    name: str
    choice: int = 0
    block: int = 0
    signature: str = ""


class ToolCallDelta(_Event, frozen=True, tag_field="kind", tag="arguments"):
    """A fragment of a call's arguments, cut anywhere."""

    arguments: str
    choice: int = 0
    block: int = 0


class CitationEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="citation"):
    """Belongs to the text block it names."""

    citation: Citation
    choice: int = 0
    block: int = 0


class AudioDelta(_Event, frozen=True, tag_field="kind", tag="audio"):
    """`data` and `transcript` continue; the others are said once."""

    data: str = ""
    transcript: str = ""
    choice: int = 0
    block: int = 0
    id: str = ""
    format: str = ""
    expires_at: int | None = None


class TopLogprob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: str
    logprob: float
    utf8: tuple[int, ...] | None = None


class TokenLogprob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: str
    logprob: float
    utf8: tuple[int, ...] | None = None
    top: tuple[TopLogprob, ...] = ()


class LogprobsEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="logprobs"):
    """Of the tokens that the events before it brought."""

    tokens: tuple[TokenLogprob, ...]
    choice: int = 0
    refusal: bool = False
    """Of the refusal's tokens, not the text's."""


class BlockEnd(_Event, frozen=True, tag_field="kind", tag="block_end"):
    """Nothing more comes for this block. A hint: many providers do not say."""

    choice: int = 0
    block: int = 0


class Finish(_Event, frozen=True, tag_field="kind", tag="finish"):
    reason: FinishReason
    choice: int = 0
    native: str = ""
    """In the provider's words."""
    stop_sequence: str = ""


class ErrorEvent(_Event, frozen=True, tag_field="kind", tag="error"):
    """The provider says that it cannot go on. Nothing after it counts."""

    message: str
    type: str = ""
    code: str = ""
    param: str = ""
    retryable: bool = False
    """Whether the same request may pass at another time or place."""


class Other(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="other"):
    """Something without a counterpart: to be counted and left out. `malformed` is data that is not its dialect's."""

    type: str
    raw: Raw


Delta = TextDelta | ReasoningDelta | RefusalDelta | ToolCallBegin | ToolCallDelta | CitationEvent | AudioDelta
Event = Begin | Delta | LogprobsEvent | BlockEnd | Finish | Usage | ErrorEvent | Other

MALFORMED = "malformed"
"""`Other.type` of what could not be read."""

_CHATTER = (Begin, Usage, Other, BlockEnd)


def is_meaningful(event: Event) -> bool:
    """Whether the caller gets something out of it, so that an answer cannot start again elsewhere once it is sent."""
    return not isinstance(event, _CHATTER)
