"""How many tokens a request would be: asked of its provider, counted, or estimated; and which of the three."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import msgspec

from trunkline_gateway import body as bodies
from trunkline_gateway.admission.sizing import Tools
from trunkline_gateway.fleet.planning import Planned
from trunkline_gateway.openai_types import MessagesControl
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import AttemptFailed, Call, Provider, Terms
from trunkline_gateway.providers.over_chat import OverChat, chat_call
from trunkline_gateway.providers.translation import Translation
from trunkline_gateway.surface import Surface
from trunkline_gateway.telemetry import Meters
from trunkline_gateway.turn import Turn
from trunkline_kit.errors import DeadlineExceeded, InvalidRequest, TrunklineError

log = logging.getLogger(__name__)

COUNT_S = 5.0
"""Of waiting for a provider's count; after it an estimate is better than none."""
PROVIDER, EXACT, ESTIMATED = "provider", "exact", "estimated"
_ONE = msgspec.Raw(b"1")


@runtime_checkable
class CountsTokens(Protocol):
    """A provider that counts for itself."""

    async def count_tokens(self, call: Call, target: Target, terms: Terms) -> bytes:
        """Its answer, in Anthropic's dialect. Raises AttemptFailed, or a TrunklineError the caller must see."""


class TokenCount(msgspec.Struct, frozen=True):
    """What POST /v1/messages/count_tokens answers."""

    input_tokens: int


class _Content(msgspec.Struct, frozen=True):
    type: str = ""


class _Turn(msgspec.Struct, frozen=True):
    content: str | list[_Content] = ""


_encode = msgspec.json.Encoder().encode
_decode_turn = msgspec.json.Decoder(_Turn).decode


class TokenCounter:
    """Counts for the place where the request itself would go first. Nothing is charged or learned."""

    def __init__(self, tools: Tools, meters: Meters) -> None:
        self._tools = tools
        self._meters = meters

    async def answer(self, turn: Turn, call: Call, plan: Planned, providers: Mapping[str, Provider]) -> bytes:
        """The count, as JSON; `turn.count` says how it was come by. Raises InvalidRequest."""
        target = turn.target = plan.chains.places[0]
        provider = providers[target.provider]
        if isinstance(provider, CountsTokens):
            connect_s = plan.offers[target.model].timeouts.connect_s
            terms = Terms(connect_s=connect_s, total_s=COUNT_S, traceparent=turn.traceparent)
            found = await self._asked(provider, call, target, terms)
            if found is not None:
                turn.count = PROVIDER
                return found
        counted = await self._counted(call, target) if isinstance(provider, OverChat) else None
        if counted is not None:
            turn.count = EXACT if is_plain(call) else ESTIMATED
            return _encode(TokenCount(counted))
        turn.count = ESTIMATED
        estimate = self._tools.estimator.estimate(target.model, turn.principal.key_id, call.body, None, 0)
        return _encode(TokenCount(estimate.input_tokens))

    async def _asked(self, provider: CountsTokens, call: Call, target: Target, terms: Terms) -> bytes | None:
        """None where the provider cannot say now. What it says is wrong with the request is for the caller."""
        try:
            async with asyncio.timeout(terms.total_s):
                found = await provider.count_tokens(call, target, terms)
        except TimeoutError:
            error: TrunklineError = DeadlineExceeded("it took too long")
        except AttemptFailed as attempt:
            if isinstance(attempt.error, InvalidRequest):
                raise attempt.error from attempt
            error = attempt.error
        else:
            self._meters.check("count_tokens", "ok")
            return found
        self._meters.check("count_tokens", "unavailable")
        log.info("tokens are estimated: %s", error)
        return None

    async def _counted(self, call: Call, target: Target) -> int | None:
        """By the model's own tokenizer, over what would be sent; None where there is none.

        Raises InvalidRequest for what could not be sent.
        """
        if not await self._tools.tokenizers.knows(target.provider_model):
            return None
        return await self._tools.tokenizers.count([target.provider_model], chat_of(call, target))


def chat_of(call: Call, target: Target) -> Call:
    """The chat completion that the request becomes at a provider of OpenAI's dialect. Raises InvalidRequest."""
    members = bodies.members_of(call.body)
    # What is counted need not say how long its answer may be.
    members.setdefault("max_tokens", _ONE)
    members.pop("stream", None)
    message = msgspec.structs.replace(call, surface=Surface.MESSAGES, body=_encode(members))
    return chat_call(message, Translation(message, "openai", 0), target)


def is_plain(call: Call) -> bool:
    """Whether the request is nothing but text: how tools, images and documents are written down is the provider's."""
    control = call.control
    if not isinstance(control, MessagesControl) or bytes(control.tools) not in {b"null", b"[]"}:
        return False
    return all(_is_text(bytes(message)) for message in control.messages)


def _is_text(message: bytes) -> bool:
    try:
        content = _decode_turn(message).content
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(content, str) or all(block.type == "text" for block in content)
