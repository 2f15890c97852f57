"""From an HTTP request to a turn of the pipeline: who asks, what for, and how the answer gets back."""

import re
from collections.abc import Awaitable, Callable
from functools import partial

from litestar.types import Scope

from trunkline_gateway.auth import Principal
from trunkline_gateway.body_room import BodyRoom
from trunkline_gateway.callers import Caller
from trunkline_gateway.edge import Visit, visit_of
from trunkline_gateway.idempotency.answers import ask_of
from trunkline_gateway.idempotency.flights import Flights
from trunkline_gateway.manners import manner_of
from trunkline_gateway.pipeline import Pipeline
from trunkline_gateway.providers.base import AttemptFailed, Terms, forget
from trunkline_gateway.reply import Reply
from trunkline_gateway.responses.desk import Desk
from trunkline_gateway.responses.exchange import Exchange
from trunkline_gateway.responses.states import MemoryStates
from trunkline_gateway.sink import Sink
from trunkline_gateway.surface import Surface
from trunkline_gateway.tags import tags_of
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import Clock
from trunkline_kit.settings import Responses, Server
from trunkline_kit.tenants import Scope as TenantScope
from trunkline_kit.tracing import format_traceparent, parse_traceparent

_SANE_BETA = re.compile(r"[A-Za-z0-9._, -]{1,512}")
_ANTHROPIC = frozenset({Surface.MESSAGES, Surface.TOKEN_COUNT})
_PAST_THE_CACHE = (b"no-cache", b"no-store")
FORGET_S = 5.0
"""How long an account may take to remove a response."""

Work = Callable[[Sink, bytes], Awaitable[None]]


class Door:
    """What the route handlers share."""

    def __init__(
        self,
        pipeline: Pipeline,
        clock: Clock,
        body_limit_bytes: int,
        desk: Desk | None = None,
        flights: Flights | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.body_limit_bytes = body_limit_bytes
        """May be changed while requests run."""
        self.body_room = BodyRoom(Server().bodies_limit_bytes)
        """For the bodies of all requests at once."""
        self.desk = desk or Desk(MemoryStates(clock, Responses().memory_bytes), Responses())
        """Where responses are kept."""
        self.flights = flights
        """Requests with an idempotency key; None where the key means nothing."""
        self._clock = clock

    async def principal(self, visit: Visit, needed: TenantScope = TenantScope.INFERENCE) -> Principal:
        """Who asks. Raises Unauthenticated, and PermissionDenied for a key that may not do what is needed."""
        return (await self.caller(visit, needed)).principal

    async def caller(self, visit: Visit, needed: TenantScope = TenantScope.INFERENCE) -> Caller:
        """The same, with what it was known by."""
        caller = await self.pipeline.state.callers.identify(visit.credentials)
        caller.principal.require(needed)
        return caller

    async def reply(self, scope: Scope, surface: Surface) -> Reply:
        """The answer to a POST, still to be worked out.

        Raises Unauthenticated, and InvalidRequest for tags that are none, before anything of the body is read.
        """
        visit = visit_of(scope)
        caller = await self.caller(visit)
        held = self.body_room.held(f"{caller.principal.key_id}/{caller.principal.subject}")
        turn = Turn(
            held=held,
            surface=surface,
            principal=caller.principal,
            credential=caller.digest,
            request_id=visit.request_id,
            tags=tags_of(caller.principal.tags, visit.text(b"x-trunkline-tags")),
            traceparent=sane_traceparent(visit.text(b"traceparent")),
            started_s=self._clock.monotonic_s(),
            passed_on=_passed_on(visit, surface),
        )
        asked = visit.header(b"cache-control")
        fresh = bool(asked) and any(word in asked.lower() for word in _PAST_THE_CACHE)
        work = partial(self._work, turn, fresh=fresh)
        key = visit.text(b"idempotency-key")
        if key and self.flights is not None and self.flights.settings.enabled:
            work = partial(self._once, self.flights, work, turn, key)
        return Reply(work, self.body_limit_bytes, manner_of(surface), held)

    async def forget(self, owner: str, response_id: str) -> None:
        """Forget a response, first at the account that keeps it as well.

        Raises ObjectNotFound, StoreUnavailable, and what the account says when it does not.
        """
        record = await self.desk.find(owner, response_id)
        provider = self.pipeline.state.providers.get(record.account)
        try:
            await forget(provider, response_id, Terms(connect_s=FORGET_S, total_s=FORGET_S))
        except AttemptFailed as failed:
            raise failed.error from failed
        await self.desk.forget(owner, response_id)

    async def _once(self, flights: Flights, work: Work, turn: Turn, key: str, sink: Sink, body: bytes) -> None:
        """Work out one answer for all requests that say they are the same. Raises what `Flights.answer` raises."""

        async def run(recording: Sink) -> None:
            await work(recording, body)

        await flights.answer(ask_of(turn.principal, turn.surface, key, body), sink, run, turn.held)

    async def _work(self, turn: Turn, sink: Sink, body: bytes, *, fresh: bool) -> None:
        if turn.surface is not Surface.RESPONSES:
            await self.pipeline.run(turn, body, sink, fresh=fresh)
            return
        exchange = Exchange(self.desk, turn, sink)
        turn.prepare = exchange.prepare
        await self.pipeline.run(turn, body, exchange, fresh=fresh)


def _passed_on(visit: Visit, surface: Surface) -> tuple[tuple[str, str], ...]:
    """Headers that switch features of a dialect on, for providers that speak it."""
    beta = visit.text(b"anthropic-beta") if surface in _ANTHROPIC else ""
    return (("anthropic-beta", beta),) if _SANE_BETA.fullmatch(beta) else ()


def sane_traceparent(text: str) -> str:
    """The caller's trace context as W3C has it; empty for anything else, which must not reach a provider."""
    parent = parse_traceparent(text) if text else None
    return "" if parent is None else format_traceparent(parent)
