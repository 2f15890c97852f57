"""From an HTTP request to a turn of the pipeline: who asks, what for, and how the answer gets back."""

import re
from functools import partial

from litestar.types import Scope

from trunkline_gateway.auth import Principal
from trunkline_gateway.callers import Caller
from trunkline_gateway.edge import Visit, visit_of
from trunkline_gateway.manners import manner_of
from trunkline_gateway.pipeline import Pipeline
from trunkline_gateway.reply import HttpSink, Reply
from trunkline_gateway.surface import Surface
from trunkline_gateway.tags import tags_of
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import Clock
from trunkline_kit.tenants import Scope as TenantScope
from trunkline_kit.tracing import format_traceparent, parse_traceparent

_SANE_BETA = re.compile(r"[A-Za-z0-9._, -]{1,512}")
_PAST_THE_CACHE = (b"no-cache", b"no-store")


class Door:
    """What the route handlers share."""

    def __init__(self, pipeline: Pipeline, clock: Clock, body_limit_bytes: int) -> None:
        self.pipeline = pipeline
        self.body_limit_bytes = body_limit_bytes
        """May be changed while requests run."""
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
        turn = Turn(
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
        return Reply(partial(self._work, turn, fresh=fresh), self.body_limit_bytes, manner_of(surface))

    async def _work(self, turn: Turn, sink: HttpSink, body: bytes, *, fresh: bool) -> None:
        await self.pipeline.run(turn, body, sink, fresh=fresh)


def _passed_on(visit: Visit, surface: Surface) -> tuple[tuple[str, str], ...]:
    """Headers that switch features of a dialect on, for providers that speak it."""
    beta = visit.text(b"anthropic-beta") if surface is Surface.MESSAGES else ""
    return (("anthropic-beta", beta),) if _SANE_BETA.fullmatch(beta) else ()


def sane_traceparent(text: str) -> str:
    """The caller's trace context as W3C has it; empty for anything else, which must not reach a provider."""
    parent = parse_traceparent(text) if text else None
    return "" if parent is None else format_traceparent(parent)
