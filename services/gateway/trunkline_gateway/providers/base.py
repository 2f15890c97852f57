"""The seam between the gateway and the places models live."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

import msgspec

from trunkline_gateway.chunks import Chunk
from trunkline_gateway.openai_types import (
    ChatControl,
    CompletionControl,
    Control,
    EmbeddingControl,
    MessagesControl,
    ModerationControl,
    RerankControl,
    ResponsesControl,
)
from trunkline_gateway.plan import Target
from trunkline_gateway.surface import Surface
from trunkline_gateway.usage import Usage
from trunkline_kit.errors import TrunklineError
from trunkline_policy.faults import FailureKind

_WHOLE = (EmbeddingControl, RerankControl, ModerationControl)
"""Of requests that are never answered as streams."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request, as providers need it; the same for every attempt."""

    surface: Surface
    body: bytes
    """The caller's own JSON."""
    control: Control
    request_id: str
    cache_salt: bytes = b""
    """The tenant, for a worker's prefix cache."""
    passed_on: tuple[tuple[str, str], ...] = ()
    """Headers of the caller that mean something to a provider of its own dialect."""
    priority: int = 0
    """Place in a worker's queue; higher is more urgent."""
    answer_id: str = ""
    """Of an answer that is translated, whoever gives it; empty for the provider's own."""
    continues: str = ""
    """The response that it continues, where `body` has that in it instead of its id: answers repeat the id."""
    only: str | None = None
    """The account that has what this request continues; nobody else can answer it."""

    @property
    def wants_stream(self) -> bool:
        if self.surface is Surface.TOKEN_COUNT:
            return False
        return not isinstance(self.control, _WHOLE) and bool(self.control.stream)

    @property
    def wants_usage(self) -> bool:
        """Whether the caller asked for usage inside the stream."""
        if not isinstance(self.control, (ChatControl, CompletionControl)) or self.control.stream_options is None:
            return False
        return bool(self.control.stream_options.include_usage)

    @property
    def end_user(self) -> str:
        """Who is at the caller's end; empty where the caller does not say."""
        return self.control.safety_identifier or self.control.user or ""

    @property
    def choices(self) -> int:
        """How many choices a complete answer has."""
        control = self.control
        if isinstance(control, (MessagesControl, ResponsesControl)):
            return 1
        if not isinstance(control, (ChatControl, CompletionControl)):
            return 0
        prompts = _prompts(control.prompt) if isinstance(control, CompletionControl) else 1
        return prompts * (control.n or 1)

    @property
    def drafted_choices(self) -> int:
        """How many are made for them: of a completion's `best_of` only the best come back, and all cost tokens."""
        control = self.control
        if not isinstance(control, CompletionControl) or control.best_of is None:
            return self.choices
        return max(self.choices, _prompts(control.prompt) * control.best_of)


def _prompts(prompt: str | list[str | int | list[int]]) -> int:
    """A string and a list of token ids are one prompt each."""
    if isinstance(prompt, str) or not prompt or isinstance(prompt[0], int):
        return 1
    return len(prompt)


class Witness(Protocol):
    """Is told how an attempt goes while its provider works on it. None of it waits."""

    def connecting(self) -> None:
        """The provider is about to be connected to."""

    def sending(self) -> None:
        """Something is sent, after `connecting`: only from then on it may be charged for."""

    def heard(self, request_id: str) -> None:
        """The provider's own id of the request."""

    def resent(self) -> None:
        """The provider has sent the same request anew by itself: one more attempt."""

    def billed(self, usage: Usage) -> None:
        """What is to be paid so far, of an attempt of several calls: it is owed even if a later call fails."""


class _Nobody:
    """Where nobody keeps books."""

    def connecting(self) -> None: ...

    def sending(self) -> None: ...

    def heard(self, request_id: str) -> None: ...

    def resent(self) -> None: ...

    def billed(self, usage: Usage) -> None: ...


NOBODY: Witness = _Nobody()


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt may take."""

    connect_s: float
    total_s: float
    """What is left of the request's time."""
    traceparent: str = ""
    witness: Witness = NOBODY


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer in the caller's dialect."""

    body: bytes
    usage: Usage | None = None


class ChunkStream(Protocol):
    """A stream under way."""

    async def next(self) -> list[Chunk] | None:
        """What has arrived since; None at the end. Waits without a clock of its own. Raises TrunklineError."""

    def ending(self) -> list[Chunk]:
        """What a complete answer still lacks when its provider says no more. Nothing once `next` has said None."""

    async def release(self) -> None:
        """Give the connection back after the end; cuts it if the end was not reached, which cancels the work behind."""

    def cut(self) -> None:
        """Stop at once. Safe to call after the end."""


class PieceStream(ChunkStream, Protocol):
    """A stream of chat chunks that may also be read to its end first and looked at then."""

    async def more(self, pause_s: float) -> int | None:
        """Read more and keep it, after a pause in which it may pile up; how many events came so far, None at the end.

        Raises TrunklineError.
        """

    def rest(self) -> list[bytes]:
        """The data of all events that `more` has read."""

    def translated(self, answer: Answer) -> Answer:
        """The chat completion that it came to, in the caller's dialect."""


class Provider(Protocol):
    """An account at a place where models live. Raises AttemptFailed, or a TrunklineError the caller must see."""

    kind: str

    async def whole(self, call: Call, target: Target, terms: Terms) -> "Answer | PieceStream":
        """The whole answer, or a stream of its pieces, where `streams_whole` allows that."""

    async def stream(self, call: Call, target: Target, terms: Terms) -> ChunkStream:
        """Begin a stream; returns when the provider has accepted it."""

    def streams_whole(self, call: Call, target: Target) -> bool:
        """Whether a whole answer is asked for as a stream, so that its first sign of life can be waited for."""

    async def check(self, provider_model: str) -> str | None:
        """For readiness: raises TrunklineError when this model cannot answer now; may return a detail."""


OpenProvider = AbstractAsyncContextManager[Provider]


@runtime_checkable
class Keeper(Protocol):
    """A provider that may keep responses itself."""

    async def forget(self, response_id: str, terms: Terms) -> None:
        """Have one removed. Raises AttemptFailed, or a TrunklineError the caller must see."""


async def forget(provider: object, response_id: str, terms: Terms) -> None:
    """Have a response removed where it is kept; nothing where none are."""
    if isinstance(provider, Keeper):
        await provider.forget(response_id, terms)


class AttemptFailed(Exception):
    """Raised when an attempt is over but another one may do better."""

    def __init__(self, kind: FailureKind, error: TrunklineError) -> None:
        super().__init__(str(error))
        self.kind = kind
        self.error = error
        """What the caller is told if no other attempt does better."""
