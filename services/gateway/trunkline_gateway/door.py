"""From an HTTP request to a turn of the pipeline: who asks, what for, and how the answer gets back."""

from functools import partial

from litestar.types import Scope

from trunkline_gateway.auth import Principal
from trunkline_gateway.edge import Visit, visit_of
from trunkline_gateway.pipeline import Pipeline
from trunkline_gateway.reply import HttpSink, Reply
from trunkline_gateway.surface import Surface
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import Clock
from trunkline_kit.tracing import format_traceparent, parse_traceparent

_PAST_THE_CACHE = (b"no-cache", b"no-store")


class Door:
    """What the route handlers share."""

    def __init__(self, pipeline: Pipeline, clock: Clock, body_limit_bytes: int) -> None:
        self.pipeline = pipeline
        self.body_limit_bytes = body_limit_bytes
        """May be changed while requests run."""
        self._clock = clock

    def principal(self, visit: Visit) -> Principal:
        """Who asks. Raises Unauthenticated."""
        keys = self.pipeline.state.catalogue.keys
        return keys.principal(visit.text(b"authorization"), visit.text(b"x-api-key"))

    def reply(self, scope: Scope, surface: Surface) -> Reply:
        """The answer to a POST, still to be worked out. Raises Unauthenticated before anything of the body is read."""
        visit = visit_of(scope)
        turn = Turn(
            surface=surface,
            principal=self.principal(visit),
            request_id=visit.request_id,
            traceparent=sane_traceparent(visit.text(b"traceparent")),
            started_s=self._clock.monotonic_s(),
        )
        asked = visit.header(b"cache-control")
        fresh = bool(asked) and any(word in asked.lower() for word in _PAST_THE_CACHE)
        return Reply(partial(self._work, turn, fresh=fresh), self.body_limit_bytes)

    async def _work(self, turn: Turn, sink: HttpSink, body: bytes, *, fresh: bool) -> None:
        await self.pipeline.run(turn, body, sink, fresh=fresh)


def sane_traceparent(text: str) -> str:
    """The caller's trace context as W3C has it; empty for anything else, which must not reach a provider."""
    parent = parse_traceparent(text) if text else None
    return "" if parent is None else format_traceparent(parent)
